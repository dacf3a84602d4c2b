"""``pulumi-language-python ENGINE_ADDRESS``: prints its port and serves until the CLI ends or sends a signal."""

import sys

from rehearsal.language_host.host import LanguageHost
from rehearsal.providers.plugin import serve_until_the_end
from rehearsal.providers.protocol import language_pb2_grpc


def main() -> None:
    """Serve."""
    host = LanguageHost(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))
    serve_until_the_end(lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server), host.stop)


if __name__ == "__main__":
    main()
