"""Retries calls that fail for a while, and reports each failure once."""

from collections.abc import Callable
from typing import TypeVar

from rollout.model.errors import RolloutError, UnavailableError
from rollout.ports import Clock
from rollout.system.failures import describe_error
from rollout.system.waits import waiting

_T = TypeVar("_T")


def retry(
    call: Callable[[], _T],
    clock: Clock,
    *,
    patience_seconds: Callable[[], float],
    pause_seconds: float,
    on_failure: Callable[[RolloutError], None] = lambda _: None,
    transient: tuple[type[RolloutError], ...] = (UnavailableError,),
    fatal: tuple[type[RolloutError], ...] = (),
) -> _T:
    """Repeat a call until it succeeds or the patience ends, and return its result.

    Args:
        call: the call.
        clock: the clock.
        patience_seconds: returns how long to try. Called only after a failure.
        pause_seconds: the pause between two attempts.
        on_failure: called with each failure that has a new message.
        transient: the errors that are retried. Any other is raised at once.
        fatal: subclasses of ``transient`` that are raised at once, too.

    Raises:
        RolloutError: the call still fails when the patience ends.
    """
    began, known = clock.monotonic(), set[str]()
    while True:
        try:
            return call()
        except transient as error:
            if isinstance(error, fatal) or clock.monotonic() - began >= patience_seconds():
                raise
            if str(error) not in known:
                known.add(str(error))
                on_failure(error)
            lasted_seconds = clock.monotonic() - began
            with waiting(
                f"the next attempt ({describe_error(error)})",
                at_most_seconds=patience_seconds(),
                lasted_seconds=lasted_seconds,
            ):
                clock.sleep(pause_seconds)
