"""Whole rollouts with cohorts, in a world of fakes: first the friends, then one percent, then all."""

from dataclasses import replace
from typing import Any

import pytest

from components.domain.naming import Color
from rollout.controller import Controller, Subject
from rollout.direct_update import send_back_by, target_of
from rollout.journal.replay import run_to_resume
from rollout.model.errors import PlanRefusedError, UnavailableError
from rollout.model.machine import Phase, ReapRequested, Rollout, advance
from rollout.model.plan import make_plan
from rollout.model.rule import Routing
from rollout.model.run import last_run
from rollout.steps.drift import adopted, config_drift, routing_of
from rollout.steps.drill import practise
from rollout.steps.updates import Updater
from tests.rollout.fakes import BASE, NEW, SERVICE, World, cohort_urn
from tests.rollout.killable import KillableWorld, Killed

COHORTS: list[dict[str, Any]] = [
    {"name": "friends", "priority": 20, "header": "x-tenant", "values": ["acme"]},
    {"name": "partners", "priority": 21, "header": "x-tenant", "values": ["umbrella-*"]},
]
STEPS: list[dict[str, Any]] = [
    {"cohort": "friends", "hold_seconds": 60},
    {"cohort": "partners", "hold_seconds": 60},
    {"candidate_percent": 1, "hold_seconds": 60},
    {"candidate_percent": 50, "hold_seconds": 60},
    {"candidate_percent": 100, "hold_seconds": 60},
]
GREEN: dict[str, Any] = {"replicas": 2, "release": NEW.model_dump(mode="json")}


def with_cohorts(**overrides: Any) -> World:
    rollout: dict[str, Any] = {**BASE["rollout"], "cohorts": COHORTS, "steps": STEPS}
    return World(**{"rollout": rollout, **overrides})


def ramp(world: World) -> Rollout:
    settings = world.config.read()
    plan = make_plan(settings.idle_color, settings.rollout)
    return Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan))


def assert_all_on(world: World, color: Color) -> None:
    full = 100 if color == "green" else 0
    assert world.rule().follows(Routing(green_weight=full, active_color=color))
    settings = world.config.read()
    assert settings.cohorts_on_candidate == ()
    assert settings.active_color == world.state.active_color == color
    assert settings.rollout_serial == world.state.rollout_serial
    assert config_drift(settings, world.rule()) == ()


class Watched(World):
    """Notes where each cohort's requests went, whenever that changed."""

    seen: list[tuple[str, Color]]

    def count_requests(self) -> None:
        self.seen = getattr(self, "seen", [])
        for cohort, weight in getattr(self, "cohorts", {}).items():
            color: Color = "green" if weight else "blue"
            if [one for name, one in self.seen if name == cohort][-1:] != [color]:
                self.seen.append((cohort, color))
        super().count_requests()


def test_cohorts_go_to_the_candidate_one_after_the_other_and_stay_there_through_the_promotion() -> None:
    world = Watched(rollout={**BASE["rollout"], "cohorts": COHORTS, "steps": STEPS})
    assert ramp(world).phase is Phase.DONE
    assert world.seen == [("friends", "blue"), ("partners", "blue"), ("friends", "green"), ("partners", "green")]
    assert world.shifts_of_traffic == [0, 1, 50, 100]
    assert_all_on(world, "green")
    assert world.direct == []


def test_a_cohorts_step_updates_its_own_rule_and_the_tags_of_the_weighted_one() -> None:
    world = with_cohorts()
    ramp(world)
    targets = {message: targets for message, targets in world.ups if "cohort" in message}
    rule = world.rule_in_state(SERVICE)
    assert rule is not None
    assert targets == {
        "chat: cohort friends to green": (rule.urn, cohort_urn("friends")),
        "chat: cohort partners to green": (rule.urn, cohort_urn("partners")),
    }
    in_effect = [one["cohort"] for one in world.journal.of("weight") if one["status"] == "done"]
    assert in_effect == ["friends", "partners", "", "", ""]


def test_what_shows_that_a_step_is_in_effect_depends_on_the_cohorts() -> None:
    world = with_cohorts()
    ramp(world)
    attested = [(one["cohort"], one["proof"]) for one in world.journal.of("attested") if one["intended_percent"]]
    cohorts = [(one["cohort"], one["proof"]) for one in world.journal.of("attested") if one["cohort"]]
    assert cohorts == [("friends", "cohort"), ("partners", "rules")]
    # 1 % more cannot be told from the cohorts' own ups and downs, 50 and 100 % can.
    assert [proof for _, proof in attested] == ["rules", "share", "share", "share"]
    counted = [one["counted_percent"] for one in world.journal.of("weight") if one["status"] == "begun"]
    assert counted[:2] == [None, None]
    assert counted[2:] == pytest.approx([40, 40.6, 70], abs=1)


