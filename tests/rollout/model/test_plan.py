"""Candidate shares and green weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.rollout_settings import RolloutSettings
from components.domain.naming import COLORS, Color
from rollout.model.plan import candidate_percent_of, green_weight_for, make_plan

PERCENTS = st.integers(0, 100)


@pytest.mark.parametrize(("candidate", "weights"), [("green", [1, 25, 75, 100]), ("blue", [99, 75, 25, 0])])
def test_a_ramp_moves_the_green_weight_towards_the_candidate(candidate: Color, weights: list[int]) -> None:
    plan = make_plan(candidate, RolloutSettings())
    assert [step.green_weight for step in plan.steps] == weights
    assert plan.initial_green_weight == 100 - weights[-1]


@given(st.sampled_from(COLORS), PERCENTS)
def test_share_and_weight_are_each_others_inverse(candidate: Color, percent: int) -> None:
    assert candidate_percent_of(candidate, green_weight_for(candidate, percent)) == percent


@given(PERCENTS)
def test_what_one_colour_gets_the_other_does_not(percent: int) -> None:
    assert green_weight_for("green", percent) + green_weight_for("blue", percent) == 100


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_share_outside_0_to_100_is_refused(percent: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        green_weight_for("green", percent)
