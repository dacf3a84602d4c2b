"""Waits end when the rollout is asked to stop."""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from rollout.model.errors import StoppedError
from rollout.system.clock import StopSignal, SystemClock


@contextmanager
def restored_handlers() -> Generator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_wait(number: signal.Signals) -> None:
    stop = StopSignal()
    clock = SystemClock(stop.check)
    with restored_handlers():
        stop.listen()
        threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
        started = clock.monotonic()
        with pytest.raises(StoppedError, match=number.name):
            clock.sleep(30)
    assert clock.monotonic() - started < 5


def test_a_signal_is_answered_at_once_even_behind_the_shield() -> None:
    said: list[str] = []
    stop = StopSignal(on_signal=lambda: said.append("all traffic goes back first"))
    stop.shield()
    with restored_handlers():
        stop.listen()
        os.kill(os.getpid(), signal.SIGINT)
    assert said == ["all traffic goes back first"]
    stop.check()


def test_a_mark_by_another_process_ends_a_wait() -> None:
    with pytest.raises(StoppedError, match="users complain"):
        SystemClock(StopSignal(lambda: "users complain").check).sleep(30)


def test_behind_its_shield_a_rollback_hears_nothing() -> None:
    stop = StopSignal(lambda: "again")
    stop.shield()
    SystemClock(stop.check).sleep(0)


def test_the_time_carries_its_zone() -> None:
    assert SystemClock(lambda: None).now().tzinfo is not None
