"""Rollouts on nodes that others bring: the scripts move replicas and weight, and never a node."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from components.domain.naming import Color
from rollout.commands import reap
from rollout.controller import Controller, Subject
from rollout.model.account import Launch
from rollout.model.changes import EngineRun
from rollout.model.machine import Phase, Rollout
from rollout.model.node_pools import NodePool
from rollout.model.nodes import BoundPod, Pod, Resources
from rollout.model.plan import make_plan
from rollout.steps.drift import adopted
from tests.rollout.fakes import NEW, OLD, SERVICE, World
from tests.rollout.test_commands import session

HOUR = 3600.0
NODES: dict[str, Any] = {"existing_nodes": {"node_selector": {"team": "llm"}}}
POOL: dict[str, Any] = {"existing_nodes": {"karpenter_node_pool": {"node_class": "gpu"}}}
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


@pytest.mark.parametrize(
    "overrides",
    [NODES, SURGE, POOL, {**SURGE, **POOL}],
    ids=["on_rollout", "surge", "node pools", "surge in a node pool"],
)
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


def test_a_quota_that_is_too_small_for_the_nodes_that_karpenter_will_start_refuses_the_rollout() -> None:
    world = World(**POOL)
    world.quota_vcpus = 15.0
    rollout = rolled_out(world)
    assert rollout.phase is Phase.REFUSED
    assert "2 new nodes of g6e.2xlarge for green need 16 vCPUs" in rollout.reason
    assert world.ups == []
    reserved = {"node_class": "gpu", "capacity_reservation_ids": ["cr-0a"]}
    world = World(existing_nodes={"karpenter_node_pool": reserved})
    world.quota_vcpus = 15.0
    assert rolled_out(world).phase is Phase.DONE, "a reservation counts already"


AUTOSCALED: dict[str, Any] = {"existing_nodes": {"node_selector": {"team": "llm"}, "autoscaled": True}}


def full(world: World) -> World:
    """Have other pods take all GPUs that the candidate could have."""
    world.guests = [BoundPod(node=f"shared-{place}", requests=Resources(gpus=1, pods=1)) for place in (2, 3)]
    return world


def test_where_an_autoscaler_brings_nodes_those_that_are_there_need_not_be_free() -> None:
    world = full(World(**AUTOSCALED))
    world.others_node_pools = [NodePool(name="llm", labels={"team": "llm"}, limit_gpus=4, used_gpus=2)]
    assert rolled_out(world).phase is Phase.DONE


def test_free_nodes_need_neither_a_quota_nor_a_limit() -> None:
    world = World(**AUTOSCALED)
    world.quota_vcpus = 0.0
    world.others_node_pools = [NodePool(name="llm", labels={"team": "llm"}, limit_gpus=2, used_gpus=2)]
    assert rolled_out(world).phase is Phase.DONE


@pytest.mark.parametrize(
    ("pools", "says"),
    [
        ([], "existing_nodes: no NodePool of the cluster (there is none) brings nodes labelled team=llm"),
        ([NodePool(name="web")], "no NodePool of the cluster (web) brings nodes labelled team=llm"),
        (
            [NodePool(name="llm", labels={"team": "llm"}, limit_gpus=4, used_gpus=3)],
            "existing_nodes: 2 new nodes for green have 2 GPUs, but the limits of the NodePools llm leave 1",
        ),
    ],
)
def test_a_limit_that_is_too_low_refuses_the_rollout(pools: list[NodePool], says: str) -> None:
    world = full(World(**AUTOSCALED))
    world.others_node_pools = pools
    rollout = rolled_out(world)
    assert rollout.phase is Phase.REFUSED
    assert says in rollout.reason
    assert world.ups == []


def test_an_autoscaler_whose_limits_nobody_knows_is_noted() -> None:
    world = full(World(**AUTOSCALED))
    assert rolled_out(world).phase is Phase.DONE
    notes = [one["text"] for one in world.journal.of("note")]
    assert any("the cluster has no NodePools, so the limits of its autoscaler are unknown" in text for text in notes)


def test_a_lack_of_capacity_ends_the_deploy_with_the_active_colour_untouched() -> None:
    world = World(**POOL)
    said = "NodeClaim chat-green-b2x4z event: with fleet error(s), InsufficientInstanceCapacity: none left"
    update = world.up

    def up(message: str, **options: Any) -> EngineRun:
        if not message.startswith("deploy release"):
            return update(message, **options)
        world.pool_launches["chat-green"] = [Launch(id="1", failed=True, message=said)]
        started, watch = world.clock.elapsed, options["watch"]
        world.state = world.config.read()
        for _ in range(600):
            world.clock.sleep(2)
            watch()
        raise AssertionError(f"nobody gave up within {world.clock.elapsed - started} s")

    pods = world.pods

    def pending(color: Color) -> Sequence[Pod]:
        """All pods of the candidate wait for a node."""
        why = "Unschedulable: 0/4 nodes are available"
        return [replace(pod, ready=False, waiting_reason=why) if color == "green" else pod for pod in pods(color)]

    world.up, world.pods = up, pending  # type: ignore[method-assign]
    before = world.config.read().color("blue")
    rollout = rolled_out(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert "node pool chat-green (g6e.2xlarge)" in rollout.reason
    assert "InsufficientInstanceCapacity" in rollout.reason
    assert "EC2 has no g6e.2xlarge left there" in rollout.reason
    assert world.config.read().color("blue") == before
    assert world.weights == {"blue": 100, "green": 0}


def test_a_stale_file_takes_the_live_replicas_over_without_a_word_about_nodes() -> None:
    world = World(**NODES, green={"replicas": 2, "release": NEW.model_dump(mode="json"), "parked": False})
    rule = world.rule()
    stale = World(**NODES, green={"replicas": 2, "release": NEW.model_dump(mode="json"), "parked": True})
    assert adopted(stale.config.read(), rule) == {"green.parked": False}
