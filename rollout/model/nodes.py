"""Nodes and pods, as Kubernetes says them, and what they offer and ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from components.domain.naming import GPU_RESOURCE

# A taint with another effect keeps no pod away.
_BARRING: Final = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a node offers, or what pods ask for."""

    gpus: int = 0
    millicpus: int = 0
    memory_mib: int = 0
    pods: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        """Add up."""
        return Resources(
            gpus=self.gpus + other.gpus,
            millicpus=self.millicpus + other.millicpus,
            memory_mib=self.memory_mib + other.memory_mib,
            pods=self.pods + other.pods,
        )

    def __sub__(self, other: "Resources") -> "Resources":
        """Take away; what is asked for may be more than there is."""
        return Resources(
            gpus=self.gpus - other.gpus,
            millicpus=self.millicpus - other.millicpus,
            memory_mib=self.memory_mib - other.memory_mib,
            pods=self.pods - other.pods,
        )

    def places(self, replica: "Resources") -> int:
        """Return how many such replicas find room."""
        offers = (
            (self.gpus, replica.gpus),
            (self.millicpus, replica.millicpus),
            (self.memory_mib, replica.memory_mib),
            (self.pods, replica.pods),
        )
        return max(min(offered // asked for offered, asked in offers if asked), 0)


@dataclass(frozen=True, kw_only=True)
class Taint:
    """What keeps pods from a node, unless they tolerate it."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        """Return it as `kubectl taint` takes it."""
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node as the scheduler sees it."""

    name: str
    allocatable: Resources
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: tuple[Taint, ...] = ()
    ready: bool = True
    cordoned: bool = False

    def belongs_to(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a pod with this node selector may sit here."""
        return labels.items() <= self.labels.items()

    @property
    def closed(self) -> str | None:
        """Why no new replica starts here; none: it may."""
        if not self.ready:
            return "not ready"
        if self.cordoned:
            return "cordoned"
        barring = [str(taint) for taint in self.taints if taint.effect in _BARRING and not _is_tolerated(taint)]
        return f"tainted {', '.join(barring)}" if barring else None


@dataclass(frozen=True, kw_only=True)
class BoundPod:
    """A pod that has a node, with all that it asks for there."""

    node: str
    requests: Resources
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    of_daemonset: bool = False


def _is_tolerated(taint: Taint) -> bool:
    """Tell whether the replicas tolerate it: they do so for the GPU taint alone, whatever its value."""
    return taint.key == GPU_RESOURCE and taint.effect == "NoSchedule"


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A replica as Kubernetes sees it."""

    name: str
    release_id: str
    ready: bool
    terminating: bool
    waiting_reason: str
    """Why it is not running, e.g. CrashLoopBackOff or Unschedulable; empty when it is."""
    restarts: int
