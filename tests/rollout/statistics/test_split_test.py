"""By simulation, how often the test of a split is wrong; and that it is never wrong for lack of data."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.statistics.split_test import UNCHANGED, PeriodCounts, Split, SplitOutcome, SplitResult, examine

STEPS = ((0, 1), (1, 25), (25, 75), (75, 100), (100, 75), (1, 0))
PER_PERIOD = 46
counted = st.lists(
    st.builds(PeriodCounts, candidate=st.integers(0, 500), other=st.integers(0, 500)), min_size=0, max_size=30
)
changes = st.tuples(st.integers(0, 100), st.integers(0, 100)).filter(lambda pair: pair[0] != pair[1])


def split(previous: float, intended: float, error_percent: float = 1.0) -> Split:
    return Split(previous_percent=previous, intended_percent=intended, error_percent=error_percent)


def served(share: float, requests: int, chance: random.Random) -> PeriodCounts:
    candidate = sum(chance.random() < share for _ in range(requests))
    return PeriodCounts(candidate=candidate, other=requests - candidate)


def watch(
    asked: Split, share: Callable[[int], float], *, periods: int, chance: random.Random, per_period: int = PER_PERIOD
) -> tuple[int | None, list[SplitResult]]:
    """Look after every period until the split is found in effect, and return when and all answers."""
    seen: list[PeriodCounts] = []
    answers: list[SplitResult] = []
    for number in range(periods):
        seen.append(served(share(number), per_period, chance))
        answers.append(examine(asked, seen))
        if answers[-1].outcome is SplitOutcome.AGREES:
            return number, answers
    return None, answers


def agreed(asked: Split, share: float, *, runs: int, periods: int = 30) -> int:
    chance = random.Random(f"{asked}{share}")
    return sum(watch(asked, lambda _: share, periods=periods, chance=chance)[0] is not None for _ in range(runs))


@pytest.mark.parametrize(("previous", "intended"), STEPS)
@pytest.mark.slow
def test_a_change_that_never_comes_into_effect_passes_no_more_often_than_stated(previous: int, intended: int) -> None:
    asked = split(previous, intended, error_percent=5)
    # At 5 %, more than 12 of 100 are almost impossible (p < 0.002), however often one looks.
    assert agreed(asked, previous / 100, runs=100) <= 12


@pytest.mark.parametrize(("previous", "intended"), STEPS[:4])
@pytest.mark.slow
def test_nor_does_one_that_is_a_third_in_effect(previous: int, intended: int) -> None:
    asked = split(previous, intended, error_percent=5)
    assert agreed(asked, asked.along(UNCHANGED), runs=100) <= 12


@pytest.mark.parametrize(("previous", "intended", "actual"), [(0, 1, 50), (1, 25, 75), (25, 75, 100), (75, 100, 50)])
def test_a_split_that_is_neither_is_refused_and_reported(previous: int, intended: int, actual: int) -> None:
    chance = random.Random(actual)
    found, answers = watch(split(previous, intended), lambda _: actual / 100, periods=30, chance=chance)
    assert found is None
    assert answers[-1].outcome is SplitOutcome.NEITHER


@pytest.mark.parametrize(("previous", "intended"), STEPS[:5])
def test_a_change_in_effect_is_found_with_about_as_many_requests_as_foretold(previous: int, intended: int) -> None:
    asked, chance = split(previous, intended), random.Random(1)
    runs = [watch(asked, lambda _: intended / 100, periods=900, chance=chance, per_period=5)[0] for _ in range(15)]
    requests = sorted(5 * (number + 1) for number in runs if number is not None)
    assert len(requests) == 15
    assert asked.expected_requests / 3 <= requests[7] <= asked.expected_requests * 2.5


@pytest.mark.parametrize(("previous", "intended"), STEPS[:4])
@pytest.mark.parametrize("lag", [5, 30])
def test_a_lag_is_reported_and_waited_out(previous: int, intended: int, lag: int) -> None:
    asked, chance = split(previous, intended), random.Random(lag)
    for _ in range(5):
        found, answers = watch(
            asked, lambda number: (intended if number >= lag else previous) / 100, periods=lag + 60, chance=chance
        )
        assert found is not None
        assert lag <= found <= lag + 4 * asked.expected_requests / PER_PERIOD + 4
        if lag * PER_PERIOD > 3 * asked.expected_requests:
            assert answers[lag - 1].outcome is SplitOutcome.PREVIOUS


def test_a_change_that_spreads_node_by_node_is_found_once_it_is_everywhere() -> None:
    chance = random.Random(3)
    found, _ = watch(split(25, 75), lambda number: min(0.25 + 0.05 * number, 0.75), periods=60, chance=chance)
    assert found is not None
    assert found >= 5


def test_a_large_count_is_not_refused_for_a_deviation_that_means_nothing() -> None:
    assert examine(split(25, 75), [PeriodCounts(candidate=745_000, other=255_000)]).outcome is SplitOutcome.AGREES
    assert examine(split(75, 100), [PeriodCounts(candidate=999_000, other=1_000)]).outcome is SplitOutcome.AGREES
    assert examine(split(25, 75), [PeriodCounts(candidate=650_000, other=350_000)]).outcome is SplitOutcome.NEITHER


def test_smaller_errors_and_smaller_steps_need_more_requests() -> None:
    assert split(0, 1, 0.1).expected_requests > split(0, 1, 1).expected_requests > split(0, 5).expected_requests
    assert split(0, 1).expected_requests == 405


@given(change=changes, error_percent=st.floats(0.001, 10))
def test_without_requests_nothing_is_found(change: tuple[int, int], error_percent: float) -> None:
    asked = split(*change, error_percent)
    nothing = [PeriodCounts(candidate=0, other=0)] * 50
    assert examine(asked, []).outcome is SplitOutcome.TOO_FEW
    assert examine(asked, nothing).outcome is SplitOutcome.TOO_FEW
    assert asked.expected_requests >= 1


@given(change=changes, periods=counted)
def test_the_two_colours_are_treated_alike(change: tuple[int, int], periods: list[PeriodCounts]) -> None:
    mirrored = [PeriodCounts(candidate=one.other, other=one.candidate) for one in periods]
    here = examine(split(*change), periods)
    there = examine(split(100 - change[0], 100 - change[1]), mirrored)
    assert (here.outcome, here.requests) == (there.outcome, there.requests)


@given(change=changes, periods=counted)
def test_what_agrees_with_a_split_is_nearer_to_it_than_to_the_former(
    change: tuple[int, int], periods: list[PeriodCounts]
) -> None:
    answer = examine(split(*change), periods)
    if answer.outcome is SplitOutcome.AGREES and answer.candidate_percent is not None:
        asked = split(*change)
        bound = 100 * asked.along(UNCHANGED)
        assert (answer.candidate_percent > bound) == (change[1] > change[0])


def test_a_split_must_be_a_change() -> None:
    with pytest.raises(ValueError, match="must change"):
        examine(split(25, 25), [])
