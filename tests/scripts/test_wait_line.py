"""What people see of a wait: a live line on a terminal, and a line now and then without one."""

import io
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.system import waits
from rollout.system.waits import waiting
from scripts import wait_line as module
from scripts.wait_line import WaitLine, times_named

CLEAR = "\r\x1b[2K"


@pytest.fixture(autouse=True)
def named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "NAMED_AFTER_SECONDS", 0)
    monkeypatch.setattr(module, "TICK_SECONDS", 3600)  # the tests tick


def line() -> tuple[WaitLine, io.StringIO]:
    stream = io.StringIO()
    return WaitLine(lambda: stream), stream


@contextmanager
def started(shown: WaitLine, *, live: bool, columns: int = 80) -> Generator[None]:
    shown.start(live=live, columns=lambda: columns)
    try:
        yield
    finally:
        shown.stop()


def test_on_a_terminal_the_line_is_live_and_gone_in_the_end() -> None:
    shown, stream = line()
    with started(shown, live=True, columns=60):
        with waiting("Pulumi's preview of a rollout"):
            shown.tick()
            assert stream.getvalue().startswith(f"{CLEAR}waiting for Pulumi'")
            assert stream.getvalue().endswith("…: since " + stream.getvalue().rpartition(": since ")[2])
            assert len(stream.getvalue()) == len(CLEAR) + 59
        shown.tick()
        assert stream.getvalue().endswith(CLEAR)
    assert stream.getvalue().count("\n") == 0


def test_what_is_printed_meanwhile_takes_its_place() -> None:
    shown, stream = line()
    with started(shown, live=True), waiting("AWS"):
        shown.tick()
        with shown.hidden():
            stream.write("attested\n")
        shown.tick()
    parts = stream.getvalue().split("attested\n")
    assert parts[0].endswith(CLEAR)
    assert "waiting for AWS" in parts[1]


def test_without_a_terminal_it_is_a_line_at_2_and_30_seconds_and_never_more() -> None:
    shown, stream = line()
    with started(shown, live=False):
        for lasted in (3, 4):
            with waiting("AWS", lasted_seconds=lasted):
                for _ in range(3):
                    shown.tick()
    assert stream.getvalue().count("waiting for AWS: since ") == 1
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().endswith("without a limit\n")


def test_a_wait_is_not_named_again_because_another_one_was_named_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAME_WAIT_SECONDS", 0)
    shown, stream = line()
    with started(shown, live=False), waiting("preflight", lasted_seconds=20):
        shown.tick()
        with waiting("Kubernetes", lasted_seconds=3):
            shown.tick()
        shown.tick()
    assert stream.getvalue().count("preflight") == 1


@given(seconds=st.floats(0, 1e6))
def test_a_longer_wait_is_named_more_often_but_ever_more_rarely(seconds: float) -> None:
    assert times_named(seconds) <= times_named(seconds + 1) <= times_named(seconds) + 1
    assert times_named(seconds) <= 4 + seconds / 300


@pytest.mark.parametrize(("seconds", "times"), [(1.9, 0), (2, 1), (29, 1), (30, 2), (120, 3), (420, 4), (720, 5)])
def test_when_it_is_named(seconds: float, times: int) -> None:
    assert times_named(seconds) == times


def test_a_view_that_fills_the_screen_is_left_alone() -> None:
    shown, stream = line()
    with started(shown, live=True), shown.paused(), waiting("AWS"):
        shown.tick()
    assert stream.getvalue() == ""


def test_what_a_signal_says_is_printed_at_the_next_tick_or_at_the_end() -> None:
    shown, stream = line()
    with started(shown, live=True):
        shown.say("Ctrl-C: traffic goes back first.")
        assert stream.getvalue() == ""
        shown.tick()
        assert stream.getvalue() == "Ctrl-C: traffic goes back first.\n"
        shown.say("again")
    assert stream.getvalue().endswith("again\n")


def test_without_a_line_it_is_printed_at_once() -> None:
    shown, stream = line()
    shown.say("Ctrl-C: traffic goes back first.")
    assert stream.getvalue() == "Ctrl-C: traffic goes back first.\n"


def test_a_reader_that_has_gone_away_fails_nothing() -> None:
    shown, stream = line()
    stream.close()
    with started(shown, live=True), waiting("AWS"):
        shown.tick()


def test_it_ticks_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)
    shown, stream = line()
    with started(shown, live=False), waiting("AWS", lasted_seconds=3):
        deadline = time.monotonic() + 5
        while not stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "waiting for AWS" in stream.getvalue()
