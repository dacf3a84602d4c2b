"""Capacity arithmetic: how many GPU nodes both colours need so that a full green fits beside a full blue.

This module is independent of Pulumi and AWS. A replica never spans nodes. All replicas of a colour request the same
resources. So a node has a fixed number of places, every free place fits every replica, and the order in which replicas
arrive cannot fragment a pool. Nodes that both colours share are computed for the larger colour's replicas.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from components.domain.naming import COLORS, Color
from components.domain.nodes.gpu_instances import INSTANCE_TYPES, GpuInstance

HeadroomMode = Literal["always", "on_rollout", "reserved", "surge"]
NodeResource = Literal["GPUs", "millicpus", "MiB of memory"]

# Usual requests of a GPU node's daemonsets (VPC CNI, kube-proxy, device plugin, node agents), with a safety margin.
DAEMONSET_MILLICPUS: Final = 300
DAEMONSET_MEMORY_MIB: Final = 512

_FRACTIONAL: Final = "Its nodes have a fraction of a GPU and advertise no whole GPU, so a replica cannot request one."
_ARM: Final = "Its CPUs are ARM, but the nodes' image is for x86-64."
_REASONS: Final[Mapping[str, str]] = {
    "g6f": _FRACTIONAL,
    "gr6f": _FRACTIONAL,
    "g4ad": "Its GPUs are from AMD.",
    "g5g": _ARM,
    "p6e-gb200": _ARM,
}


class CapacityError(ValueError):
    """No number of nodes fits the layout; the message says what is wrong, the limit and the fix."""


@dataclass(frozen=True, kw_only=True)
class ReplicaShape:
    """What one replica requests from its node."""

    gpus: int
    millicpus: int
    memory_mib: int


@dataclass(frozen=True, kw_only=True)
class ColorDemand:
    """One colour's demand: its replicas at full size, what each requests, and whether its nodes must be up now."""

    replicas: int
    provisioned: bool
    shape: ReplicaShape


@dataclass(frozen=True, kw_only=True)
class PoolSize:
    """Node counts of one node group."""

    min_nodes: int
    desired_nodes: int
    max_nodes: int


def instance_type(name: str) -> GpuInstance:
    """Return an instance type by its name.

    Raises:
        CapacityError: the type is unknown, or has no GPU or only a fraction of one.
    """
    if name in INSTANCE_TYPES:
        return INSTANCE_TYPES[name]
    raise CapacityError(f"instance_type={name!r} is not a known type with whole GPUs. {gpu_types_like(name)}")


def smallest_of(instances: Sequence[GpuInstance]) -> GpuInstance:
    """Return an instance that offers no more than any of these, which have the same GPUs. Its price is the first's."""
    least_memory = min(instances, key=lambda one: one.allocatable_memory_mib)
    return replace(
        instances[0],
        vcpus=min(one.vcpus for one in instances),
        # The memory that pods may request also depends on how many pods there may be.
        memory_gib=least_memory.memory_gib,
        max_pods=least_memory.max_pods,
        instance_store_gb=min(one.instance_store_gb for one in instances),
        ebs_mbit_per_second=min(one.ebs_mbit_per_second for one in instances),
    )


def gpu_types_like(name: str) -> str:
    """Return a hint for an unsupported type: the reason if known, and the known types of its family or all families."""
    family = _family(name)
    same_family = [known for known in INSTANCE_TYPES if _family(known) == family]
    if same_family:
        return f"Known {family} types: {', '.join(same_family)}."
    reason = _REASONS.get(family, "")
    # All EC2 families with NVIDIA GPUs begin with these letters.
    if (letters := re.match(r"[a-z]+(?=\d)", family)) and letters[0] not in ("g", "gr", "p"):
        reason = "Its nodes have no NVIDIA GPU."
    families = f"Families: {', '.join(dict.fromkeys(map(_family, INSTANCE_TYPES)))}."
    return f"{reason} {families}" if reason else families


def types_that_fit(shape: ReplicaShape, *, like: GpuInstance) -> list[str]:
    """Return the types that fit such a replica: those of the same family, else the smallest of each other family."""
    holding = sorted(
        (instance for instance in INSTANCE_TYPES.values() if not misfits(instance, shape)),
        key=lambda instance: (instance.gpus, instance.vcpus, instance.memory_gib),
    )
    if same_family := [instance.name for instance in holding if _family(instance.name) == _family(like.name)]:
        return same_family
    return list({_family(instance.name): instance.name for instance in reversed(holding)}.values())[::-1]


def misfit_fix(instance: GpuInstance, shape: ReplicaShape) -> str:
    """Return the fix for a replica that does not fit a node of this type."""
    fitting = types_that_fit(shape, like=instance)
    choice = f"Choose {_one_of(fitting)}, or a smaller replica." if fitting else "No known type fits such a replica."
    if shape.gpus <= instance.gpus:
        return choice
    return f"A replica never spans nodes (LeaderWorkerSet is not supported). {choice}"


