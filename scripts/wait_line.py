"""Shows on stderr what a script waits for: one live line on a terminal, else a plain line now and then."""

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, TextIO
from weakref import WeakKeyDictionary

from rollout.system.waits import NAMED_AFTER_SECONDS, Wait, current

TICK_SECONDS: Final = 0.25
# Without a terminal: when a wait is named again; later, each time after as long as between the last two.
AGAIN_SECONDS: Final = (NAMED_AFTER_SECONDS, 30.0, 120.0, 420.0)
# Calls that fail and are repeated would name the same wait over and over.
SAME_WAIT_SECONDS: Final = 20.0

_CLEAR: Final = "\r\x1b[2K"


class WaitLine:
    """The line. Whoever prints something else does it inside ``hidden``."""

    def __init__(self, stream: Callable[[], TextIO] = lambda: sys.stderr) -> None:
        """Write to this stream, between ``start`` and ``stop``."""
        self._stream = stream
        self._lock = threading.RLock()
        self._live = False
        self._columns: Callable[[], int] = lambda: 80
        self._visible = False
        self._pauses = 0
        self._sayings: list[str] = []
        self._named: dict[str, float] = {}
        self._times: WeakKeyDictionary[Wait, int] = WeakKeyDictionary()
        """How often each wait was named."""
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, *, live: bool, columns: Callable[[], int]) -> None:
        """Show waits from now on: as a live line of so many columns, or as lines."""
        self._live, self._columns = live, columns
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, daemon=True, name="wait line")
        self._thread.start()

    def stop(self) -> None:
        """Show no more waits, and leave no line behind."""
        if self._thread is None:
            return
        self._stopped.set()
        self._thread.join()
        self._thread = None
        with self._lock:
            self._say()
            self._erase()

    def _run(self) -> None:
        while not self._stopped.wait(TICK_SECONDS):
            self.tick()

    @contextmanager
    def hidden(self) -> Generator[None]:
        """Take the line away while something else is printed. What is still to be said comes first."""
        with self._lock:
            self._say()
            self._erase()
            yield

    @contextmanager
    def paused(self) -> Generator[None]:
        """Show no waits during the block, in which a view fills the screen."""
        with self._lock:
            self._erase()
            self._pauses += 1
        try:
            yield
        finally:
            with self._lock:
                self._pauses -= 1

    def say(self, text: str) -> None:
        """Print a line soon. A signal handler may call it: it takes no lock and writes nothing itself."""
        self._sayings.append(text)
        if self._thread is None:
            self._say()

    def tick(self) -> None:
        """Show the current wait."""
        with self._lock:
            self._say()
            if self._pauses:
                return
            wait = current()
            if self._live:
                self._draw(wait)
            elif wait is not None and self._is_due(wait):
                self._write(f"{wait}\n")

    def _say(self) -> None:
        while self._sayings:
            self._erase()
            self._write(f"{self._sayings.pop(0)}\n")

    def _draw(self, wait: Wait | None) -> None:
        if wait is None:
            self._erase()
            return
        self._write(f"{_CLEAR}{wait.within(self._columns() - 1)}")
        self._visible = True

    def _erase(self) -> None:
        if self._visible:
            self._write(_CLEAR)
            self._visible = False

    def _is_due(self, wait: Wait) -> bool:
        wanted, now = times_named(wait.seconds()), time.monotonic()
        latest = self._named.get(wait.what)
        if self._times.get(wait, 0) >= wanted or (latest is not None and now - latest < SAME_WAIT_SECONDS):
            return False
        self._named[wait.what] = now
        self._times[wait] = wanted
        return True

    def _write(self, text: str) -> None:
        stream = self._stream()
        try:
            stream.write(text)
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            self._visible = False


def times_named(seconds: float) -> int:
    """Return how often a wait that has lasted so long is to be named without a terminal."""
    early = sum(seconds >= one for one in AGAIN_SECONDS)
    if early < len(AGAIN_SECONDS):
        return early
    return early + int((seconds - AGAIN_SECONDS[-1]) // (AGAIN_SECONDS[-1] - AGAIN_SECONDS[-2]))


wait_line: Final = WaitLine()
