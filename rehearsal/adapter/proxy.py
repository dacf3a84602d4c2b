"""Forwards requests to the server, adds the fingerprint to its answers and counts them."""

import json
import time
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import generate_latest

from rehearsal.adapter.metrics import Metrics

_HEADERS = ("Content-Type", "Authorization", "X-Request-Id")
_JSON = "application/json"
_DATA = b"data:"
_DONE = b"[DONE]"


class Proxy:
    """The HTTP handlers. ``url`` is the server's address; every answer carries ``fingerprint``."""

    def __init__(self, session: aiohttp.ClientSession, url: str, fingerprint: str) -> None:
        self._session = session
        self._url = url
        self._fingerprint = fingerprint
        self._metrics = Metrics()

    def app(self) -> web.Application:
        """Return the application with all routes."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._exposition)
        app.router.add_route("*", "/{path:.*}", self._forward)
        return app

    async def healthy(self) -> bool:
        """Return whether the server answers. A server without ``/health`` must list its models instead."""
        for path in ("/health", "/v1/models"):
            try:
                async with self._session.get(self._url + path) as answer:
                    if answer.status != HTTPStatus.NOT_FOUND:
                        return answer.status == HTTPStatus.OK
            except aiohttp.ClientError:
                return False
        return False

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(status=HTTPStatus.OK if await self.healthy() else HTTPStatus.SERVICE_UNAVAILABLE)

    async def _exposition(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._metrics.registry), content_type="text/plain")

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        status = int(HTTPStatus.BAD_GATEWAY)
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        started = time.monotonic()
        body = await request.read()  # Before it counts as running: aiohttp takes no more of a body once it shuts down.
        with self._metrics.running.track_inprogress():
            try:
                async with self._session.request(
                    request.method, self._url + request.path_qs, headers=headers, data=body
                ) as answer:
                    status = answer.status
                    if answer.content_type == "text/event-stream":
                        return await self._stream(request, answer, started)
                    body = await answer.read()
                    if request.method == "POST" and status == HTTPStatus.OK and answer.content_type == _JSON:
                        body = self._signed(json.loads(body))
                        self._metrics.ended(time.monotonic() - started)
                    return web.Response(status=status, body=body, content_type=answer.content_type)
            except aiohttp.ClientConnectorError as error:
                return web.Response(status=status, text=f"the server does not answer: {error}")
            finally:
                self._metrics.answered(request.path, request.method, status)

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse, started: float) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        latest: float | None = None
        self._metrics.waiting.inc()
        try:
            async for line in answer.content:
                if not line.startswith(_DATA):
                    continue
                data = line.removeprefix(_DATA).strip()
                if data != _DONE:
                    event: dict[str, Any] = json.loads(data)
                    if _has_text(event):
                        latest = self._token(started, latest)
                    data = self._signed(event)
                await response.write(_DATA + b" " + data + b"\n\n")
        finally:
            if latest is None:
                self._metrics.waiting.dec()
        await response.write_eof()
        self._metrics.ended(time.monotonic() - started)
        return response

    def _token(self, started: float, latest: float | None) -> float:
        now = time.monotonic()
        if latest is None:
            self._metrics.waiting.dec()
            self._metrics.first_token(now - started)
        else:
            self._metrics.next_token(now - latest)
        return now

    def _signed(self, body: dict[str, Any]) -> bytes:
        """Add the fingerprint to an answer or a chunk, and count its tokens and finish reason."""
        for choice in body.get("choices", ()):
            if reason := choice.get("finish_reason"):
                self._metrics.finished(reason)
        if _has_text(body):
            self._metrics.tokens.inc()
        return json.dumps(body | {"system_fingerprint": self._fingerprint}).encode()


def _has_text(body: dict[str, Any]) -> bool:
    choices: list[dict[str, Any]] = body.get("choices") or [{}]
    part = choices[0].get("message") or choices[0].get("delta") or choices[0]
    return bool(part.get("content") or part.get("text"))
