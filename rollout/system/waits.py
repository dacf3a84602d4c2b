"""What this process waits for: one list for all threads, which whoever has a terminal can show.

Everything that may take longer than two seconds is done inside ``waiting``, which says for what, since when, and until
when at most. Nothing here prints, and a wait that nobody shows costs next to nothing.
"""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

NAMED_AFTER_SECONDS: Final = 2.0
"""A shorter wait needs no words."""

_CONTEXT: Final = "wait"
_LONGEST_BACKOFF_SECONDS: Final = 20.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Wait:
    """One thing that is waited for."""

    what: str
    since: datetime
    began: float
    """When it began, on the machine's monotonic clock, in seconds."""
    at_most_seconds: float | None
    """Its longest duration. None when it ends by itself and nothing limits it."""

    def seconds(self) -> float:
        """Return how long it has lasted."""
        return time.monotonic() - self.began

    def __str__(self) -> str:
        """Return for what, since when and until when at most, in one line."""
        return f"waiting for {self.what}{self._times}"

    def within(self, columns: int) -> str:
        """Return the same in so many columns: the times stay whole, as long as they fit."""
        before, after = "waiting for ", self._times
        room = columns - len(before) - len(after)
        what = self.what if len(self.what) <= room else f"{self.what[: max(0, room - 1)]}…"
        return f"{before}{what}{after}"[: max(0, columns)]

    @property
    def _times(self) -> str:
        text = f": since {self.since:%H:%M:%S} ({self.seconds():.0f} s)"
        if self.at_most_seconds is None:
            return f"{text}, without a limit"
        return f"{text}, until {self.since + timedelta(seconds=self.at_most_seconds):%H:%M:%S} UTC at most"


_waits: Final[list[Wait]] = []
_changing: Final = threading.Lock()


def begin(what: str, *, at_most_seconds: float | None = None, lasted_seconds: float = 0.0) -> Wait:
    """Begin a wait that ``end`` ends. Where a block can contain it, use ``waiting``."""
    wait = Wait(
        what=what,
        since=datetime.now(UTC) - timedelta(seconds=lasted_seconds),
        began=time.monotonic() - lasted_seconds,
        at_most_seconds=at_most_seconds,
    )
    with _changing:
        _waits.append(wait)
    return wait


def end(wait: Wait) -> None:
    """End a wait; do nothing if it has ended."""
    with _changing:
        if wait in _waits:
            _waits.remove(wait)


@contextmanager
def waiting(what: str, *, at_most_seconds: float | None = None, lasted_seconds: float = 0.0) -> Generator[None]:
    """Say that the block waits.

    Args:
        what: what is awaited, as the object of "waiting for".
        at_most_seconds: the longest duration, from the wait's beginning. None when nothing limits it.
        lasted_seconds: how long it has lasted already, for a wait in several blocks.
    """
    wait = begin(what, at_most_seconds=at_most_seconds, lasted_seconds=lasted_seconds)
    try:
        yield
    finally:
        end(wait)


def current() -> Wait | None:
    """Return the wait to show: of those that have lasted long enough, the one that was begun last. None for none."""
    with _changing:
        found = [wait for wait in _waits if wait.seconds() >= NAMED_AFTER_SECONDS]
    return found[-1] if found else None


def name_calls(client: Any, *, at_most_seconds: float) -> None:
    """Name each call of a botocore client while it lasts, with all of its attempts.

    https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
    """
    service = client.meta.service_model.service_name
    events: Any = client.meta.events
    events.register("before-call", partial(_call_begins, service, at_most_seconds))
    for event in ("after-call", "after-call-error"):
        events.register(event, _call_ends)


def longest_call_seconds(*, attempts: int, timeout_seconds: float) -> float:
    """Return how long a call may take with all its attempts, each of them ``timeout_seconds``.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
    """
    pauses = sum(min(2.0**attempt, _LONGEST_BACKOFF_SECONDS) for attempt in range(attempts - 1))
    return attempts * timeout_seconds + pauses


def _call_begins(service: str, at_most_seconds: float, *, model: Any, context: dict[str, Any], **_: object) -> None:
    context[_CONTEXT] = begin(f"AWS ({service} {model.name})", at_most_seconds=at_most_seconds)


def _call_ends(*, context: dict[str, Any], **_: object) -> None:
    if (wait := context.pop(_CONTEXT, None)) is not None:
        end(wait)
