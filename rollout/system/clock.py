"""The clock of a rollout, and requests to stop, which end its waits."""

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType

from rollout.model.errors import StoppedError

# The longest time, in seconds, for which a wait does not notice a request to stop.
SLICE_SECONDS = 0.1


class StopSignal:
    """Remembers SIGTERM and SIGINT, and checks for a stop mark from another process."""

    def __init__(
        self,
        marked: Callable[[], str | None] = lambda: None,
        still_ours: Callable[[], None] = lambda: None,
        on_signal: Callable[[], None] = lambda: None,
    ) -> None:
        """Start without a request.

        Args:
            marked: returns why to stop, or None.
            still_ours: raises when another process has taken over the lock. ``shield`` does not suppress this.
            on_signal: called in the signal's handler. It must return at once, and take no lock.
        """
        self._marked = marked
        self._on_signal = on_signal
        self._still_ours = still_ours
        self._received: str | None = None
        self._shielded = False

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT of this process."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def shield(self) -> None:
        """Ignore all requests to stop from now on."""
        self._shielded = True

    def check(self) -> None:
        """Raise if there is a request to stop.

        Raises:
            StoppedError: there is a request to stop. The message says who made it.
            LostLockError: another process has taken over the lock. The message names it.
        """
        self._still_ours()
        if self._shielded:
            return
        reason = self._received or self._marked()
        if reason:
            raise StoppedError(reason)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self._received = f"stopped by {signal.Signals(number).name}"
        self._on_signal()


class SystemClock:
    """The machine's clock. Its waits end early when a stop is requested."""

    def __init__(self, check: Callable[[], None]) -> None:
        """Call ``check`` while waiting. It raises to end the wait."""
        self._check = check

    def now(self) -> datetime:
        """Return the current time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since a fixed instant. Never decreases."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait, unless asked to stop.

        Raises:
            StoppedError: there is a request to stop.
        """
        deadline = time.monotonic() + seconds
        while True:
            self._check()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            time.sleep(min(remaining, SLICE_SECONDS))
