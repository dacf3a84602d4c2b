"""Capacity arithmetic: how many GPU nodes both colours need, so that a full green fits beside a full blue.

Nothing here knows Pulumi or AWS. A replica never spans nodes. All replicas of a service ask for the same, whatever
their colour: a node has a whole number of places for them, any free place takes any replica, and so no order of
arrival can fragment a pool.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from components.domain.gpu_instances import INSTANCE_TYPES, GpuInstance
from components.domain.naming import COLORS, Color

HeadroomMode = Literal["always", "on_rollout", "reserved"]
Resource = Literal["GPUs", "millicpus", "MiB of memory"]

# What the daemonsets of a GPU node usually ask for (VPC CNI, kube-proxy, device plugin, node agents), on the safe side.
DAEMONSET_MILLICPUS: Final = 300
DAEMONSET_MEMORY_MIB: Final = 512

_FRACTIONAL: Final = "Its nodes have a fraction of a GPU and advertise no whole one, so a replica can ask for none."
_ARM: Final = "Its CPUs are ARM, and the nodes' image is for x86-64."
_REASONS: Final[Mapping[str, str]] = {
    "g6f": _FRACTIONAL,
    "gr6f": _FRACTIONAL,
    "g4ad": "Its GPUs are AMD's.",
    "g5g": _ARM,
    "p6e-gb200": _ARM,
}


class CapacityError(ValueError):
    """A layout that no number of nodes can hold; the message says what, the limit and the fix."""


@dataclass(frozen=True, kw_only=True)
class ReplicaShape:
    """What one replica asks of its node."""

    gpus: int
    millicpus: int
    memory_mib: int


@dataclass(frozen=True, kw_only=True)
class ColorDemand:
    """One colour's wish: how many replicas at full size, and whether its nodes must be up now."""

    replicas: int
    provisioned: bool


@dataclass(frozen=True, kw_only=True)
class PoolSize:
    """Node counts of one node group."""

    min_nodes: int
    desired_nodes: int
    max_nodes: int


def instance_type(name: str) -> GpuInstance:
    """Look an instance type up.

    Raises:
        CapacityError: unknown, without GPUs, or with fractional ones.
    """
    if name in INSTANCE_TYPES:
        return INSTANCE_TYPES[name]
    raise CapacityError(f"instance_type={name!r} is not a type with whole GPUs that we know. {gpu_types_like(name)}")


def gpu_types_like(name: str) -> str:
    """Say why a type is none of ours, where that is known, and which there are: of its family, else the families."""
    family = _family(name)
    same_family = [known for known in INSTANCE_TYPES if _family(known) == family]
    if same_family:
        return f"Known {family} types: {', '.join(same_family)}."
    reason = _REASONS.get(family, "")
    # EC2 names all its families with NVIDIA GPUs by these letters.
    if (letters := re.match(r"[a-z]+(?=\d)", family)) and letters[0] not in ("g", "gr", "p"):
        reason = "Its nodes have no NVIDIA GPU."
    families = f"Families: {', '.join(dict.fromkeys(map(_family, INSTANCE_TYPES)))}."
    return f"{reason} {families}" if reason else families


def types_that_hold(shape: ReplicaShape, *, like: GpuInstance) -> list[str]:
    """Return the types that hold such a replica: those of the same family, else the smallest of each other one."""
    holding = sorted(
        (instance for instance in INSTANCE_TYPES.values() if not misfits(instance, shape)),
        key=lambda instance: (instance.gpus, instance.vcpus, instance.memory_gib),
    )
    if same_family := [instance.name for instance in holding if _family(instance.name) == _family(like.name)]:
        return same_family
    return list({_family(instance.name): instance.name for instance in reversed(holding)}.values())[::-1]


def misfit_fix(instance: GpuInstance, shape: ReplicaShape) -> str:
    """Say what to do about a replica that no node of this type holds."""
    holding = types_that_hold(shape, like=instance)
    choice = f"Choose {_one_of(holding)}, or a smaller replica." if holding else "No known type holds such a replica."
    if shape.gpus <= instance.gpus:
        return choice
    return f"A replica never spans nodes (LeaderWorkerSet is not supported). {choice}"


