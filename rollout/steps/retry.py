"""Trying again what fails for now, and telling of it once."""

from collections.abc import Callable
from typing import TypeVar

from rollout.model.errors import RolloutError, UnavailableError
from rollout.ports import Clock

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
    """Call until it succeeds, or until patience is over; returns what the call returns.

    Args:
        call: what to do.
        clock: the time.
        patience_seconds: for how long to try; asked only once something has failed.
        pause_seconds: between two attempts.
        on_failure: hears each failure once, by its words.
        transient: the errors that may pass; any other comes out at once.
        fatal: those among them that will not.

    Raises:
        RolloutError: it still fails when patience is over.
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
            clock.sleep(pause_seconds)
