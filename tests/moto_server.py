"""A test's own AWS: moto over HTTP, served from the test's process."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer

from rehearsal.aws.moto.api_server import one_at_a_time


@contextmanager
def moto_server() -> Generator[str]:
    """The URL of an empty AWS.

    All of moto in one process is one account, whether it is served or mocked, so only one may be in use at a time.
    A fixture that outlives its test file must not use one.
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # No line per request.
    moto_api_backend.reset()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    served = server._server  # pyright: ignore[reportPrivateUsage]
    assert served is not None
    served.app = one_at_a_time(served.app)
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()
