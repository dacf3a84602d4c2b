"""The annotations by which a program tells the provider how to treat one object."""

from rehearsal.kube.client import Json

PREFIX = "pulumi.com/"
AUTONAMED = f"{PREFIX}autonamed"
SKIP_AWAIT = f"{PREFIX}skipAwait"
TIMEOUT_SECONDS = f"{PREFIX}timeoutSeconds"
PATCH_FORCE = f"{PREFIX}patchForce"
FIELD_MANAGER = f"{PREFIX}patchFieldManager"
_PROPAGATION = f"{PREFIX}deletionPropagationPolicy"

NOT_SUPPORTED = (f"{PREFIX}waitFor", f"{PREFIX}replaceUnready")
"""What the real provider honours and the rehearsal's does not."""

_DEFAULT_TIMEOUT_SECONDS = 600.0
_ENDS_UNWATCHED = {
    ("v1", "Namespace"),
    ("v1", "Pod"),
    ("v1", "ReplicationController"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
}
"""Kinds whose deletion is not waited for either when their annotation skips waiting; of others it always is."""


def annotation(obj: Json, key: str) -> str | None:
    return (obj.get("metadata", {}).get("annotations") or {}).get(key)


def is_on(obj: Json, key: str) -> bool:
    return annotation(obj, key) == "true"


def skips_await_of_deletion(obj: Json) -> bool:
    return is_on(obj, SKIP_AWAIT) and (obj["apiVersion"], obj["kind"]) in _ENDS_UNWATCHED


def timeout_seconds(obj: Json, custom: float | None) -> float:
    """How long to wait for an object: the resource's customTimeouts, its annotation (a whole number), or 10 minutes."""
    annotated = annotation(obj, TIMEOUT_SECONDS) or ""
    return custom or (float(annotated) if annotated.isdecimal() else _DEFAULT_TIMEOUT_SECONDS)


def propagation_policy(obj: Json) -> str:
    """What is to become of an object's dependents when it is deleted: by default they go first."""
    asked = (annotation(obj, _PROPAGATION) or "").capitalize()
    return asked if asked in ("Orphan", "Background") else "Foreground"
