"""Failures that pass are retried, and each is reported once."""

from collections.abc import Callable

import pytest

from rollout.model.errors import PolicyRefusedError, RefusedError, RolloutError, UnavailableError, UpdateFailedError
from rollout.steps.retry import retry
from tests.rollout.fakes import FakeClock


def failing(*errors: RolloutError) -> Callable[[], str]:
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return call


def test_what_succeeds_is_not_asked_about_patience() -> None:
    def unasked() -> float:
        raise AssertionError

    clock = FakeClock()
    assert retry(failing(), clock, patience_seconds=unasked, pause_seconds=5) == "done"
    assert clock.elapsed == 0


def test_each_failure_is_reported_once() -> None:
    clock, reported = FakeClock(), list[str]()
    call = failing(*(UnavailableError(word) for word in ("throttled", "throttled", "no answer", "throttled")))
    answer = retry(
        call, clock, patience_seconds=lambda: 60, pause_seconds=5, on_failure=lambda error: reported.append(str(error))
    )
    assert answer == "done"
    assert reported == ["throttled", "no answer"]
    assert clock.elapsed == 20


@pytest.mark.parametrize(("patience_seconds", "attempts"), [(0, 1), (9, 3), (10, 3), (11, 4)])
def test_patience_ends(patience_seconds: float, attempts: int) -> None:
    clock, errors = FakeClock(), [UnavailableError(str(number)) for number in range(9)]
    with pytest.raises(UnavailableError, match=str(attempts - 1)):
        retry(failing(*errors), clock, patience_seconds=lambda: patience_seconds, pause_seconds=5)
    assert clock.elapsed == 5 * (attempts - 1)


def test_what_cannot_pass_comes_out_at_once() -> None:
    with pytest.raises(RefusedError):
        retry(failing(RefusedError("no")), FakeClock(), patience_seconds=lambda: 60, pause_seconds=5)
    clock, error = FakeClock(), PolicyRefusedError("maxSize is 1")
    with pytest.raises(PolicyRefusedError):
        retry(
            failing(error),
            clock,
            patience_seconds=lambda: 60,
            pause_seconds=5,
            transient=(UpdateFailedError,),
            fatal=(PolicyRefusedError,),
        )
    assert clock.elapsed == 0
