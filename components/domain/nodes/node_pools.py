"""Node pools of Karpenter and EKS Auto Mode, as they are declared. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

TYPE_REQUIREMENT: Final = "node.kubernetes.io/instance-type"


def keeps_all_nodes(budgets: object) -> bool:
    """Return whether a pool's disruption budgets always forbid to disrupt any of its nodes, for any reason.

    Of several budgets the smallest counts.
    https://karpenter.sh/docs/concepts/disruption/#nodepool-disruption-budgets
    """
    return any(
        str(one.get("nodes")) in ("0", "0%") and not one.get("reasons") and one.get("schedule") is None
        for one in _tables(budgets)
    )


def required_types(requirements: object) -> Sequence[str] | None:
    """Return the instance types that a pool's requirements name. None when they name none."""
    for one in _tables(requirements):
        if one.get("key") == TYPE_REQUIREMENT and one.get("operator") == "In":
            return [str(value) for value in _items(one.get("values"))]
    return None


def _tables(values: object) -> list[Mapping[str, Any]]:
    return [cast(Mapping[str, Any], one) for one in _items(values) if isinstance(one, Mapping)]


def _items(values: object) -> Sequence[object]:
    return cast(Sequence[object], values) if isinstance(values, Sequence) and not isinstance(values, str) else ()
