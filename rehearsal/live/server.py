"""Serves the live page on this machine: the page, and its frames as server-sent events."""

import asyncio
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from rehearsal.live.page import live_page

_PAUSE_SECONDS = 0.2
_START_SECONDS = 10.0


@contextmanager
def served(frames: Sequence[str]) -> Generator[str]:
    """Serve frames, which grow meanwhile, for the length of the block. Yield the page's address."""
    server = _Server(frames)
    thread = threading.Thread(target=server.run, name="live page", daemon=True)
    thread.start()
    try:
        yield server.address()
    finally:
        server.stop()
        thread.join(_START_SECONDS)


class _Server:
    def __init__(self, frames: Sequence[str]) -> None:
        self._frames = frames
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._port = 0

    def address(self) -> str:
        """Return the page's address once the server listens."""
        if not self._ready.wait(_START_SECONDS) or not self._port:
            raise OSError("the live page's server did not start")
        return f"http://127.0.0.1:{self._port}/"

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._ready.set()
            self._loop.close()

    def stop(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self) -> None:
        application = web.Application()
        application.router.add_get("/", self._page)
        application.router.add_get("/frames", self._events)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        self._ready.set()
        try:
            await self._ended.wait()
        finally:
            await runner.cleanup()

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=live_page(None), content_type="text/html")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Send all frames so far, then each new one. A browser that reconnects names the last one that it has."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        last = request.headers.get("Last-Event-ID", "")
        place = int(last) + 1 if last.isascii() and last.isdigit() else 0
        while not self._ended.is_set():
            known = len(self._frames)
            if place < known:
                events = [f"id: {number}\ndata: {self._frames[number]}\n\n" for number in range(place, known)]
                await response.write("".join(events).encode())
                place = known
            await asyncio.sleep(_PAUSE_SECONDS)
        await response.write(b"event: end\ndata: {}\n\n")
        return response


def write_recording(path: Path, frames: Sequence[str]) -> None:
    """Write the page with all frames inside: it plays them without a server."""
    path.write_text(live_page(frames), encoding="utf-8")
