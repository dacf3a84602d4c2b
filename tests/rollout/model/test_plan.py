"""Candidate shares and green weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.rollout_settings import RolloutSettings
from components.domain.naming import COLORS, Color
from rollout.model.machine import Judged, Phase, Rollout, Succeeded, advance
from rollout.model.plan import Plan, Step, candidate_percent_of, green_weight_for, make_plan
from rollout.model.verdict import Verdict

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


SECONDS = st.integers(0, 100_000)
STEPS = st.builds(
    Step,
    candidate_percent=st.just(100),
    green_weight=st.just(100),
    hold_seconds=SECONDS,
    approval_timeout_seconds=st.none() | SECONDS,
)
PLANS = st.builds(
    Plan,
    candidate=st.just("green"),
    steps=st.lists(STEPS, min_size=1, max_size=5).map(tuple),
    soak_seconds=SECONDS,
    max_hold_extension_seconds=SECONDS,
)


def judged_for(plan: Plan) -> int:
    """Return how long the gates judge a rollout whose every hold gets its verdict as late as it can."""
    rollout, total = Rollout(plan=plan, phase=Phase.SHIFTING), 0
    while rollout.phase is not Phase.DONE:
        if rollout.phase not in (Phase.HOLDING, Phase.SOAKING):
            rollout = advance(rollout, Succeeded())
            continue
        begun, elapsed = rollout, 0
        # The last second at which the hold may still go on without a verdict.
        low, high = 0, 10**6
        while low < high:
            elapsed = (low + high) // 2
            waits = Judged(verdict=Verdict.INCONCLUSIVE, reason="too few", elapsed_seconds=elapsed)
            low, high = (elapsed + 1, high) if advance(begun, waits) == begun else (low, elapsed)
        rollout = advance(begun, Judged(verdict=Verdict.PASS, reason="fine", elapsed_seconds=low))
        total += low
    return total


@given(PLANS)
def test_no_rollout_is_judged_for_longer_than_its_plan_can_take(plan: Plan) -> None:
    assert judged_for(plan) == plan.longest_seconds


def test_the_usual_plan_fits_into_the_session_that_the_workflow_asks_for() -> None:
    # 45 minutes of holds, 20 of soak, and half an hour of extension for each of the five.
    assert make_plan("green", RolloutSettings()).longest_seconds == (45 + 20 + 5 * 30) * 60 < 14_400
