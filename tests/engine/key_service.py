"""A key service for the secrets of test stacks, with the operations that the CLI needs, and without any encryption.

A passphrase would cost a quarter of a second of CPU time in every command.
"""

import json
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY_PROVIDER = "awskms://alias/tests"
"""The CLI's `--secrets-provider` for a key of this service."""


class _Handler(BaseHTTPRequestHandler):
    """Encrypts nothing: https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html"""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match self.headers["X-Amz-Target"].rpartition(".")[2]:
            case "Encrypt":
                answer = {"CiphertextBlob": request["Plaintext"], "KeyId": "tests"}
            case "Decrypt":
                answer = {"Plaintext": request["CiphertextBlob"], "KeyId": "tests"}
            case operation:
                self.send_error(501, operation)
                return
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        """Keep the tests' output free of requests."""


@cache
def key_environment() -> dict[str, str]:
    """Return the CLI's variables for the service, which runs as long as this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return {
        "AWS_ENDPOINT_URL_KMS": f"http://127.0.0.1:{server.server_port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
    }
