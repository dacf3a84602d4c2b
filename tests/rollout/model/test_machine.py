"""The state machine: the straight way, every way back, and invariants under any sequence of events."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.rollout_settings import RolloutSettings
from components.domain.naming import COLORS, Color
from rollout.model.machine import (
    FINAL,
    UNTOUCHED,
    Action,
    AwaitIdle,
    Event,
    Failed,
    Judge,
    Judged,
    Phase,
    Promote,
    ReapRequested,
    RestoreTraffic,
    ResumeRequested,
    Retire,
    Rollout,
    Shift,
    StopRequested,
    Succeeded,
    action_of,
    advance,
    expected_routings,
)
from rollout.model.plan import Plan, make_plan
from rollout.model.rule import Routing
from rollout.model.verdict import Verdict

PLANS = {color: make_plan(color, RolloutSettings()) for color in COLORS}
COHORTS = ("friends", "partners")
WITH_COHORTS = {
    color: make_plan(
        color,
        RolloutSettings.model_validate(
            {
                "cohorts": [
                    {"name": name, "priority": place, "header": "x-tenant", "values": [name]}
                    for place, name in enumerate(COHORTS, 20)
                ],
                "steps": [
                    {"cohort": "friends", "hold_seconds": 60},
                    {"cohort": "partners", "hold_seconds": 60},
                    {"candidate_percent": 1, "hold_seconds": 60},
                    {"candidate_percent": 100, "hold_seconds": 60},
                ],
            }
        ),
    )
    for color in COLORS
}
PAUSING = {color: replace(plan, on_timeout="pause") for color, plan in PLANS.items()}
LONG = 1e6
RAMPING = (Phase.DEPLOYING, Phase.WARMING, Phase.VERIFYING, Phase.SHIFTING, Phase.ATTESTING, Phase.HOLDING)
TOUCHED = (*RAMPING, Phase.PAUSED, Phase.PROMOTING, Phase.SOAKING)


def passed(elapsed_seconds: float = LONG) -> Judged:
    return Judged(verdict=Verdict.PASS, reason="fine", elapsed_seconds=elapsed_seconds)


def inconclusive(elapsed_seconds: float) -> Judged:
    return Judged(verdict=Verdict.INCONCLUSIVE, reason="too few", elapsed_seconds=elapsed_seconds)


FAIL = Judged(verdict=Verdict.FAIL, reason="errors", elapsed_seconds=0)


def straight(rollout: Rollout) -> list[Rollout]:
    states = [rollout]
    while (action := action_of(states[-1])) is not None:
        states.append(advance(states[-1], passed() if isinstance(action, Judge) else Succeeded()))
    return states


@pytest.mark.parametrize("candidate", COLORS)
def test_the_straight_way_shifts_through_every_step_and_promotes(candidate: Color) -> None:
    plan = PLANS[candidate]
    states = straight(Rollout(plan=plan))
    actions = [action_of(state) for state in states]
    shifts = [action.routing.green_weight for action in actions if isinstance(action, Shift)]
    assert shifts == [step.green_weight for step in plan.steps]
    assert [action for action in actions if isinstance(action, Promote)] == [Promote(color=candidate)]
    assert states[-1].phase is Phase.DONE


@pytest.mark.parametrize("phase", TOUCHED)
@pytest.mark.parametrize("event", [Failed(reason="r"), StopRequested(reason="r")])
def test_from_every_phase_that_touched_something_one_event_leads_to_the_rollback(phase: Phase, event: Event) -> None:
    plan = PLANS["green"]
    after = advance(Rollout(plan=plan, phase=phase), event)
    assert action_of(after) == RestoreTraffic(green_weight=0, active_color="blue")
    assert after.reason == "r"


@pytest.mark.parametrize("phase", sorted(UNTOUCHED))
def test_before_anything_was_touched_a_failure_refuses(phase: Phase) -> None:
    assert advance(Rollout(plan=PLANS["green"], phase=phase), Failed(reason="r")).phase is Phase.REFUSED


@pytest.mark.parametrize("phase", [Phase.HOLDING, Phase.SOAKING])
def test_a_failed_verdict_acts_at_once(phase: Phase) -> None:
    assert advance(Rollout(plan=PLANS["green"], phase=phase), FAIL).phase is Phase.ROLLING_BACK


@pytest.mark.parametrize(("phase", "asked"), [(Phase.HOLDING, 600.0), (Phase.SOAKING, 1200.0)])
def test_a_hold_ends_by_time_and_verdict_together(phase: Phase, asked: float) -> None:
    holding = Rollout(plan=PLANS["green"], phase=phase)
    assert advance(holding, passed(asked - 1)) == holding
    assert advance(holding, passed(asked)).phase not in (phase, Phase.ROLLING_BACK)
    extension = holding.plan.max_hold_extension_seconds
    assert advance(holding, inconclusive(asked + extension - 1)) == holding
    given_up = advance(holding, inconclusive(asked + extension))
    assert given_up.phase is Phase.ROLLING_BACK
    assert "too few" in given_up.reason


def test_a_rollback_retires_the_candidate_even_after_its_promotion() -> None:
    soaking = next(state for state in straight(Rollout(plan=PLANS["green"])) if state.phase is Phase.SOAKING)
    restoring = advance(soaking, FAIL)
    retiring = advance(restoring, Succeeded())
    assert action_of(retiring) == Retire(color="green")
    assert advance(retiring, Succeeded()).phase is Phase.ROLLED_BACK


def test_a_stop_does_not_break_off_a_rollback() -> None:
    restoring = Rollout(plan=PLANS["green"], phase=Phase.ROLLING_BACK)
    retiring = advance(restoring, Succeeded())
    for state in (restoring, retiring):
        assert advance(state, StopRequested(reason="r")) == state


@pytest.mark.parametrize("phase", [Phase.ROLLING_BACK, Phase.RETIRING, Phase.REAPING])
def test_what_fails_on_the_way_back_needs_a_person(phase: Phase) -> None:
    assert advance(Rollout(plan=PLANS["green"], phase=phase), Failed(reason="r")).phase is Phase.FAILED


def test_a_reap_waits_then_retires_the_outgoing_colour() -> None:
    done = straight(Rollout(plan=PLANS["green"]))[-1]
    reaping = advance(done, ReapRequested())
    assert action_of(reaping) == AwaitIdle(color="blue")
    retiring = advance(reaping, Succeeded())
    assert action_of(retiring) == Retire(color="blue")
    assert advance(retiring, StopRequested(reason="r")).phase is Phase.FAILED
    assert advance(retiring, Succeeded()).phase is Phase.REAPED


@pytest.mark.parametrize("phase", sorted(FINAL - {Phase.DONE}))
def test_an_end_stays_an_end(phase: Phase) -> None:
    ended = Rollout(plan=PLANS["green"], phase=phase)
    for event in (
        *(Succeeded(), Failed(reason="r"), FAIL),
        *(StopRequested(reason="r"), ReapRequested(), ResumeRequested()),
    ):
        assert advance(ended, event) == ended


EVENTS = st.one_of(
    st.just(Succeeded()),
    st.builds(Failed, reason=st.just("r")),
    st.builds(StopRequested, reason=st.just("r")),
    st.just(ReapRequested()),
    st.just(ResumeRequested()),
    st.builds(Judged, verdict=st.sampled_from(Verdict), reason=st.just("r"), elapsed_seconds=st.floats(0, 1e4)),
)


class Live:
    """Track the effects of the succeeded actions on the traffic."""

    def __init__(self, state: Rollout) -> None:
        self.green_weight = state.plan.initial_green_weight
        self.cohorts: dict[str, Color] = dict.fromkeys(COHORTS, state.plan.outgoing)
        self.active: Color = state.plan.outgoing
        self.retired: set[Color] = set()
        self.step = -1

    def follow(self, action: Action | None) -> None:
        match action:
            case Shift(step=step, routing=routing, before=before):
                assert step == self.step + 1, "a shift to another step than the next"
                assert before.green_weight == self.green_weight
                moved = {cohort for cohort in COHORTS if routing.color_of(cohort) != self.cohorts[cohort]}
                assert len(moved) + (routing.green_weight != self.green_weight) == 1, "a step moves one thing"
                self.step, self.green_weight = step, routing.green_weight
                self.cohorts = {cohort: routing.color_of(cohort) for cohort in COHORTS}
            case Promote(color=color):
                self.active = color
            case RestoreTraffic(green_weight=green_weight, active_color=color):
                self.green_weight, self.active = green_weight, color
                self.cohorts = dict.fromkeys(COHORTS, color)
            case Retire(color=color):
                self.retired.add(color)
            case _:
                pass

    def weight(self, color: Color) -> int:
        return self.green_weight if color == "green" else 100 - self.green_weight

    def is_at(self, routing: Routing) -> bool:
        return routing.green_weight == self.green_weight and all(
            routing.color_of(cohort) == color for cohort, color in self.cohorts.items()
        )


@given(st.sampled_from(COLORS), st.sampled_from([PLANS, PAUSING, WITH_COHORTS]), st.lists(EVENTS, max_size=60))
def test_invariants_hold_under_any_events(candidate: Color, plans: dict[Color, Plan], events: list[Event]) -> None:
    state = Rollout(plan=plans[candidate])
    live = Live(state)
    passes = 0
    for event in events:
        action = action_of(state)
        if isinstance(event, Succeeded):
            before = live.weight(candidate)
            live.follow(action)
            if live.weight(candidate) > before and isinstance(action, Shift):
                assert passes == action.step, "a step without the passes of all steps before it"
        following = advance(state, event)
        expected = expected_routings(following)
        knows_cohorts = plans is WITH_COHORTS
        assert not expected or any(
            live.is_at(one) if knows_cohorts else one.green_weight == live.green_weight for one in expected
        ), "the state expects another routing than there is"
        assert live.weight("blue") + live.weight("green") == 100
        assert following == state or following.phase is not Phase.PAUSED or isinstance(event, Judged)
        if state.phase is Phase.HOLDING and following.phase in (Phase.SHIFTING, Phase.PROMOTING):
            assert isinstance(event, Judged)
            assert event.verdict is Verdict.PASS
            passes += 1
        assert all(live.weight(color) == 0 for color in live.retired), "a colour with traffic was retired"
        if state.phase in TOUCHED and state.phase is not Phase.RETIRING:
            assert state.plan.outgoing not in live.retired, "the way back is gone in the middle of a rollout"
            assert isinstance(action_of(advance(state, StopRequested(reason="r"))), RestoreTraffic)
        state = following
    if state.phase is Phase.ROLLED_BACK:
        assert live.weight(state.plan.outgoing) == 100
        assert set(live.cohorts.values()) == {state.plan.outgoing}
        assert live.active == state.plan.outgoing


@pytest.mark.parametrize(("phase", "promoted"), [(Phase.HOLDING, False), (Phase.SOAKING, True)])
def test_a_hold_without_a_verdict_pauses_where_that_is_asked_for_and_begins_anew(phase: Phase, promoted: bool) -> None:
    holding = Rollout(plan=PAUSING["green"], phase=phase, step=3, promoted=promoted)
    paused = advance(holding, inconclusive(LONG))
    assert paused.phase is Phase.PAUSED
    assert "too few" in paused.reason
    assert action_of(paused) is None
    resumed = advance(paused, ResumeRequested())
    # A step's weight is first attested again.
    assert (advance(resumed, Succeeded()) if resumed.phase is Phase.ATTESTING else resumed) == holding
    assert advance(holding, FAIL).phase is Phase.ROLLING_BACK
    for event in (Succeeded(), passed(), FAIL, ReapRequested()):
        assert advance(paused, event) == paused
    assert advance(paused, StopRequested(reason="r")).phase is Phase.ROLLING_BACK


@given(st.lists(EVENTS, max_size=40))
def test_a_state_that_asks_for_nothing_is_final(events: list[Event]) -> None:
    state = Rollout(plan=PLANS["green"])
    for event in events:
        state = advance(state, event)
        assert (action_of(state) is None) == (state.phase in {*FINAL, Phase.PAUSED})


def test_steps_come_in_order() -> None:
    steps = [state.step for state in straight(Rollout(plan=PLANS["green"]))]
    assert all(after - before in (0, 1) for before, after in pairwise(steps))


def test_a_judgement_outside_a_hold_means_nothing() -> None:
    for phase in Phase:
        if phase not in (Phase.HOLDING, Phase.SOAKING):
            state = replace(Rollout(plan=PLANS["green"]), phase=phase)
            assert advance(state, FAIL) == state


def test_a_failure_before_the_first_change_of_a_deployment_is_a_refusal() -> None:
    plan = make_plan("green", RolloutSettings())
    failed = Failed(reason="locked", nothing_changed=True)
    for phase in Phase:
        ended = advance(Rollout(plan=plan, phase=phase), failed).phase
        assert (ended is Phase.REFUSED) == (phase in {*UNTOUCHED, Phase.DEPLOYING, Phase.REFUSED}), phase
