"""Streamed requests of which a set number is open at any time: each that ends is followed by the next.

They run in one thread of their own, with an event loop: there may be hundreds, and all must end at once when a rollout
is stopped. A request whose connection is closed is aborted by the server.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import httpx

from rollout.adapters.event_stream import BrokenStreamError, EventStream
from rollout.model.answers import Answer, path_of, read_error

# After a failure, the next request of this place waits for so long: a server that refuses must not be stormed.
PAUSE_SECONDS = 0.2
_END_SECONDS = 5.0


@dataclass(eq=False, kw_only=True)
class ClosedLoop:
    """Sends requests while its context is entered. At its end, all open requests are cut off."""

    base_url: str
    headers: Mapping[str, str]
    requests: Iterator[Mapping[str, Any]]
    timeout_seconds: float
    count: Callable[[], None] = lambda: None
    """Called for each request that is sent."""
    _wanted: int = field(default=0, init=False)
    _running: int = field(default=0, init=False)
    _places: set["asyncio.Task[None]"] = field(default_factory=set["asyncio.Task[None]"], init=False)
    _open: dict[EventStream, float] = field(default_factory=dict[EventStream, float], init=False)
    """The open answers, with the times at which they were asked for."""
    _ended: list[Answer] = field(default_factory=list[Answer], init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __enter__(self) -> Self:
        """Start without a request."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.AsyncClient(
            base_url=self.base_url, headers=self.headers, timeout=self.timeout_seconds, limits=limits
        )
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="closed-loop", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut off all open requests."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(_END_SECONDS)

    def keep_open(self, count: int) -> None:
        """Have ``count`` requests open from now on. If more are open, those that end are not followed by others."""
        self._loop.call_soon_threadsafe(self._fill, count)

    def answers(self) -> Sequence[Answer]:
        """Return the answers that have ended since the last call."""
        with self._lock:
            ended, self._ended = self._ended, []
        return ended

    def waiting_seconds(self) -> Sequence[float]:
        """Return for how long each open request without a first token has waited for it."""
        now = time.monotonic()
        with self._lock:
            return [now - began for events, began in self._open.items() if events.ttft_seconds is None]

    def open_tokens(self) -> int:
        """Return how many events with tokens the open answers have so far."""
        with self._lock:
            return sum(events.events for events in self._open)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_closed())

    async def _until_closed(self) -> None:
        async with self._client:
            await self._closing.wait()
            places = list(self._places)
            for place in places:
                place.cancel()
            await asyncio.gather(*places, return_exceptions=True)

    def _fill(self, count: int) -> None:
        self._wanted = count
        while self._running < self._wanted and not self._closing.is_set():
            self._running += 1
            place = self._loop.create_task(self._ask_again_and_again())
            self._places.add(place)
            place.add_done_callback(self._places.discard)

    async def _ask_again_and_again(self) -> None:
        while self._running <= self._wanted:
            answer = await self._ask(next(self.requests))
            with self._lock:
                self._ended.append(answer)
            if answer.error is not None:
                await asyncio.sleep(PAUSE_SECONDS)
        self._running -= 1

    async def _ask(self, body: Mapping[str, Any]) -> Answer:
        self.count()
        began = time.monotonic()
        events = EventStream(began)
        with self._lock:
            self._open[events] = began
        try:
            async with self._client.stream("POST", path_of(body), json=body) as response:
                if response.status_code != 200:
                    await response.aread()
                    answer = Answer(status=response.status_code, error=read_error(response.status_code, response.text))
                else:
                    # To the end, also after the last event: else the connection could not be used again.
                    async for line in response.aiter_lines():
                        events.read(line, time.monotonic())
                    answer = events.answer(response.status_code)
        except (httpx.HTTPError, BrokenStreamError, ValueError, LookupError, TypeError, AttributeError) as error:
            answer = Answer(status=None, error=str(error) or type(error).__name__)
        finally:
            with self._lock:
                del self._open[events]
        return replace(answer, total_seconds=time.monotonic() - began)
