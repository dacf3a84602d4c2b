"""A node pool of Karpenter or EKS Auto Mode for the pods of one colour, or of both.

Karpenter starts nodes when pods need them, and ends nodes when they are empty. The pool keeps it to that: it never has
more GPUs than the colour at full size needs, nodes do not expire, and none is disrupted while replicas run.
https://karpenter.sh/docs/concepts/nodepools/
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from components.config.sections.existing_nodes import ZONE_LABEL, KarpenterNodePool
from components.domain.naming import GPU_RESOURCE, Color
from components.domain.nodes.node_pools import TYPE_REQUIREMENT
from components.resources.gpu_node_group import node_labels

API_VERSION: Final = "karpenter.sh/v1"
KIND: Final = "NodePool"
MAX_WEIGHT: Final = 100
"""The weight of the pool that Karpenter tries first. https://karpenter.sh/docs/concepts/nodepools/#specweight"""

# https://docs.aws.amazon.com/eks/latest/userguide/create-node-pool.html
_NODE_CLASS_GROUPS: Final = {"EC2NodeClass": "karpenter.k8s.aws", "NodeClass": "eks.amazonaws.com"}

# An expired node is emptied whatever runs on it, and no budget stops that. On EKS Auto Mode, a node lives for at most
# 21 days, of which the last one is its grace period.
# https://karpenter.sh/docs/concepts/disruption/#expiration
# https://docs.aws.amazon.com/eks/latest/userguide/automode.html
# https://docs.aws.amazon.com/eks/latest/userguide/create-node-pool.html
_EXPIRIES: Final = {"EC2NodeClass": "Never", "NodeClass": "480h"}


def node_pool_spec(
    pool: KarpenterNodePool,
    *,
    service: str,
    color: Color | None,
    instance_type: str,
    weight: int | None,
    gpus: int,
    in_use: bool,
) -> dict[str, Any]:
    """Return the spec of a node pool.

    Args:
        pool: its settings.
        service: the service.
        color: the colour whose pods run on the nodes. None for both.
        instance_type: the type of the nodes.
        weight: which pool Karpenter tries first, if there are several: the one with the largest.
        gpus: the most GPUs of all nodes together.
        in_use: whether replicas may run on the nodes.
    """
    return {
        "template": {
            "metadata": {"labels": dict(node_labels(service, color))},
            "spec": {
                "nodeClassRef": {
                    "group": _NODE_CLASS_GROUPS[pool.node_class_kind],
                    "kind": pool.node_class_kind,
                    "name": pool.node_class,
                },
                "taints": [{"key": GPU_RESOURCE, "value": "present", "effect": "NoSchedule"}],
                "requirements": [
                    {"key": key, "operator": "In", "values": list(values)}
                    for key, values in _requirements(pool, instance_type)
                ],
                "expireAfter": _EXPIRIES[pool.node_class_kind],
            },
        },
        "disruption": {
            "consolidationPolicy": "WhenEmpty",
            "consolidateAfter": "1m",
            # A change of budgets is no drift, so it replaces no node.
            # https://github.com/kubernetes-sigs/karpenter/blob/main/pkg/apis/v1/nodepool.go
            "budgets": [{"nodes": "0" if in_use else "100%"}],
        },
        "limits": {GPU_RESOURCE: str(gpus)},
        **({} if weight is None else {"weight": weight}),
    }


def _requirements(pool: KarpenterNodePool, instance_type: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield what a node must be.

    https://karpenter.sh/docs/tasks/odcrs/#selecting-capacity-reservations
    """
    yield TYPE_REQUIREMENT, [instance_type]
    # Reserved capacity comes first.
    yield "karpenter.sh/capacity-type", ["reserved"] if pool.capacity_reservation_ids else ["reserved", "on-demand"]
    if pool.zones:
        yield ZONE_LABEL, pool.zones
    if pool.capacity_reservation_ids:
        yield "karpenter.k8s.aws/capacity-reservation-id", pool.capacity_reservation_ids
