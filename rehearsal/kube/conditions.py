"""The conditions of Kubernetes objects."""

from rehearsal.kube.client import Json


def condition(obj: Json, kind: str) -> Json:
    """Return the object's condition of this type, an empty object when it has none."""
    conditions: list[Json] = obj.get("status", {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == kind), {})


def is_met(obj: Json, kind: str = "Ready") -> bool:
    """Return whether the object's condition of this type is True."""
    return condition(obj, kind).get("status") == "True"