def _one_of(names: list[str]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _family(name: str) -> str:
    return name.split(".")[0]


def misfits(instance: GpuInstance, shape: ReplicaShape) -> dict[NodeResource, int]:
    """Return each resource that one replica requests beyond what a node offers after its daemonsets, with the offer."""
    return {what: offered for what, (offered, asked) in _offers(instance, shape).items() if asked > offered}


def replicas_per_node(instance: GpuInstance, shape: ReplicaShape) -> int:
    """Return how many replicas fit one node by GPUs, CPU and memory, after its daemonsets.

    Raises:
        CapacityError: not even one replica fits.
    """
    offers = _offers(instance, shape)
    for what, offered in misfits(instance, shape).items():
        raise CapacityError(
            f"one replica requests {offers[what][1]} {what}, but a {instance.name} node offers {offered}. "
            + misfit_fix(instance, shape)
        )
    return min(offered // asked for offered, asked in offers.values())


def memory_share_mib(instance: GpuInstance, shape: ReplicaShape) -> int:
    """Return the memory that each replica of a full node may use without taking another's, after the daemonsets.

    Raises:
        CapacityError: not even one replica fits.
    """
    return (instance.allocatable_memory_mib - DAEMONSET_MEMORY_MIB) // replicas_per_node(instance, shape)


def _offers(instance: GpuInstance, shape: ReplicaShape) -> dict[NodeResource, tuple[int, int]]:
    return {
        "GPUs": (instance.gpus, shape.gpus),
        "millicpus": (instance.allocatable_millicpus - DAEMONSET_MILLICPUS, shape.millicpus),
        "MiB of memory": (instance.allocatable_memory_mib - DAEMONSET_MEMORY_MIB, shape.memory_mib),
    }


def nodes_for(replicas: int, instance: GpuInstance, shape: ReplicaShape) -> int:
    """Return how many nodes ``replicas`` need."""
    return -(-replicas // replicas_per_node(instance, shape))


def replicas_for_weight(weight_percent: int, full_replicas: int, *, replicas_percent: int = 100) -> int:
    """Return how many replicas a colour needs for its share of the requests.

    Args:
        weight_percent: the colour's share of new requests.
        full_replicas: the replicas with which the active colour serves all requests.
        replicas_percent: the replicas that this colour needs for all requests, in percent of ``full_replicas``.
    """
    return -(-weight_percent * full_replicas * replicas_percent // 100**2)


def pool_sizes(
    demands: Mapping[Color, ColorDemand],
    *,
    instance: GpuInstance,
    spare_nodes: int,
    mode: HeadroomMode,
) -> dict[Color, PoolSize]:
    """Size one node group per colour.

    The maximum always has room for the colour at full size plus ``spare_nodes``. The nodes are up when the mode is
    ``always`` or the colour is provisioned. Otherwise the desired size is 0.
    """
    sizes: dict[Color, PoolSize] = {}
    for color in COLORS:
        full = nodes_for(demands[color].replicas, instance, demands[color].shape)
        desired = full if mode == "always" or demands[color].provisioned else 0
        sizes[color] = PoolSize(min_nodes=0, desired_nodes=desired, max_nodes=max(full + spare_nodes, 1))
    return sizes


def shared_pool_size(
    replicas: Mapping[Color, int], *, instance: GpuInstance, shape: ReplicaShape, spare_nodes: int
) -> PoolSize:
    """Size the node group that both colours share, for so many replicas of each; ``spare_nodes`` is added once.

    Its nodes are always up, because shrinking the group may remove the other colour's nodes. So a shared group is for
    modes ``always`` and ``surge`` only.
    """
    full = nodes_for(sum(replicas[color] for color in COLORS), instance, shape)
    return PoolSize(min_nodes=0, desired_nodes=full, max_nodes=full + spare_nodes)


def usd_per_hour(instance: GpuInstance, nodes: float) -> float | None:
    """Return the price of so many nodes, in US dollars per hour; None when unknown."""
    return None if instance.usd_per_hour is None else round(instance.usd_per_hour * nodes, 6)


def headroom_usd_per_hour(
    nodes_up: int, *, active_replicas: int, instance: GpuInstance, shape: ReplicaShape
) -> float | None:
    """Return the price of the nodes beyond those that the active colour needs, in US dollars per hour.

    The result is None when the price is unknown.

    Args:
        nodes_up: desired nodes of all groups of the service.
        active_replicas: the active colour's replicas at full size; 0 when it has no release yet.
        instance: the nodes' instance type.
        shape: what one replica requests.
    """
    return usd_per_hour(instance, max(nodes_up - nodes_for(active_replicas, instance, shape), 0))