def test_a_cohort_that_sends_nothing_proves_nothing() -> None:
    world = with_cohorts()
    world.cohort_percent = 0.0
    ended = ramp(world)
    assert ended.phase is Phase.ROLLED_BACK
    assert "0 of 5 requests of the cohort friends have reached green" in ended.reason
    assert_all_on(world, "blue")


def test_a_candidate_that_fails_its_first_cohort_gets_no_other_client() -> None:
    world = with_cohorts()
    world.error_rate["green"] = 0.1
    ended = ramp(world)
    assert ended.phase is Phase.ROLLED_BACK
    assert "error_rate" in ended.reason
    assert world.shifts_of_traffic == [0]
    assert [one["cohort"] for one in world.journal.of("weight")] == ["friends", "friends"]
    assert_all_on(world, "blue")
    assert world.direct == [0]


def test_a_rollback_takes_one_update_for_all_rules() -> None:
    world = with_cohorts()
    steps, count = iter(range(1000)), world.clock.on_sleep

    def worse() -> None:
        if world.weights["green"] == 50 and next(steps) == 5:
            world.error_rate["green"] = 0.5
        count()

    world.clock.on_sleep = worse
    assert ramp(world).phase is Phase.ROLLED_BACK
    back = [targets for message, targets in world.ups if message.startswith("roll back")]
    rule = world.rule_in_state(SERVICE)
    assert rule is not None
    assert back == [rule.urns]
    assert len(rule.urns) == 3
    assert_all_on(world, "blue")


def test_the_idle_colour_is_not_parked_while_a_cohort_is_on_it() -> None:
    world = with_cohorts(green=GREEN, cohorts_on_candidate=["friends"])
    done = Rollout(plan=make_plan("blue", world.config.read().rollout), phase=Phase.DONE)
    ended = Controller(world.ports(), Subject(service=SERVICE)).run(advance(done, ReapRequested()))
    assert ended.phase is Phase.FAILED
    assert world.config.read().color("green").serves


def test_a_cohort_that_somebody_moves_ends_the_hold() -> None:
    world = with_cohorts()
    count = world.clock.on_sleep

    def meddle() -> None:
        if world.weights["green"] == 50 and world.journal.phase is Phase.HOLDING:
            world.cohorts["friends"] = 0
        count()

    world.clock.on_sleep = meddle
    ended = ramp(world)
    assert ended.phase is Phase.ROLLED_BACK
    assert "sends friends to blue" in ended.reason
    assert "somebody has changed it outside of Pulumi" in ended.reason


def test_a_drill_leaves_the_cohorts_where_they_are() -> None:
    world = with_cohorts(green=GREEN, active_color="green", green_weight=100, keep_until="2026-11-22T08:00:00Z")
    practise(world.ports(), Updater(world.ports(), SERVICE))
    assert world.cohorts == {"friends": 100, "partners": 100}
    assert world.shifts_of_traffic == [100, 99, 100]


@pytest.mark.parametrize("moved_first", [True, False])
def test_a_repeated_step_is_the_same_whether_its_update_took_effect_or_not(moved_first: bool) -> None:
    world = with_cohorts(green=GREEN)
    before = Routing(green_weight=0, active_color="blue")
    to = replace(before, cohorts_on_candidate=frozenset({"friends"}))
    updater = Updater(world.ports(), SERVICE)
    if moved_first:
        updater.change_routing(to, message="a step", before=before)
    else:
        world.config.edit({"cohorts_on_candidate": ["friends"]})  # the process ended before the update
    updater.change_routing(to, message="a step", before=before)
    assert world.rule().follows(to)
    assert routing_of(world.config.read()) == to


def test_a_step_from_rules_that_somebody_has_moved_is_refused() -> None:
    world = with_cohorts(green=GREEN)
    world.cohorts["friends"] = 100
    updater = Updater(world.ports(), SERVICE)
    with pytest.raises(PlanRefusedError, match="sends friends to green, partners to blue"):
        updater.change_weight(25, message="a step")


def test_the_direct_update_sends_cohorts_back_that_are_alone_on_the_candidate() -> None:
    world = with_cohorts(green=GREEN, cohorts_on_candidate=["friends"])
    moved = send_back_by(world, world.clock.now(), force=False)
    assert moved is not None
    assert moved.to == "blue"
    assert world.cohorts == {"friends": 0, "partners": 0}


