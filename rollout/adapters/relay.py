"""A local base URL that leads to one colour through the candidate route, for tools that only take a base URL.

The relay adds the route's secret and the API key, so the tool sees neither. It listens on this machine only, its
address has an unguessable part, and it forwards only paths under ``/v1/``.
"""

import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import httpx

from components.domain.naming import Color
from rollout.adapters.candidate_route import CandidateRoute

_FORWARDED = ("content-type", "accept", "x-request-id")
API = "/v1/"


class Relay:
    """A server that runs while its context is entered."""

    def __init__(self, route: CandidateRoute, color: Color, *, timeout_seconds: float) -> None:
        """Forward to ``color``."""
        self._route = route
        self._color: Color = color
        self._timeout_seconds = timeout_seconds
        self._token = secrets.token_urlsafe(16)
        self._counting = threading.Lock()
        self.answered = 0
        """How many requests the colour answered with a status below 400."""
        self.failed = 0
        """How many requests it did not answer so."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def base_url(self) -> str:
        """The base URL for OpenAI clients. Ends in ``/v1``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{self._token}{API.rstrip('/')}"

    def __enter__(self) -> Self:
        """Start the server."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()

    def _count(self, *, succeeded: bool) -> None:
        with self._counting:
            self.answered += succeeded
            self.failed += not succeeded

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                relay._forward(self)

            def do_POST(self) -> None:
                relay._forward(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Log nothing: the address is a secret."""

        return Handler

    def _forward(self, request: BaseHTTPRequestHandler) -> None:
        prefix = f"/{self._token}"
        if not request.path.startswith(prefix + API):
            request.send_error(404, "Nothing here")
            return
        if "transfer-encoding" in request.headers:
            request.send_error(411, "Send a Content-Length")
            return
        content = request.rfile.read(int(request.headers.get("content-length", 0)))
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        try:
            with self._route.forward(
                self._color,
                request.command,
                request.path.removeprefix(prefix),
                content=content,
                headers=headers,
                timeout_seconds=self._timeout_seconds,
            ) as response:
                self._count(succeeded=response.status_code < 400)
                self._answer(request, response)
        except httpx.HTTPError as error:
            self._count(succeeded=False)
            request.send_error(502, f"The endpoint does not answer: {type(error).__name__}")
        except OSError:
            request.close_connection = True  # the client has disconnected

    def _answer(self, request: BaseHTTPRequestHandler, response: httpx.Response) -> None:
        request.send_response(response.status_code)
        request.send_header("Content-Type", response.headers.get("content-type", "application/json"))
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        try:
            for part in response.iter_bytes():
                if part:
                    request.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                    request.wfile.flush()
        except httpx.HTTPError:
            # The status has already been sent: only a closed connection shows that the answer is incomplete.
            request.close_connection = True
            return
        request.wfile.write(b"0\r\n\r\n")
