"""The clock of a rollout, and the requests to stop that its waits obey."""

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType

from rollout.model.errors import StoppedError

# The longest that a request to stop goes unnoticed in a wait.
SLICE_SECONDS = 0.1


class StopSignal:
    """Remembers SIGTERM and SIGINT, and looks for a stop mark left by another process."""

    def __init__(
        self, marked: Callable[[], str | None] = lambda: None, still_ours: Callable[[], None] = lambda: None
    ) -> None:
        """Watch ``marked``, which returns why to stop, or none.

        Args:
            marked: returns why to stop, or none.
            still_ours: raises when somebody else has taken the stack over; no shield keeps that off.
        """
        self._marked = marked
        self._still_ours = still_ours
        self._received: str | None = None
        self._shielded = False

    def listen(self) -> None:
        """Take over SIGTERM and SIGINT of this process."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def shield(self) -> None:
        """Ignore every request from now on."""
        self._shielded = True

    def check(self) -> None:
        """Raise if somebody asked to stop.

        Raises:
            StoppedError: with who asked.
            LostLockError: with who has taken the stack over.
        """
        self._still_ours()
        if self._shielded:
            return
        reason = self._received or self._marked()
        if reason:
            raise StoppedError(reason)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self._received = f"stopped by {signal.Signals(number).name}"


class SystemClock:
    """The machine's clock; its waits end early when a stop is asked for."""

    def __init__(self, check: Callable[[], None]) -> None:
        """Ask ``check`` while waiting; it raises to end the wait."""
        self._check = check

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some instant; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait, unless asked to stop.

        Raises:
            StoppedError: somebody asked.
        """
        deadline = time.monotonic() + seconds
        while True:
            self._check()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            time.sleep(min(remaining, SLICE_SECONDS))
