"""What must be proven of a step, and the candidate's share where cohorts add to it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.rollout_settings import RolloutSettings
from rollout.gates.changes import CountedShare, Proof, change_of, share_after
from rollout.model.plan import Plan, make_plan

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
COHORTS: list[dict[str, Any]] = [
    {"name": name, "priority": place, "header": "x-tenant", "values": [name]}
    for place, name in enumerate(("friends", "partners"), 20)
]


def plan(*percents: int, cohorts: int = 2) -> Plan:
    chosen = COHORTS[:cohorts]
    steps = [{"cohort": one["name"], "hold_seconds": 60} for one in chosen]
    steps += [{"candidate_percent": percent, "hold_seconds": 60} for percent in (*percents, 100)]
    return make_plan("blue", RolloutSettings.model_validate({"cohorts": chosen, "steps": steps}))


SURE = CountedShare(percent=20, requests=100_000)


@given(st.floats(0, 1), st.integers(0, 99), st.data())
def test_the_share_after_is_that_of_requests_of_which_some_do_not_follow_the_weight(
    cohorts: float, former: int, data: st.DataObject
) -> None:
    weight = data.draw(st.integers(former, 100))
    before = 100 * cohorts + (1 - cohorts) * former
    after = 100 * cohorts + (1 - cohorts) * weight
    assert share_after(before, former_weight=former, weight=weight) == pytest.approx(after, abs=1e-6)


def test_after_all_the_weight_there_is_no_other_share() -> None:
    with pytest.raises(ValueError, match="all the weight already"):
        share_after(100, former_weight=100, weight=100)


@pytest.mark.parametrize(
    ("step", "counted", "proof"),
    [
        (0, None, Proof.COHORT),
        (1, None, Proof.RULES),
        (2, SURE, Proof.RULES),  # one percent of the rest is 0.8 points
        (3, SURE, Proof.SHARE),
        (3, CountedShare(percent=20, requests=50), Proof.RULES),  # 19 points, but 5.7 of them are chance
        (3, None, Proof.RULES),
        (4, SURE, Proof.SHARE),
        (4, None, Proof.SHARE),
        (4, CountedShare(percent=99.5, requests=1000), Proof.RULES),
    ],
)
def test_a_step_is_proven_by_what_the_counts_can_show(step: int, counted: CountedShare | None, proof: Proof) -> None:
    assert change_of(plan(1, 25), step, since=NOW, counted=counted).proof is proof


@pytest.mark.parametrize("step", range(3))
def test_without_cohorts_every_weight_is_proven_by_its_split(step: int) -> None:
    change = change_of(plan(1, 25, cohorts=0), step, since=NOW, counted=None)
    shares = [(0, 1), (1, 25), (25, 100)]
    assert (change.previous_percent, change.intended_percent) == shares[step]
    assert change.proof is Proof.SPLIT


@given(st.floats(0, 100), st.integers(1, 10**6), st.integers(2, 99))
def test_what_is_to_be_seen_is_larger_than_what_chance_does(percent: float, requests: int, weight: int) -> None:
    counted = CountedShare(percent=percent, requests=requests)
    change = change_of(plan(weight, cohorts=1), 1, since=NOW, counted=counted)
    if change.proof is Proof.SHARE:
        assert change.intended_percent - change.previous_percent >= max(5, 4 * counted.error_points)