def test_a_rollback_of_a_promotion_that_moved_the_cohorts_only_goes_on() -> None:
    world = with_cohorts(green=GREEN, active_color="green", green_weight=100, keep_until="2026-11-22T08:00:00Z")
    now = world.clock.now()
    assert target_of(world.rule(), now) == "blue"  # the promotion can still be undone
    world.cohorts = {"friends": 0, "partners": 100}  # the call for the weight did not get through
    assert target_of(world.rule(), now) == "blue"


def test_cohorts_that_differ_from_the_config_are_told_with_the_fix() -> None:
    world = with_cohorts(green=GREEN)
    world.cohorts["friends"] = 100
    (told,) = config_drift(world.config.read(), world.rule())
    assert told == (
        "cohorts_on_candidate: the config file says none, the live rule splits blue 100, green 0 and sends friends to "
        "green, partners to blue; scripts.rollback brings them in line; a `pulumi up` before that may move traffic the "
        "wrong way"
    )
    assert adopted(world.config.read(), world.rule()) == {"cohorts_on_candidate": ["friends"]}
    del world.cohorts["partners"]
    (told,) = config_drift(world.config.read(), world.rule())
    assert told.startswith("rollout.cohorts: the config file has friends, partners, the listener has rules of friends")


def test_a_cohort_goes_back_although_one_rule_cannot_be_set_at_first() -> None:
    world = with_cohorts(green=GREEN, cohorts_on_candidate=["friends"], green_weight=1)
    failures, send = [3], world.set_green_weight

    def throttled(green_weight: int, *, cohorts_to: Color | None = None) -> None:
        if failures[0]:
            failures[0] -= 1
            raise UnavailableError("AWS ModifyRule: Throttling")
        send(green_weight, cohorts_to=cohorts_to)

    world.set_green_weight = throttled  # pyright: ignore[reportAttributeAccessIssue]
    state = Rollout(plan=make_plan("green", world.config.read().rollout), phase=Phase.ROLLING_BACK, reason="asked")
    assert Controller(world.ports(), Subject(service=SERVICE)).run(state).phase is Phase.ROLLED_BACK
    assert_all_on(world, "blue")


def killable(**overrides: Any) -> KillableWorld:
    return KillableWorld(**{"rollout": {**BASE["rollout"], "cohorts": COHORTS, "steps": STEPS}, **overrides})


def resumed(world: KillableWorld) -> Rollout:
    world.kill_in_up = None
    world.killable.reopen()
    found = run_to_resume(last_run(world.journal.kept), NEW)
    assert found is not None
    return Controller(world.ports(), Subject(service=SERVICE, release=found.release)).resume(found)


@pytest.mark.parametrize("how", ["before", "weights", "after"])
@pytest.mark.parametrize("cohort", ["friends", "partners"])
@pytest.mark.slow
def test_a_step_whose_update_was_killed_is_made_again(how: str, cohort: str) -> None:
    straight = killable()
    ramp(straight)
    number = [message for message, _ in straight.ups].index(f"chat: cohort {cohort} to green") + 1
    world = killable()
    world.kill_in_up = (number, how)
    with pytest.raises(Killed):
        ramp(world)
    assert resumed(world).phase is Phase.DONE
    assert_all_on(world, "green")
    moved = [one["cohort"] for one in world.journal.of("weight") if one["status"] == "done"]
    assert [one for one in moved if one] == ["friends", "partners"]


@pytest.mark.parametrize("kind", ["weight", "update", "rule", "attested", "phase"])
@pytest.mark.slow
def test_a_rollout_that_is_killed_at_a_record_of_a_cohorts_step_goes_on(kind: str) -> None:
    straight = killable()
    ramp(straight)
    first = next(record for record in straight.journal.of("weight") if record["cohort"] == "partners")
    number = next(one["seq"] for one in straight.journal.of(kind) if one["seq"] >= first["seq"])
    world = killable()
    world.killable.kill_at = number
    with pytest.raises(Killed):
        ramp(world)
    assert resumed(world).phase is Phase.DONE
    assert_all_on(world, "green")


def test_a_rollback_after_a_kill_takes_the_cohorts_back() -> None:
    world = killable()
    world.killable.kill_at = next(
        record["seq"] for record in _straight_records("weight") if record["candidate_percent"] == 50
    )
    with pytest.raises(Killed):
        ramp(world)
    assert world.cohorts == {"friends": 100, "partners": 100}
    world.killable.reopen()
    state = Rollout(plan=make_plan("green", world.config.read().rollout), phase=Phase.ROLLING_BACK, reason="asked")
    assert Controller(world.ports(), Subject(service=SERVICE)).run(state).phase is Phase.ROLLED_BACK
    assert_all_on(world, "blue")


def _straight_records(kind: str) -> list[dict[str, Any]]:
    world = killable()
    ramp(world)
    return world.journal.of(kind)
