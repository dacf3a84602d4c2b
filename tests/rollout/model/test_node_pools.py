"""Which node pools of a cluster may bring nodes for a service's pods."""

from collections.abc import Mapping

import pytest

from components.domain.nodes.tolerations import GPU_TOLERATION, Toleration
from rollout.model.node_pools import NodePool, Requirement
from rollout.model.nodes import Taint

GPUS = Taint(key="nvidia.com/gpu", value="true", effect="NoSchedule")
TEAM = Taint(key="team", value="llm", effect="NoExecute")


@pytest.mark.parametrize(
    ("pool", "selector", "may"),
    [
        (NodePool(name="llm", labels={"team": "llm"}), {"team": "llm"}, True),
        (NodePool(name="llm", labels={"team": "web"}), {"team": "llm"}, False),
        (NodePool(name="llm"), {"team": "llm"}, False),
        (NodePool(name="llm"), {"karpenter.sh/nodepool": "llm"}, True),
        (NodePool(name="web"), {"karpenter.sh/nodepool": "llm"}, False),
        (NodePool(name="llm"), {"node.kubernetes.io/instance-type": "p5.48xlarge"}, True),
        (NodePool(name="llm"), {"eks.amazonaws.com/instance-gpu-name": "h100"}, True),
    ],
)
def test_a_pool_brings_the_labels_that_it_gives_and_those_that_karpenter_knows(
    pool: NodePool, selector: Mapping[str, str], may: bool
) -> None:
    assert pool.may_take(selector, [GPU_TOLERATION]) is may


@pytest.mark.parametrize(
    ("requirement", "may"),
    [
        (Requirement(operator="In", values=("llm", "web")), True),
        (Requirement(operator="In", values=("web",)), False),
        (Requirement(operator="NotIn", values=("web",)), True),
        (Requirement(operator="NotIn", values=("llm",)), False),
        (Requirement(operator="Exists"), True),
        (Requirement(operator="DoesNotExist"), False),
    ],
)
def test_a_requirement_permits_a_value_or_not(requirement: Requirement, may: bool) -> None:
    assert NodePool(name="llm", requirements={"team": requirement}).may_take({"team": "llm"}, []) is may


@pytest.mark.parametrize(
    ("taints", "may"),
    [
        ((GPUS,), True),
        ((GPUS, TEAM), False),
        ((Taint(key="x", value="", effect="PreferNoSchedule"),), True),
    ],
)
def test_taints_must_be_tolerated(taints: tuple[Taint, ...], may: bool) -> None:
    assert NodePool(name="llm", taints=taints).may_take({}, [GPU_TOLERATION]) is may
    assert NodePool(name="llm", taints=taints).may_take({}, [GPU_TOLERATION, Toleration(key="team")])


@pytest.mark.parametrize(("limit", "used", "free"), [(8, 3, 5), (8, 9, 0), (None, 9, None)])
def test_a_limit_less_what_is_used_is_free(limit: int | None, used: int, free: int | None) -> None:
    assert NodePool(name="llm", limit_gpus=limit, used_gpus=used).free_gpus == free
