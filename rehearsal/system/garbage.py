"""Garbage collection in the processes that carry traffic."""

import gc


def collect_rarely() -> None:
    """Leave all that exists now out of garbage collection, and look at new objects less often.

    Almost all of a request's objects die without it. Otherwise it took a sixth of the CPU time of these processes.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
