"""Tolerations: which taints of nodes do not keep a service's pods away. Pure."""

from dataclasses import dataclass
from typing import Final

from components.domain.naming import GPU_RESOURCE


@dataclass(frozen=True, kw_only=True)
class Toleration:
    """A pod's consent to a taint.

    https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
    """

    key: str
    value: str | None = None
    """None: whatever the taint's value is."""
    effect: str | None = None
    """None: whatever the taint's effect is."""

    def tolerates(self, key: str, value: str, effect: str) -> bool:
        """Return whether a pod with this toleration may run on a node with this taint."""
        return self.key == key and self.value in (None, value) and self.effect in (None, effect)


GPU_TOLERATION: Final = Toleration(key=GPU_RESOURCE, effect="NoSchedule")
"""Every pod of a service has it: nodes with GPUs keep pods away that need none."""
