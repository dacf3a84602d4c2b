"""Conditions of the cluster and of IAM that count before the first deployment."""

from typing import Any

import pytest

from rollout.model.nodes import BoundPod, Node, Resources
from rollout.model.rule import ListenerRules
from rollout.steps.conditions import (
    controller_versions,
    controller_violations,
    needed_resources,
    needs_device_plugin,
    permission_violations,
    plugin_violations,
    rule_violations,
)
from tests.components.example import service_settings

CONTROLLER = {"app.kubernetes.io/name": "aws-load-balancer-controller"}
REGISTRY = "public.ecr.aws/eks/aws-load-balancer-controller"


def pod(*images: str, **labels: str) -> BoundPod:
    return BoundPod(node="n", requests=Resources(), labels=labels, images=images)


def test_a_cluster_without_the_controller_is_told_by_its_label() -> None:
    others = [pod(f"{REGISTRY}:v2.13.0", app="aws-load-balancer-controller")]
    (violation,) = controller_violations(others)
    assert "app.kubernetes.io/name=aws-load-balancer-controller" in violation
    assert "Install it: https://" in violation
    assert list(controller_violations([*others, pod(**CONTROLLER)])) == []


@pytest.mark.parametrize(
    ("image", "versions"),
    [
        (f"{REGISTRY}:v2.13.0", ["v2.13.0"]),
        ("localhost:5000/controller:2.8.1-linux", ["2.8.1-linux"]),
        (f"{REGISTRY}@sha256:{'a' * 64}", []),
        ("localhost:5000/controller", []),
    ],
)
def test_the_controller_s_version_is_its_image_s_tag(image: str, versions: list[str]) -> None:
    assert list(controller_versions([pod(image, **CONTROLLER), pod(image, **CONTROLLER), pod("x:1")])) == versions


def node(gpus: int) -> Node:
    return Node(name="n", allocatable=Resources(gpus=gpus))


@pytest.mark.parametrize(
    ("settings", "nodes", "pods", "needed"),
    [
        ({}, [node(0)], [], True),
        ({}, [], [], True),
        ({}, [node(0), node(1)], [], False),
        ({}, [node(0)], [pod("nvcr.io/nvidia/gpu-operator:v25.3.4")], False),
        ({}, [node(0)], [pod("nvcr.io/nvidia/gpu-operator-validator:v25.3.4")], True),
        ({"nodes": {"ami_type": "BOTTLEROCKET_x86_64_NVIDIA"}}, [node(0)], [], False),
        ({"existing_nodes": {"node_selector": {"team": "llm"}}}, [node(0)], [], False),
    ],
)
def test_a_device_plugin_is_needed_unless_something_else_makes_gpus_known(
    settings: dict[str, Any], nodes: list[Node], pods: list[BoundPod], needed: bool
) -> None:
    assert needs_device_plugin(service_settings(**settings), nodes, pods) is needed


def test_a_missing_device_plugin_comes_with_both_ways_out() -> None:
    assert list(plugin_violations(["kube-system/any"])) == []
    (violation,) = plugin_violations([])
    assert "https://github.com/NVIDIA/k8s-device-plugin" in violation
    assert "nodes.ami_type to BOTTLEROCKET_x86_64_NVIDIA" in violation


def test_pod_monitors_are_needed_only_where_they_are_declared() -> None:
    without, with_monitor = service_settings(), service_settings(pods={"pod_monitor": True})
    assert [resource for _, resource, _ in needed_resources(without)] == ["targetgroupbindings"]
    assert [resource for _, resource, _ in needed_resources(with_monitor)] == ["targetgroupbindings", "podmonitors"]


def test_keda_is_needed_only_with_autoscaling() -> None:
    autoscaling = {"min_replicas": 1, "max_replicas": 2, "target": 5, "prometheus_url": "http://prometheus:9090"}
    with_keda = service_settings(autoscaling=autoscaling, blue={}, green={})
    assert [resource for _, resource, _ in needed_resources(with_keda)] == ["targetgroupbindings", "scaledobjects"]


def test_node_pools_are_needed_only_where_they_are_declared() -> None:
    pool = service_settings(existing_nodes={"karpenter_node_pool": {"node_class": "gpu"}})
    assert [(version, resource) for version, resource, _ in needed_resources(pool)][1:] == [
        ("karpenter.sh/v1", "nodepools")
    ]
    others = service_settings(existing_nodes={"node_selector": {"team": "llm"}})
    assert [resource for _, resource, _ in needed_resources(others)] == ["targetgroupbindings"]


def test_denied_actions_are_named_together() -> None:
    assert list(permission_violations([])) == []
    (violation,) = permission_violations(["ec2:RunInstances", "iam:PassRole"])
    assert violation.startswith("IAM does not allow ec2:RunInstances, iam:PassRole to whoever runs this")


COHORTS: dict[str, Any] = {
    "cohorts": [
        {"name": name, "priority": priority, "header": "x-tenant", "values": [name]}
        for name, priority in (("friends", 20), ("partners", 21))
    ],
    "steps": [
        *({"cohort": name, "hold_seconds": 1} for name in ("friends", "partners")),
        {"candidate_percent": 100, "hold_seconds": 1},
    ],
}


@pytest.mark.parametrize(
    ("priorities", "total", "deployed", "first", "says"),
    [
        ({20}, 5, ("friends",), False, []),
        ({20, 21}, 5, ("friends",), False, ["priority 21 of the cohort partners: another rule of the listener has it"]),
        ({10}, 5, (), True, ["priority 10 of the candidate route of blue: another rule of the listener has it"]),
        ({100}, 95, (), True, ["priority 100 of the weighted rule"]),
        (set[int](), 96, (), True, ["rules: the load balancer would have 101, and AWS allows 100"]),
        (set[int](), 98, (), False, []),
        (set[int](), 99, (), False, ["rules: the load balancer would have 101, and AWS allows 100"]),
    ],
)
def test_rules_that_are_to_come_must_fit_on_the_listener(
    priorities: set[int], total: int, deployed: tuple[str, ...], first: bool, says: list[str]
) -> None:
    settings = service_settings(rollout=COHORTS)
    rules = ListenerRules(priorities=frozenset(priorities), on_load_balancer=total)
    found = list(rule_violations(settings, rules, deployed=deployed, first=first))
    assert len(found) == len(says)
    assert all(one.startswith(start) for one, start in zip(found, says, strict=True))
