"""A web server that receives notifications."""

import hashlib
import hmac
import json
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

PATH = "/services/T0/precious"
SECRET = "a secret of the webhook"


class Server:
    """What a web server got, and how it answers."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        """The statuses to answer with, in order; 200 after these."""
        self.location = ""
        self.hang: Event | None = None
        """When set, an answer comes only after this, or after 20 seconds."""
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def events(self) -> list[str]:
        """The events that arrived, in order."""
        return [json.loads(body)["event"] for _, _, body in self.requests]

    @property
    def all_genuine(self) -> bool:
        """Whether each request carries the signature that a receiver computes."""
        return all(is_genuine(headers, body) for _, headers, body in self.requests)


def is_genuine(headers: Mapping[str, str], body: bytes) -> bool:
    """Check a signature as docs/notifications.md says."""
    timestamp = headers["X-Rollout-Timestamp"]
    expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return headers["X-Rollout-Signature"] == f"v1={expected}" and abs(time.time() - int(timestamp)) < 3600


@contextmanager
def serving() -> Generator[tuple[Server, str]]:
    """Provide a server and its URL during a ``with`` block."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.requests.append((self.path, dict(self.headers), body))
            if server.hang is not None:
                server.hang.wait(20)
            self.send_response(server.answers.pop(0) if server.answers else 200)
            if server.location:
                self.send_header("Location", server.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # the client has given up
                super().handle()

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{http.server_port}{PATH}"
    finally:
        if server.hang is not None:
            server.hang.set()
        http.shutdown()
        http.server_close()
        thread.join(5)
