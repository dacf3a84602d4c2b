"""Whether a candidate's replicas fit on the free space of real nodes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.settings import ServiceSettings
from components.domain.capacity.capacity import DAEMONSET_MILLICPUS
from components.domain.naming import COLOR_KEY, GPU_RESOURCE, SERVICE_KEY, pool_labels
from rollout.model.nodes import BoundPod, Node, Resources, Taint
from rollout.model.plan import make_plan
from rollout.steps.scheduling import (
    growing_nodes,
    nodes_to_come,
    replica_of,
    scheduling_violations,
    weight_violations,
)
from tests.components.example import release, service_settings

SERVICE = "chat"
FREE = Resources(gpus=1, millicpus=7000, memory_mib=40000, pods=50)
GREEN = pool_labels(SERVICE, "green")


def kept_warm(**changes: Any) -> ServiceSettings:
    """Return settings in which both colours' nodes are up, and green has its own release."""
    return service_settings(**{"green": {"replicas": 2, "release": release(model_revision="a1b2c3d")}, **changes})


def green_nodes(count: int = 2, **changes: Any) -> list[Node]:
    return [replace(Node(name=f"n{i}", allocatable=FREE, labels=GREEN), **changes) for i in range(count)]


def violations(settings: ServiceSettings, nodes: list[Node], pods: list[BoundPod] | None = None) -> list[str]:
    return list(scheduling_violations(settings, SERVICE, "green", nodes=nodes, pods=pods or []))


def guest(node: str, **asked: int) -> BoundPod:
    return BoundPod(node=node, requests=Resources(pods=1, **asked))


def test_free_nodes_of_the_pool_hold_the_candidate() -> None:
    gpu = Taint(key=GPU_RESOURCE, value="present", effect="NoSchedule")
    assert violations(kept_warm(), green_nodes(taints=(gpu,))) == []


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (green_nodes(1), "have 1: n0 has 1"),
        (green_nodes(labels={SERVICE_KEY: SERVICE, COLOR_KEY: "blue"}), "there is no such node"),
        (green_nodes(ready=False), "n0 is not ready"),
        (green_nodes(cordoned=True), "n1 is cordoned"),
        (green_nodes(taints=(Taint(key="team", value="a", effect="NoSchedule"),)), "n0 is tainted team=a:NoSchedule"),
        (green_nodes(taints=(Taint(key=GPU_RESOURCE, value="", effect="NoExecute"),)), f"{GPU_RESOURCE}:NoExecute"),
    ],
)
def test_nodes_on_which_no_replica_starts_are_named(nodes: list[Node], message: str) -> None:
    (violation,) = violations(kept_warm(), nodes)
    assert violation.startswith("green.replicas: 2 replicas of green need places")
    assert message in violation


def test_a_preference_keeps_nobody_away() -> None:
    assert violations(kept_warm(), green_nodes(taints=(Taint(key="x", value="", effect="PreferNoSchedule"),))) == []


@pytest.mark.parametrize("asked", [{"gpus": 1}, {"millicpus": 4001}, {"memory_mib": 27713}])
def test_what_others_ask_for_takes_a_place(asked: dict[str, int]) -> None:
    (violation,) = violations(kept_warm(), green_nodes(), [guest("n1", **asked)])
    assert "have 1:" in violation
    assert "n1 has 0 (free:" in violation


def test_pods_that_are_parked_first_take_no_place() -> None:
    settings = kept_warm()
    former = [BoundPod(node=f"n{i}", requests=replica_of(settings, "green"), labels=GREEN) for i in range(2)]
    assert violations(settings, green_nodes(), former) == []


def test_on_shared_nodes_replicas_of_the_active_colour_without_a_node_come_first() -> None:
    settings = service_settings(headroom_mode="always", node_groups="shared")
    nodes = green_nodes(4, labels=pool_labels(SERVICE, None))
    serving = [
        BoundPod(node=f"n{i}", requests=replica_of(settings, "blue"), labels=pool_labels(SERVICE, "blue"))
        for i in (0, 1)
    ]
    assert violations(settings, nodes, serving) == []
    assert violations(settings, nodes[:3], serving[:1])[0].startswith(
        "green.replicas: 3 replicas (2 of green, and 1 of blue"
    )
    assert violations(settings, nodes[:3], serving) != []


def test_on_shared_nodes_the_active_colour_may_still_grow_to_its_ceiling() -> None:
    autoscaling = {"min_replicas": 1, "max_replicas": 2, "target": 5, "prometheus_url": "http://prometheus:9090"}
    settings = service_settings(
        headroom_mode="always",
        node_groups="shared",
        autoscaling=autoscaling,
        blue={"release": release()},
        green={},
    )
    nodes = green_nodes(4, labels=pool_labels(SERVICE, None))
    serving = [BoundPod(node="n0", requests=replica_of(settings, "blue"), labels=pool_labels(SERVICE, "blue"))]
    assert violations(settings, nodes, serving) == []
    assert "2 of green, and 1 of blue" in violations(settings, nodes[:3], serving)[0]


