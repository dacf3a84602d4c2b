"""The server's HTTP interface: routes, keys, errors, access log and HTTP metrics."""

import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from aiohttp import web

from rehearsal.vllm import identity, text
from rehearsal.vllm.completions import Completions
from rehearsal.vllm.engine import Engine
from rehearsal.vllm.flags import ServeArguments
from rehearsal.vllm.metrics import Metrics
from rehearsal.vllm.protocol import ApiError, bad_request, read_body, render_chat

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

GUARDED_PREFIXES = ("/v1", "/v2", "/inference", "/cohere")
UNCOUNTED = frozenset({"/metrics", "/health", "/load", "/ping", "/version", "/server_info"})
METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

access_log = logging.getLogger("uvicorn.access")


class Server:
    """The HTTP handlers."""

    def __init__(self, arguments: ServeArguments, engine: Engine, metrics: Metrics, max_model_len_tokens: int) -> None:
        self._arguments = arguments
        self._engine = engine
        self._metrics = metrics
        self._max_model_len_tokens = max_model_len_tokens
        self._cards = identity.model_cards(arguments, max_model_len_tokens)

    def app(self) -> web.Application:
        """Return the application with all routes."""
        completions = Completions(self._arguments, self._engine, self._max_model_len_tokens)
        app = web.Application(middlewares=[self._observe, self._guard], client_max_size=64 * 2**20)
        if self._arguments.request_id_headers:
            app.on_response_prepare.append(_echo_request_id)
        app.router.add_get("/health", self._healthy)
        app.router.add_route("GET", "/ping", self._healthy)
        app.router.add_route("POST", "/ping", self._healthy)
        app.router.add_get("/version", self._version)
        app.router.add_get("/load", self._load)
        app.router.add_get("/metrics", self._exposition)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", completions.chat)
        app.router.add_post("/v1/completions", completions.completion)
        app.router.add_post("/invocations", completions.invocation)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/detokenize", self._detokenize)
        return app

    @web.middleware
    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.monotonic()
        # A client that hangs up has been sent the status already, or is sent it in vain: vLLM counts it as 200.
        # https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/utils.py (with_cancellation)
        status = int(HTTPStatus.OK)
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else "none"
            if route not in UNCOUNTED:
                self._metrics.http(route, request.method, status, time.monotonic() - started)
            if self._arguments.access_log and request.path not in self._arguments.access_log_excluded:
                access_log.info('%s - "%s %s HTTP/1.1" %d', request.remote, request.method, request.path_qs, status)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._arguments.api_keys and request.path.startswith(GUARDED_PREFIXES) and request.method != "OPTIONS":
            scheme, _, key = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or key not in self._arguments.api_keys:
                return web.json_response({"error": "Unauthorized"}, status=HTTPStatus.UNAUTHORIZED)
        try:
            return await handler(request)
        except ApiError as error:
            return web.json_response(error.body, status=error.status)
        except web.HTTPException as error:
            return web.json_response(ApiError(HTTPStatus(error.status), error.reason).body, status=error.status)

    async def _healthy(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": identity.VERSION})

    async def _load(self, _request: web.Request) -> web.Response:
        return web.json_response({"server_load": self._engine.requests if self._arguments.server_load_tracking else 0})

    async def _exposition(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": METRICS_CONTENT_TYPE})

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response(self._cards)

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = read_body(await request.read(), request.content_type)
        prompt: Any = render_chat(body["messages"]) if "messages" in body else body.get("prompt")
        if not isinstance(prompt, str):
            raise bad_request("prompt must be a text", "prompt")
        tokens = text.tokenize(prompt)
        return web.json_response(
            {
                "count": len(tokens),
                "max_model_len": self._max_model_len_tokens,
                "tokens": [text.token_id(token) for token in tokens],
                "token_strs": tokens if body.get("return_token_strs") else None,
            }
        )

    async def _detokenize(self, request: web.Request) -> web.Response:
        body = read_body(await request.read(), request.content_type)
        tokens: Any = body.get("tokens")
        if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
            raise bad_request("tokens must be a list of integers", "tokens")
        try:
            return web.json_response({"prompt": text.detokenize(tokens)})
        except ValueError as error:
            raise bad_request(str(error), "tokens") from error


async def _echo_request_id(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Request-Id"] = request.headers.get("X-Request-Id") or uuid4().hex
