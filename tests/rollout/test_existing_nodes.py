"""Rollouts on nodes that others bring: the scripts move replicas and weight, and never a node."""

from typing import Any

import pytest

from rollout.commands import reap
from rollout.controller import Controller, Subject
from rollout.model.machine import Phase, Rollout
from rollout.model.nodes import BoundPod, Resources
from rollout.model.plan import make_plan
from rollout.steps.drift import adopted
from tests.rollout.fakes import NEW, OLD, SERVICE, World
from tests.rollout.test_commands import session

HOUR = 3600.0
NODES: dict[str, Any] = {"existing_nodes": {"node_selector": {"team": "llm"}}}
SURGE: dict[str, Any] = {
    **NODES,
    "headroom_mode": "surge",
    "surge_replicas": 1,
    "blue": {"replicas": 4, "release": OLD.model_dump(mode="json")},
    "green": {"replicas": 4},
}


def rolled_out(world: World) -> Rollout:
    settings = world.config.read()
    plan = make_plan("green", settings.rollout, ladder=settings.ladder)
    return Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan))


def provisioned(world: World) -> set[bool | None]:
    return {settings.color(color).provisioned for settings in world.applied for color in ("blue", "green")}


@pytest.mark.parametrize("overrides", [NODES, SURGE], ids=["on_rollout", "surge"])
def test_a_release_is_promoted_and_the_old_one_reaped_without_a_word_about_nodes(overrides: dict[str, Any]) -> None:
    world = World(**overrides)
    assert rolled_out(world).phase is Phase.DONE
    assert world.ups[0][0].startswith("deploy release"), "no update brings nodes up"
    world.clock.sleep(HOUR)
    rollout = reap(session(world))
    assert rollout is not None
    assert rollout.phase is Phase.REAPED
    assert world.ups[-1][0] == "park blue"
    assert world.journal.of("nodes_released") == []
    assert provisioned(world) == {None}
    assert reap(session(world)) is None, "there is nothing left to give back"


def test_a_bad_candidate_is_rolled_back_and_parked() -> None:
    world = World(**NODES)
    world.error_rate["green"] = 0.5
    assert rolled_out(world).phase is Phase.ROLLED_BACK
    assert not world.pods("green")
    assert world.ups[-1][0].startswith("park")
    assert provisioned(world) == {None}


def test_a_colour_is_kept_warm_at_the_price_of_its_nodes() -> None:
    world = World(**NODES)
    rolled_out(world)
    world.clock.sleep(HOUR)
    reap(session(world))
    (reported,) = world.journal.of("keeping")
    assert reported["usd_per_hour"] == 4.48416
    assert reported["brought_up"].startswith("bringing green up (replicas) took ")


def test_a_candidate_that_does_not_fit_what_is_there_is_refused_and_nothing_is_changed() -> None:
    world = World(**NODES)
    world.guests = [BoundPod(node="shared-3", requests=Resources(gpus=1, pods=1))]
    rollout = rolled_out(world)
    assert rollout.phase is Phase.REFUSED
    assert "green.replicas: 2 replicas of green need places, but the nodes labelled team=llm have 1" in rollout.reason
    assert "Wait until there are more of these nodes, or remove other pods from them" in rollout.reason
    assert world.ups == []


def test_a_stale_file_takes_the_live_replicas_over_without_a_word_about_nodes() -> None:
    world = World(**NODES, green={"replicas": 2, "release": NEW.model_dump(mode="json"), "parked": False})
    rule = world.rule()
    stale = World(**NODES, green={"replicas": 2, "release": NEW.model_dump(mode="json"), "parked": True})
    assert adopted(stale.config.read(), rule) == {"green.parked": False}
