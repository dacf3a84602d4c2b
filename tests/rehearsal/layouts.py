"""Random layouts of a service: instance types of all families, replicas limited by GPUs, CPU or memory, separate and
shared groups."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

from components.domain.capacity.capacity import (
    DAEMONSET_MEMORY_MIB,
    DAEMONSET_MILLICPUS,
    HeadroomMode,
    ReplicaShape,
    replicas_per_node,
)
from components.domain.naming import COLORS, Color
from components.domain.nodes.gpu_instances import INSTANCE_TYPES, GpuInstance
from components.domain.nodes.host_memory import host_memory

Bound = Literal["GPUs", "CPU", "memory"]

_BOUNDS: tuple[Bound, ...] = ("GPUs", "CPU", "memory")
_MODES: tuple[HeadroomMode, ...] = ("always", "on_rollout", "reserved")
_MAX_REPLICAS = 12
_RESERVATION = {"kind": "on_demand", "id": "cr-0a", "subnet_id": "subnet-1", "ends": "2099-01-01T00:00:00Z"}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One service: both colours at full size, in separate groups or in a shared one."""

    service: str
    instance: GpuInstance
    shape: ReplicaShape
    replicas: Mapping[Color, int]
    mode: HeadroomMode
    shared: bool
    bound: Bound

    @property
    def per_node(self) -> int:
        return replicas_per_node(self.instance, self.shape)

    def settings(self, release: dict[str, Any]) -> dict[str, Any]:
        """Return the service's config with a release on both colours."""
        return {
            "instance_type": self.instance.name,
            "gpus_per_replica": self.shape.gpus,
            "replica_millicpus": self.shape.millicpus,
            "replica_memory_mib": self.shape.memory_mib,
            "headroom_mode": self.mode,
            "node_groups": "shared" if self.shared else "per_color",
            **{
                color: {
                    "replicas": self.replicas[color],
                    "release": release,
                    "reservation": _RESERVATION if self.mode == "reserved" else None,
                }
                for color in COLORS
            },
        }


def random_layouts(chance: random.Random, count: int) -> list[Layout]:
    """Draw layouts that cycle through all families, bounds, modes, kinds of group and GPU counts."""
    families: dict[str, list[GpuInstance]] = {}
    for instance in INSTANCE_TYPES.values():
        families.setdefault(instance.name.split(".")[0], []).append(instance)
    family, bound, mode, gpus = cycle(families.values()), cycle(_BOUNDS), cycle(_MODES), cycle((1, 2, 4, 8, 3))
    layouts: list[Layout] = []
    for number in range(count):
        shared = number % 3 == 2
        types = next(family)
        # On a node with one GPU nothing else limits the replicas: with even chances, most layouts would prove the same.
        (instance,) = chance.choices(types, [one.gpus for one in types])
        layouts.append(
            _draw(
                chance,
                service=f"layout-{number}",
                instance=instance,
                gpus=min(next(gpus), instance.gpus),
                mode="always" if shared else next(mode),
                shared=shared,
                # A cycle of three would always pair the same bound and kind of group.
                bound=chance.choice(_BOUNDS) if shared else next(bound),
            )
        )
    return layouts


def _draw(
    chance: random.Random,
    *,
    service: str,
    instance: GpuInstance,
    gpus: int,
    mode: HeadroomMode,
    shared: bool,
    bound: Bound,
) -> Layout:
    by_gpus = instance.gpus // gpus
    places = chance.randint(1, max(by_gpus - 1, 1))
    millicpus = instance.allocatable_millicpus - DAEMONSET_MILLICPUS
    memory_mib = instance.allocatable_memory_mib - DAEMONSET_MEMORY_MIB
    least = host_memory(None, gpus=gpus, gpu_memory_mib=0, shared_memory_gib=0).least_mib
    # Exactly this many fit: the last one takes all that is left, or one more would lack a little.
    share, beyond = chance.choice(((places, 0), (places + 1, 1)))
    shape = ReplicaShape(
        gpus=gpus,
        millicpus=millicpus // share + beyond if bound == "CPU" else chance.randint(100, millicpus // by_gpus),
        memory_mib=memory_mib // share + beyond if bound == "memory" else chance.randint(least, memory_mib // by_gpus),
    )
    fit = replicas_per_node(instance, shape)
    most = min(2 * fit + 1, _MAX_REPLICAS)
    return Layout(
        service=service,
        instance=instance,
        shape=shape,
        # A full node, or one replica more, reveals an error of one.
        replicas={color: chance.choice((fit, fit + 1, chance.randint(1, most))) for color in COLORS},
        mode=mode,
        shared=shared,
        bound=bound,
    )
