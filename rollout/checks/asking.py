"""Concurrent requests of a check. They stop when the rollout is asked to stop."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from rollout.ports import Clock
from rollout.system.waits import waiting

LOOK_SECONDS = 0.1

_T = TypeVar("_T")


class OutOfTimeError(Exception):
    """Not all requests were answered in time."""


def ask_all(
    questions: Sequence[Callable[[], _T]], *, at_once: int, clock: Clock, limit_seconds: float | None = None
) -> list[_T]:
    """Call every question, ``at_once`` at a time, and return the answers in order.

    Raises:
        StoppedError: the rollout was asked to stop; running requests are left to finish.
        OutOfTimeError: ``limit_seconds`` has passed.
    """
    began = clock.monotonic()
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="ask")
    try:
        futures: list[Future[_T]] = [pool.submit(question) for question in questions]
        pending = set(futures)
        with waiting(f"the answers to {len(futures)} requests", at_most_seconds=limit_seconds):
            while pending:
                pending = wait(pending, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED).not_done
                clock.sleep(0)
                if pending and limit_seconds is not None and clock.monotonic() - began > limit_seconds:
                    raise OutOfTimeError(
                        f"{len(pending)} of {len(futures)} were not answered within {limit_seconds:g} s"
                    )
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