def _one_of(names: list[str]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _family(name: str) -> str:
    return name.split(".")[0]


def misfits(instance: GpuInstance, shape: ReplicaShape) -> dict[Resource, int]:
    """Return what one replica asks for and no node has, after the daemonsets' share, with what a node offers."""
    return {what: offered for what, (offered, asked) in _offers(instance, shape).items() if asked > offered}


def replicas_per_node(instance: GpuInstance, shape: ReplicaShape) -> int:
    """Return how many replicas one node holds by GPUs, CPU and memory, after the daemonsets' share.

    Raises:
        CapacityError: not even one fits.
    """
    offers = _offers(instance, shape)
    for what, offered in misfits(instance, shape).items():
        raise CapacityError(
            f"one replica asks for {offers[what][1]} {what}, but a {instance.name} node offers {offered}. "
            + misfit_fix(instance, shape)
        )
    return min(offered // asked for offered, asked in offers.values())


def _offers(instance: GpuInstance, shape: ReplicaShape) -> dict[Resource, tuple[int, int]]:
    return {
        "GPUs": (instance.gpus, shape.gpus),
        "millicpus": (instance.allocatable_millicpus - DAEMONSET_MILLICPUS, shape.millicpus),
        "MiB of memory": (instance.allocatable_memory_mib - DAEMONSET_MEMORY_MIB, shape.memory_mib),
    }


def nodes_for(replicas: int, instance: GpuInstance, shape: ReplicaShape) -> int:
    """Return the nodes that hold ``replicas`` at full size."""
    return -(-replicas // replicas_per_node(instance, shape))


def replicas_for_weight(weight_percent: int, full_replicas: int, *, replicas_percent: int = 100) -> int:
    """Return the replicas that a colour needs for its share of the requests.

    Args:
        weight_percent: its share of new requests.
        full_replicas: what the active colour has for all of them.
        replicas_percent: what the colour needs for all of them, in percent of that.
    """
    return -(-weight_percent * full_replicas * replicas_percent // 100**2)


def pool_sizes(
    demands: Mapping[Color, ColorDemand],
    *,
    instance: GpuInstance,
    shape: ReplicaShape,
    spare_nodes: int,
    mode: HeadroomMode,
) -> dict[Color, PoolSize]:
    """Size one node group per colour.

    The maximum always holds the colour at full size plus ``spare_nodes``. Its nodes are up when the mode is
    ``always`` or the colour is provisioned; a parked colour keeps none in the other modes.
    """
    sizes: dict[Color, PoolSize] = {}
    for color in COLORS:
        full = nodes_for(demands[color].replicas, instance, shape)
        desired = full if mode == "always" or demands[color].provisioned else 0
        sizes[color] = PoolSize(min_nodes=0, desired_nodes=desired, max_nodes=max(full + spare_nodes, 1))
    return sizes


def shared_pool_size(
    replicas: Mapping[Color, int], *, instance: GpuInstance, shape: ReplicaShape, spare_nodes: int
) -> PoolSize:
    """Size the one node group that both colours share, each at full size; ``spare_nodes`` is for the group once.

    Its nodes are always up: one that shrinks may take the other colour's nodes away, so it is for mode ``always`` only.
    """
    full = nodes_for(sum(replicas[color] for color in COLORS), instance, shape)
    return PoolSize(min_nodes=0, desired_nodes=full, max_nodes=full + spare_nodes)


def usd_per_hour(instance: GpuInstance, nodes: int) -> float | None:
    """Return what so many nodes cost on demand; None when the price is unknown."""
    return None if instance.usd_per_hour is None else round(instance.usd_per_hour * nodes, 6)


def headroom_usd_per_hour(
    nodes_up: int, *, active_replicas: int, instance: GpuInstance, shape: ReplicaShape
) -> float | None:
    """Return what the nodes cost that are up beyond what the active colour needs; None when the price is unknown.

    Args:
        nodes_up: desired nodes of all groups of the service.
        active_replicas: the active colour's replicas at full size; 0 when it has no release yet.
        instance: what the nodes are.
        shape: what one replica asks for.
    """
    return usd_per_hour(instance, max(nodes_up - nodes_for(active_replicas, instance, shape), 0))
