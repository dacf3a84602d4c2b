"""Taking a colour out of use: patiently after a rollback, and at a reap only if the other colour can serve alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from components.domain.naming import Color
from rollout.controller import Controller, Subject
from rollout.model.changes import Change, EngineRun
from rollout.model.errors import PlanRefusedError, RolloutError, StackLockedError, UpdateFailedError
from rollout.model.machine import Phase, Rollout
from rollout.model.nodes import Pod
from rollout.model.plan import make_plan
from rollout.steps.deploy import await_unused
from rollout.steps.retire import park, release_nodes
from rollout.steps.updates import Updater
from tests.rollout.fakes import NEW, NODES_URNS, OLD, RULE_URN, SERVICE, World

CANDIDATE: dict[str, Any] = {"replicas": 2, "release": NEW.model_dump(mode="json")}


def at(phase: Phase, world: World, **state: Any) -> Rollout:
    rollout = Rollout(plan=make_plan("green", world.config.read().rollout), phase=phase, **state)
    return Controller(world.ports(), Subject(service=SERVICE)).run(rollout)


def until(world: World, elapsed: float, what: Callable[[], Exception]) -> None:
    """Updates fail until then. Each of them begins, so the edited config stays."""
    update = world.up

    def fail(*arguments: Any, **named: Any) -> EngineRun:
        if world.clock.elapsed < elapsed:
            world.clock.elapsed += 3
            raise what()
        return update(*arguments, **named)

    world.up = fail  # type: ignore[method-assign]


@pytest.mark.parametrize("error", [StackLockedError("currently locked by 1 lock(s)"), UpdateFailedError("unreachable")])
def test_a_rolled_back_candidate_is_parked_as_soon_as_updates_work_again(error: Exception) -> None:
    world = World(green=CANDIDATE)
    until(world, world.clock.elapsed + 2000, lambda: error)
    assert at(Phase.RETIRING, world).phase is Phase.ROLLED_BACK
    assert not world.pods("green")
    assert not world.config.read().color("green").nodes_wanted
    assert len([one for one in world.journal.of("note") if "failed and is retried" in one["text"]]) == 1


def test_pods_that_a_stale_file_takes_for_parked_are_parked() -> None:
    world = World(green=CANDIDATE)
    world.config.edit({"green.parked": True, "green.provisioned": False})
    assert len(world.pods("green")) == 2
    assert at(Phase.RETIRING, world).phase is Phase.ROLLED_BACK
    assert not world.pods("green")
    assert world.config.read() == world.state


def test_after_the_time_of_an_update_a_person_must_look() -> None:
    world = World(green=CANDIDATE)
    until(world, float("inf"), lambda: UpdateFailedError("unreachable"))
    began = world.clock.elapsed
    rollout = at(Phase.RETIRING, world)
    assert (rollout.phase, rollout.reason) == (Phase.FAILED, "unreachable")
    assert world.clock.elapsed - began > 3600


def test_what_a_person_must_decide_is_not_tried_again() -> None:
    world = World(green=CANDIDATE)
    until(world, float("inf"), lambda: PlanRefusedError("the plan holds more"))
    began = world.clock.elapsed
    assert at(Phase.RETIRING, world).phase is Phase.FAILED
    assert world.clock.elapsed - began < 600


def test_a_reap_that_fails_is_left_for_the_next_one() -> None:
    world = World(active_color="green", green_weight=100, green=CANDIDATE)
    until(world, float("inf"), lambda: UpdateFailedError("unreachable"))
    began = world.clock.elapsed
    assert at(Phase.RETIRING, world, promoted=True).phase is Phase.FAILED
    assert world.clock.elapsed - began < 60


@pytest.mark.parametrize("phase", [Phase.REAPING, Phase.RETIRING])
def test_the_only_colour_that_works_is_not_reaped(phase: Phase) -> None:
    world = World(active_color="green", green_weight=100, green=CANDIDATE)
    world.healthy["green"] = 1
    rollout = at(phase, world, promoted=True)
    assert rollout.phase is Phase.FAILED
    assert rollout.reason.startswith("green has 1 of 2 targets healthy")
    assert len(world.pods("blue")) == 2
    assert world.ups == []


def parked_while_served(lag_seconds: float) -> float:
    """Return how long the candidate had still been getting requests when it was parked."""
    world = World(green=CANDIDATE, green_weight=25)
    world.weight_lag_seconds = lag_seconds
    world.clock.sleep(60)
    sent: list[float] = []
    update = world.up

    def watched(*arguments: Any, **named: Any) -> EngineRun:
        run = update(*arguments, **named)
        if not world.pods("green"):
            sent.append(world.served["green"])
        return run

    world.up = watched  # type: ignore[method-assign]
    assert at(Phase.ROLLING_BACK, world).phase is Phase.ROLLED_BACK
    assert world.config.read().green_weight == 0
    return max(sent)


@pytest.mark.parametrize("lag_seconds", [0, 5, 30, 200])
def test_a_candidate_is_parked_only_when_nothing_is_sent_there_any_more(lag_seconds: float) -> None:
    assert parked_while_served(lag_seconds) == 0


def test_a_load_balancer_that_ignores_the_rule_keeps_its_candidate() -> None:
    world = World(green=CANDIDATE, green_weight=25)
    world.ignore_weights = True
    rollout = at(Phase.ROLLING_BACK, world)
    assert rollout.phase is Phase.FAILED
    assert "client requests went to green" in rollout.reason
    assert world.pods("green")
    assert world.config.read().green_weight == world.state.green_weight == world.weights["green"] == 0


def test_where_nothing_is_counted_a_candidate_is_parked_after_the_time_for_the_proof() -> None:
    world = World(green=CANDIDATE)
    world.by_period = lambda *_: ()  # type: ignore[method-assign, assignment]
    began = world.clock.elapsed
    await_unused(world.ports(), "green", since=world.clock.now())
    assert world.clock.elapsed - began >= world.config.read().rollout.attestation.timeout_seconds
    assert "without proof" in world.journal.of("note")[-1]["text"]


def test_pods_that_stay_are_reported_with_the_reason() -> None:
    world = World(green=CANDIDATE)
    stay = [replace(pod, terminating=number == 0) for number, pod in enumerate(world.pods("green"))]

    def pods(color: Color) -> tuple[Pod, ...]:
        return tuple(stay) if color == "green" else ()

    world.pods = pods  # type: ignore[method-assign]
    with pytest.raises(RolloutError, match=r"chat-green-0 \(terminating.*chat-green-1 \(not terminating: Kube"):
        park(world.ports(), Updater(world.ports(), SERVICE), "green", message="park")


def test_an_api_server_that_does_not_answer_for_a_while_delays_a_park_only() -> None:
    world = World(green=CANDIDATE)
    pods, down_until = world.pods, world.clock.elapsed + 60

    def asked(color: Color) -> tuple[Pod, ...]:
        if world.clock.elapsed < down_until:
            raise OSError("connection refused")
        return pods(color)

    world.pods = asked  # type: ignore[method-assign]
    park(world.ports(), Updater(world.ports(), SERVICE), "green", message="park")
    assert world.clock.elapsed >= down_until


def test_a_stale_file_is_named_at_once_when_it_does_not_know_the_pods() -> None:
    world = World(green=CANDIDATE)
    world.config.values = {**world.config.values, "green": {"replicas": 2, "release": OLD.model_dump(), "parked": True}}
    began = world.clock.elapsed
    with pytest.raises(RolloutError, match=f"pods of green run release {NEW.release_id}.*the file is stale"):
        park(world.ports(), Updater(world.ports(), SERVICE), "green", message="park")
    assert world.clock.elapsed - began < 10


def test_nodes_are_given_back_with_the_same_patience() -> None:
    world = World(green={**CANDIDATE, "parked": True, "provisioned": True})
    until(world, world.clock.elapsed + 100, lambda: UpdateFailedError("unreachable"))
    release_nodes(world.ports(), Updater(world.ports(), SERVICE), "green", message="give back", patience_seconds=600)
    assert not world.state.color("green").nodes_wanted


PARKED = {**CANDIDATE, "parked": True, "provisioned": True}
EDITED = Change(op="update", urn="urn::queue", type="aws:sqs/queue:Queue")


def test_nodes_are_released_by_an_update_of_nothing_else_whatever_somebody_changed_meanwhile() -> None:
    world = World(green=PARKED)
    world.foreign = [EDITED]
    release_nodes(world.ports(), Updater(world.ports(), SERVICE), "green", message="give back")
    assert world.ups == [("give back", (RULE_URN, NODES_URNS["green"]))]
    assert world.previews == []
    assert not world.state.color("green").nodes_wanted


def test_without_the_node_group_in_the_state_the_whole_program_is_previewed_first() -> None:
    world = World(green=PARKED)
    world.foreign = [EDITED]
    known = world.rule_in_state(SERVICE)
    assert known is not None
    world.rule_in_state = lambda _: replace(known, nodes={})  # type: ignore[method-assign]
    with pytest.raises(PlanRefusedError, match="the preview contains other changes: update Queue queue"):
        release_nodes(world.ports(), Updater(world.ports(), SERVICE), "green", message="give back")
    assert world.ups == []
    assert world.config.read().color("green").nodes_wanted


def test_a_reap_with_a_stale_file_stops_and_names_it() -> None:
    world = World(active_color="green", green_weight=100, green=CANDIDATE)
    world.state = world.state.model_copy(update={"rollout_serial": 7})
    rollout = at(Phase.RETIRING, world, promoted=True)
    assert rollout.phase is Phase.FAILED
    assert "the file is stale" in rollout.reason
    assert world.ups == []
