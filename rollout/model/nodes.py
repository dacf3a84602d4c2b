"""Nodes and pods as Kubernetes reports them, with the resources that they offer and request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from components.domain.nodes.tolerations import Toleration

# The service account of the VPC CNI, which gives nodes and pods their addresses.
# https://docs.aws.amazon.com/eks/latest/userguide/cni-iam-role.html
VPC_CNI_NAMESPACE: Final = "kube-system"
VPC_CNI_ACCOUNT: Final = "aws-node"

# Taints with other effects do not keep pods away.
_BARRING: Final = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources that a node offers or that pods request."""

    gpus: int = 0
    millicpus: int = 0
    memory_mib: int = 0
    pods: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        """Return the sum."""
        return Resources(
            gpus=self.gpus + other.gpus,
            millicpus=self.millicpus + other.millicpus,
            memory_mib=self.memory_mib + other.memory_mib,
            pods=self.pods + other.pods,
        )

    def __sub__(self, other: "Resources") -> "Resources":
        """Return the difference. It is negative where more is requested than offered."""
        return Resources(
            gpus=self.gpus - other.gpus,
            millicpus=self.millicpus - other.millicpus,
            memory_mib=self.memory_mib - other.memory_mib,
            pods=self.pods - other.pods,
        )

    def places(self, replica: "Resources") -> int:
        """Return how many such replicas fit."""
        offers = (
            (self.gpus, replica.gpus),
            (self.millicpus, replica.millicpus),
            (self.memory_mib, replica.memory_mib),
            (self.pods, replica.pods),
        )
        return max(min(offered // asked for offered, asked in offers if asked), 0)


@dataclass(frozen=True, kw_only=True)
class Taint:
    """A taint: it keeps pods off a node unless they tolerate it."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        """Return the taint in the syntax of `kubectl taint`."""
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
        """Return whether a pod with this node selector may run here."""
        return labels.items() <= self.labels.items()

    def closed_to(self, tolerations: Sequence[Toleration]) -> str | None:
        """Return why no new replica with these tolerations can start here. None when it can."""
        if not self.ready:
            return "not ready"
        if self.cordoned:
            return "cordoned"
        barring = [
            str(taint)
            for taint in self.taints
            if taint.effect in _BARRING
            and not any(one.tolerates(taint.key, taint.value, taint.effect) for one in tolerations)
        ]
        return f"tainted {', '.join(barring)}" if barring else None


@dataclass(frozen=True, kw_only=True)
class BoundPod:
    """A pod that is bound to a node, with its resource requests."""

    node: str
    requests: Resources
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    of_daemonset: bool = False
    images: tuple[str, ...] = ()
    """The images of its containers."""


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A replica as Kubernetes sees it."""

    name: str
    release_id: str
    ready: bool
    terminating: bool
    waiting_reason: str
    """Why the pod is not running, e.g. CrashLoopBackOff or Unschedulable. Empty when it is running."""
    restarts: int
    crash: str = ""
    """The last line of the log before its last crash. Empty without a crash, or when the line contains a secret."""
