"""Several questions at once: a check asks a few at a time, and stops when the rollout is asked to stop."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from rollout.ports import Clock

LOOK_SECONDS = 0.1

_T = TypeVar("_T")


class OutOfTimeError(Exception):
    """Not every question was answered in time."""


def ask_all(
    questions: Sequence[Callable[[], _T]], *, at_once: int, clock: Clock, limit_seconds: float | None = None
) -> list[_T]:
    """Ask every question, ``at_once`` at a time, and return the answers in order.

    Raises:
        StoppedError: somebody asked the rollout to stop; what is under way is left to itself.
        OutOfTimeError: the limit is over.
    """
    began = clock.monotonic()
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="ask")
    try:
        futures: list[Future[_T]] = [pool.submit(question) for question in questions]
        pending = set(futures)
        while pending:
            pending = wait(pending, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED).not_done
            clock.sleep(0)
            if pending and limit_seconds is not None and clock.monotonic() - began > limit_seconds:
                raise OutOfTimeError(f"{len(pending)} of {len(futures)} were not answered within {limit_seconds:g} s")
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
