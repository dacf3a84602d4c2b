"""Kubernetes objects as a provider's inputs and state."""

import random
from typing import Any

from rehearsal.kube import Json
from rehearsal.providers.kubernetes.cluster import FIELD_MANAGER
from rehearsal.providers.provider import Resource
from rehearsal.providers.values import UNKNOWN, Tree

AUTONAMED = "pulumi.com/autonamed"
INPUTS = "__inputs"
_RANDOM_DIGITS = 8
_READ_ONLY = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


def api_version_and_kind(token: str) -> tuple[str, str]:
    """From ``kubernetes:apps/v1:Deployment``; the core group is spelt ``core`` in tokens and left out in objects."""
    _, version, kind = token.split(":")
    return version.removeprefix("core/"), kind


def with_name(resource: Resource, inputs: Tree, old: Tree, seed: bytes) -> Tree:
    """Inputs with a name: the given one, the one chosen before, or the logical name and random digits."""
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
    annotations = inputs.get("metadata", {}).get("annotations", {})
    return annotations is not UNKNOWN and annotations.get(AUTONAMED) == "true"


def identity(inputs: Tree) -> tuple[str, str]:
    """Namespace (empty when there is none) and name."""
    metadata = inputs.get("metadata", {})
    return metadata.get("namespace", ""), metadata.get("name", "")


def id_of(obj: Json) -> str:
    namespace, name = identity(obj)
    return f"{namespace}/{name}" if namespace else name


def from_id(token: str, resource_id: str) -> Json:
    """As much of an object as its id says."""
    api_version, kind = api_version_and_kind(token)
    namespace, _, name = resource_id.rpartition("/")
    metadata = {"namespace": namespace, "name": name} if namespace else {"name": name}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def state_of(live: Json, inputs: Tree) -> Tree:
    """State as the real provider keeps it: the live object, and the inputs that it came from."""
    metadata = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
    return {
        **live,
        "metadata": metadata,
        INPUTS: inputs,
        "__initialApiVersion": inputs.get("apiVersion", live["apiVersion"]),
        "__fieldManager": FIELD_MANAGER,
    }


def previewed(dry_run: Json, inputs: Tree) -> Tree:
    """State that a create or an update is going to give: without what only the real one decides."""
    return state_of(settings_of(dry_run), inputs)


def settings_of(obj: Json) -> Json:
    """An object without its status and what only the server sets."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _READ_ONLY}
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}


def refreshed(inputs: Any, applied: Any, live: Any) -> Any:
    """The inputs as they are in force now: each value as the program gave it, unless someone changed it since.

    ``applied`` is what the server makes of the inputs. Where the live value is the same there is no change, however
    the program and the server spell it (``"0.5"`` and ``"500m"``).
    """
    if applied == live and live is not None:
        return inputs
    if isinstance(inputs, dict) and isinstance(live, dict):
        fields: Tree = inputs
        now: Tree = live
        then: Tree = applied if isinstance(applied, dict) else {}
        return {key: refreshed(value, then.get(key), now[key]) for key, value in fields.items() if key in now}
    if isinstance(inputs, list) and isinstance(live, list) and len(inputs) == len(live):
        given: list[Any] = inputs
        before: list[Any] = applied if isinstance(applied, list) and len(applied) == len(live) else [None] * len(live)
        return [refreshed(*values) for values in zip(given, before, live, strict=True)]
    return live
