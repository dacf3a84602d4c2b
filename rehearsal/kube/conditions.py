"""The conditions of Kubernetes objects."""

from rehearsal.kube.client import Json


def condition(obj: Json, kind: str) -> Json:
    """A condition of the object, empty when it has none of the type."""
    conditions: list[Json] = obj.get("status", {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == kind), {})


def is_met(obj: Json, kind: str = "Ready") -> bool:
    """Whether a condition of the object is True."""
    return condition(obj, kind).get("status") == "True"
