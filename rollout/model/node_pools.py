"""Node pools of Karpenter and EKS Auto Mode, as the cluster has them, and which of them may bring nodes for pods."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from components.domain.naming import Color
from components.domain.nodes.tolerations import Toleration
from rollout.model.nodes import Taint

POOL_LABEL: Final = "karpenter.sh/nodepool"
# Labels that Karpenter knows, so that a pod may select any value that the pool does not forbid.
# https://karpenter.sh/docs/concepts/scheduling/#well-known-labels
_KNOWN: Final = re.compile(r"(.+\.)?(kubernetes\.io|k8s\.io|karpenter\.sh|k8s\.aws|amazonaws\.com)/.+")


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """What a pool requires of a label of its nodes."""

    operator: str
    values: tuple[str, ...] = ()

    def permits(self, value: str) -> bool:
        """Return whether a node with this value of the label may come."""
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "DoesNotExist":
                return False
            case _:
                return True


@dataclass(frozen=True, kw_only=True)
class NodePool:
    """A node pool of the cluster."""

    name: str
    colors: tuple[Color, ...] = ()
    """The service's colours whose pods select it by the program's own labels. Empty for a pool of others."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Labels of its nodes."""
    requirements: Mapping[str, Requirement] = field(default_factory=dict[str, Requirement])
    taints: tuple[Taint, ...] = ()
    limit_gpus: int | None = None
    """The most GPUs of its nodes together. None when it has no such limit."""
    used_gpus: int = 0

    @property
    def free_gpus(self) -> int | None:
        """How many GPUs it may still bring. None when that is not limited."""
        return None if self.limit_gpus is None else max(self.limit_gpus - self.used_gpus, 0)

    def may_take(self, selector: Mapping[str, str], tolerations: Sequence[Toleration]) -> bool:
        """Return whether it may bring nodes for pods with this node selector and these tolerations."""
        labels = {**self.labels, POOL_LABEL: self.name}
        selected = all(
            labels[key] == value
            if key in labels
            else self.requirements[key].permits(value)
            if key in self.requirements
            else _KNOWN.fullmatch(key) is not None
            for key, value in selector.items()
        )
        return selected and all(
            taint.effect == "PreferNoSchedule"
            or any(one.tolerates(taint.key, taint.value, taint.effect) for one in tolerations)
            for taint in self.taints
        )
