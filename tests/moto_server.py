"""A test's own AWS: moto over HTTP, served from the test's process."""

import logging
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


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
    served.app = _one_at_a_time(served.app)
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _one_at_a_time(app: "WSGIApplication") -> "WSGIApplication":
    """Return an app that answers one request after the other: moto checks a condition and writes in two steps."""
    lock = threading.Lock()

    def serialized(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with lock:
            return app(environ, start_response)

    return serialized
