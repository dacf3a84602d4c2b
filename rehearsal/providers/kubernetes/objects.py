"""Kubernetes objects as inputs and state of a provider."""

import random
from typing import Any

from rehearsal.kube.client import Json
from rehearsal.providers.kubernetes import ownership
from rehearsal.providers.kubernetes.annotations import AUTONAMED
from rehearsal.providers.kubernetes.normal import READ_ONLY
from rehearsal.providers.provider import Resource
from rehearsal.providers.values import UNKNOWN, Tree

INPUTS = "__inputs"
_RANDOM_DIGITS = 8
_REVISION = "deployment.kubernetes.io/revision"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def api_version_and_kind(token: str) -> tuple[str, str]:
    """Split ``kubernetes:apps/v1:Deployment``. Tokens spell the core group ``core``; objects omit it."""
    _, version, kind = token.split(":")
    return version.removeprefix("core/"), kind


def with_name(resource: Resource, inputs: Tree, old: Tree, seed: bytes) -> Tree:
    """Return inputs with a name: the given one, the one chosen before, or the logical name plus random digits."""
    metadata: Tree = inputs.get("metadata") or {}
    if metadata is UNKNOWN or metadata.get("name"):
        return inputs
    before: Tree = old.get("metadata", {})
    if is_autonamed(old):
        name = before["name"]
    else:
        digits = "".join(random.Random(seed or None).choices("0123456789abcdef", k=_RANDOM_DIGITS))
        name = f"{resource.name}-{digits}"
    annotations = metadata.get("annotations", {})
    marked = annotations if annotations is UNKNOWN else {**annotations, AUTONAMED: "true"}
    return {**inputs, "metadata": {**metadata, "name": name, "annotations": marked}}


def is_autonamed(inputs: Tree) -> bool:
    annotations = _metadata(inputs).get("annotations", {})
    return annotations is not UNKNOWN and annotations.get(AUTONAMED) == "true"


def identity(inputs: Tree) -> tuple[str, str]:
    """Return the namespace (empty when there is none) and the name."""
    metadata = _metadata(inputs)
    return metadata.get("namespace", ""), metadata.get("name", "")


def _metadata(inputs: Tree) -> Tree:
    """Return the known metadata."""
    metadata = inputs.get("metadata", {})
    return {} if metadata is UNKNOWN else metadata


def id_of(obj: Json) -> str:
    namespace, name = identity(obj)
    return f"{namespace}/{name}" if namespace else name


def from_id(token: str, resource_id: str) -> Json:
    """Return as much of an object as its id contains."""
    api_version, kind = api_version_and_kind(token)
    namespace, _, name = resource_id.rpartition("/")
    metadata = {"namespace": namespace, "name": name} if namespace else {"name": name}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def state_of(live: Json, inputs: Tree, old_state: Tree, manager: str) -> Tree:
    """Return the state as the real provider keeps it: the live object, its inputs and its field manager."""
    first_version = old_state.get("__initialApiVersion") or inputs.get("apiVersion", live["apiVersion"])
    return {**live, INPUTS: inputs, "__initialApiVersion": first_version, ownership.STATE_KEY: manager}


def settings_of(obj: Json) -> Json:
    """Return an object without its status and the fields that only the server and controllers set."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in READ_ONLY}
    annotations = metadata.get("annotations", {})
    kept = {key: value for key, value in annotations.items() if key not in (_REVISION, _LAST_APPLIED)}
    if annotations:
        metadata["annotations"] = kept
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}


def in_force(live: Any, inputs: Any) -> Any:
    """Return the part of a live object that the inputs set. A difference to the inputs is drift."""
    if isinstance(live, dict) and isinstance(inputs, dict):
        fields: Tree = inputs
        now: Tree = live
        return {key: in_force(value, fields[key]) for key, value in now.items() if key in fields}
    if isinstance(live, list) and isinstance(inputs, list):
        given: list[Any] = inputs
        items: list[Any] = live
        return [in_force(item, shape) for item, shape in zip(items, given, strict=False)]
    return live
