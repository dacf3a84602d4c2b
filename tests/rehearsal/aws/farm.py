"""Small HTTP servers on loopback addresses, in place of pods behind the load balancer."""

import asyncio
import itertools
import os
import random
import threading
from collections.abc import Coroutine
from typing import Any

from aiohttp import web

from rehearsal.system.addresses import pod_address_of

PORT = 8000
_numbers = itertools.count(1)
_network = f"127.{random.randint(128, 250)}.{os.getpid() % 250}"
"""Differs between concurrent test processes."""


class Target:
    """One server. The path under /v1 selects its behaviour: echo, status/N, stream/CHUNKS/GAP_MS, slow/MS, break."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loopback = f"{_network}.{next(_numbers)}"
        self.address = pod_address_of(self.loopback)
        self.health_status = 200
        self.requests = 0
        self.connections: set[int] = set()
        self.cancelled = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/health":
            return web.Response(status=self.health_status)
        self.requests += 1
        self.connections.add(id(request.transport))
        try:
            return await self._answer(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.path.split("/")[2:]:
            case ["status", status]:
                return web.Response(status=int(status), text=self.name)
            case ["stream", chunks, gap_milliseconds]:
                return await self._stream(request, int(chunks), int(gap_milliseconds) / 1000)
            case ["slow", milliseconds]:
                await asyncio.sleep(int(milliseconds) / 1000)
                return web.Response(text=self.name)
            case ["reset"]:
                assert request.transport
                request.transport.abort()
                return web.Response()
            case ["break"]:
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(b"half")
                await asyncio.sleep(0.05)
                assert request.transport
                request.transport.abort()
                return response
            case _:
                body = await request.read()
                seen = {"name": self.name, "path": request.raw_path, "body_bytes": len(body)}
                headers = {name.lower(): value for name, value in request.headers.items()}
                return web.json_response(seen | {"method": request.method, "headers": headers})

    @staticmethod
    async def _stream(request: web.BaseRequest, chunks: int, gap_seconds: float) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(chunks):
            await response.write(f"data: {number}\n\n".encode())
            await asyncio.sleep(gap_seconds)
        await response.write(b"data: [DONE]\n\n")
        return response


class Farm:
    """Runs targets in an event loop in its own thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runners: dict[Target, web.ServerRunner] = {}

    def start(self, name: str) -> Target:
        """Start a new target."""
        target = Target(name)
        self._run(self._start(target))
        return target

    def stop(self, target: Target) -> None:
        """End the server of a target."""
        self._run(self._runners.pop(target).cleanup())

    def close(self) -> None:
        for target in tuple(self._runners):
            self.stop(target)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self, target: Target) -> None:
        server = web.Server(target.handle, handler_cancellation=True)
        self._runners[target] = runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, target.loopback, PORT).start()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
