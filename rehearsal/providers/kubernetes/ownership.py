"""The ownership of fields. Like the real provider, it creates and applies under different field managers."""

import copy
import secrets
from collections.abc import Sequence
from typing import Any

from rehearsal.kube.client import Json
from rehearsal.providers.kubernetes.annotations import FIELD_MANAGER, PATCH_FORCE, annotation, is_on
from rehearsal.providers.values import Tree

CREATOR = "pulumi-kubernetes"
"""The field manager of a creation."""

STATE_KEY = "__fieldManager"

_ADOPTED = {
    "Apply": ("kubectl",),
    "Update": ("kubectl", "before-first-apply", CREATOR, "pulumi-resource-kubernetes"),
}
"""By operation, the prefixes of field managers whose fields an update takes over."""


def field_manager(inputs: Tree, state: Tree) -> str:
    """Return the field manager for applying: the annotation's, the one chosen before, or a new one for this object."""
    chosen = annotation(inputs, FIELD_MANAGER) or state.get(STATE_KEY)
    return chosen or f"{CREATOR}-{secrets.token_hex(4)}"


def takes_over(inputs: Tree, live: Json, *, dry_run: bool) -> bool:
    """Return whether to take over fields with other owners. Otherwise the API server reports a conflict."""
    if is_on(inputs, PATCH_FORCE):
        return True
    managed = managed_fields(live)
    # Before an update the creator's fields are adopted, which a dry run cannot do.
    created = any(entry["manager"] == CREATOR and entry["operation"] == "Update" for entry in managed)
    return not managed or (dry_run and created)


def adoption(live: Json, manager: str) -> list[Json]:
    """Return a JSON patch that makes ``manager`` own the creator's or kubectl's fields; empty without such fields."""
    managed = managed_fields(live)
    theirs = [entry for entry in managed if _is_adopted(entry)]
    if not theirs:
        return []
    ours = [entry for entry in managed if _is_applied_by(entry, manager)]
    fields: Json = {}
    for entry in (*ours, *theirs):
        fields = _union(fields, entry.get("fieldsV1", {}))
    kept = [entry for entry in managed if entry not in theirs and entry not in ours]
    applied = {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": live["apiVersion"],
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        "time": theirs[-1]["time"],
    }
    return [{"op": "replace", "path": "/metadata/managedFields", "value": [*kept, applied]}]


def left_to_others(inputs: Tree, live: Json, manager: str, paths: Sequence[str]) -> Tree:
    """Return what to apply where changes of fields at these paths are ignored.

    A field that only others own is left out; any other one keeps its live value. Paths through lists do not count.
    https://github.com/pulumi/pulumi-kubernetes/blob/v4.34.2/provider/pkg/await/await.go
    """
    if not paths:
        return inputs
    wanted = copy.deepcopy(inputs)
    for keys in (path.split(".") for path in paths):
        mine, theirs = False, False
        for entry in managed_fields(live):
            owned = _has(entry.get("fieldsV1", {}), [f"f:{key}" for key in keys])
            mine |= owned and entry["manager"] == manager
            theirs |= owned and entry["manager"] != manager
        *above, last = keys
        parent, now = _at(wanted, above), _at(live, above)
        if theirs and not mine:
            parent.pop(last, None)
        elif last in now:
            parent[last] = now[last]
    return wanted


def _has(fields: Json, keys: Sequence[str]) -> bool:
    return _at(fields, keys[:-1]).get(keys[-1]) is not None


def _at(tree: Json, keys: Sequence[str]) -> Json:
    """Return the object at a path. An empty one when there is none."""
    for key in keys:
        tree = tree.get(key) or {}
    return tree


def managed_fields(live: Json) -> list[Json]:
    return live["metadata"].get("managedFields", [])


def _is_adopted(entry: Json) -> bool:
    return entry["manager"].startswith(_ADOPTED[entry["operation"]]) and not entry.get("subresource")


def _is_applied_by(entry: Json, manager: str) -> bool:
    return (entry["manager"], entry["operation"]) == (manager, "Apply") and not entry.get("subresource")


def _union(one: Json, other: Json) -> Json:
    both: dict[str, Any] = dict(one)
    for key, value in other.items():
        both[key] = _union(both.get(key, {}), value)
    return both