@pytest.mark.parametrize(("value", "fits"), [("llm", True), ("web", False)])
def test_on_others_nodes_selector_and_tolerations_decide(value: str, fits: bool) -> None:
    settings = service_settings(
        existing_nodes={"node_selector": {"team": "llm"}, "tolerations": [{"key": "team", "value": value}]}
    )
    taints = (
        Taint(key="team", value="llm", effect="NoExecute"),
        Taint(key=GPU_RESOURCE, value="", effect="NoSchedule"),
    )
    nodes = green_nodes(4, labels={"team": "llm", "zone": "a"}, taints=taints)
    assert nodes_to_come(settings, "green") == 0
    assert (violations(settings, nodes) == []) is fits
    assert "the nodes labelled team=llm have 0" in violations(settings, green_nodes(4, taints=taints))[0]


def test_the_active_colour_needs_no_more_places_than_its_own_before_its_first_deployment() -> None:
    settings = service_settings(existing_nodes={"node_selector": {"team": "llm"}})
    nodes = green_nodes(3, labels={"team": "llm"})
    assert list(scheduling_violations(settings, SERVICE, "blue", nodes=nodes, pods=[])) == []
    assert "4 replicas (2 of green, and 2 of blue that have no node)" in violations(settings, nodes)[0]


SCALING = {"min_replicas": 1, "max_replicas": 6, "target": 5, "prometheus_url": "http://prometheus:9090"}
POOLS = {"existing_nodes": {"karpenter_node_pool": {"node_class": "gpu"}}}


@pytest.mark.parametrize(
    ("changes", "growing"),
    [
        ({**POOLS, "autoscaling": SCALING}, 4),
        ({**POOLS, "autoscaling": SCALING, "instance_type": "g6e.12xlarge"}, 1),
        ({"existing_nodes": {"node_selector": {"team": "llm"}, "autoscaled": True}, "autoscaling": SCALING}, 4),
        ({"existing_nodes": {"node_selector": {"team": "llm"}}, "autoscaling": SCALING}, 0),
        ({"autoscaling": SCALING}, 0),
    ],
)
def test_the_active_colour_may_ask_for_nodes_up_to_its_ceiling_where_they_follow_pods(
    changes: dict[str, Any], growing: int
) -> None:
    settings = service_settings(**changes, blue={"release": release()}, green={})
    running = [
        BoundPod(node=f"n{number}", requests=replica_of(settings, "blue"), labels=pool_labels(SERVICE, "blue"))
        for number in range(2)
    ]
    assert growing_nodes(settings, SERVICE, running) == growing


def test_nodes_to_come_are_judged_by_their_type() -> None:
    settings = service_settings()
    assert nodes_to_come(settings, "green") == 2
    assert violations(settings, []) == []


def test_what_daemonsets_take_of_the_nodes_that_are_up_they_take_of_those_to_come() -> None:
    settings = service_settings()
    live = [Node(name="b0", allocatable=FREE, labels=pool_labels(SERVICE, "blue"))]
    agent = BoundPod(node="b0", requests=Resources(millicpus=6000, pods=1), of_daemonset=True)
    (violation,) = violations(settings, live, [agent])
    assert violation.startswith(
        "instance_type: 2 new nodes of g6e.2xlarge must run 2 replicas of green, but each has room for 0"
    )
    assert "6000 millicpus" in violation
    elsewhere = BoundPod(node="other", requests=agent.requests, of_daemonset=True)
    assert violations(settings, live, [elsewhere]) == []


@given(
    replicas=st.integers(1, 6),
    free_gpus=st.lists(st.integers(0, 3), max_size=6),
    millicpus=st.integers(DAEMONSET_MILLICPUS, 20_000),
)
def test_a_violation_exactly_when_a_first_fit_would_leave_a_replica_over(
    replicas: int, free_gpus: list[int], millicpus: int
) -> None:
    settings = kept_warm(green={"replicas": replicas, "release": release(model_revision="a1b2c3d")})
    nodes = [
        Node(
            name=f"n{i}",
            allocatable=Resources(gpus=gpus, millicpus=millicpus, memory_mib=10**6, pods=100),
            labels=GREEN,
        )
        for i, gpus in enumerate(free_gpus)
    ]
    left = {node.name: [node.allocatable.gpus, node.allocatable.millicpus] for node in nodes}
    over = 0
    for _ in range(replicas):
        for free in left.values():
            if free[0] >= settings.shape("green").gpus and free[1] >= settings.shape("green").millicpus:
                free[0] -= settings.shape("green").gpus
                free[1] -= settings.shape("green").millicpus
                break
        else:
            over += 1
    assert bool(violations(settings, nodes)) == (over > 0)


def test_a_smaller_candidate_is_refused_with_the_step_that_needs_more() -> None:
    settings = service_settings(blue={"replicas": 4, "release": release()}, green={"replicas": 2})
    (violation,) = weight_violations(settings, make_plan("green", settings.rollout))
    assert violation.startswith("green.replicas: is 2, but step 3 (75 %) needs at least 3 of blue's 4")
    assert "capacity-weight-needs-replicas" in violation
    even = service_settings(blue={"replicas": 2, "release": release()}, green={"replicas": 2})
    assert list(weight_violations(even, make_plan("green", even.rollout))) == []
