"""The annotations that control how the provider treats one object."""

from rehearsal.kube.client import Json

PREFIX = "pulumi.com/"
AUTONAMED = f"{PREFIX}autonamed"
SKIP_AWAIT = f"{PREFIX}skipAwait"
TIMEOUT_SECONDS = f"{PREFIX}timeoutSeconds"
PATCH_FORCE = f"{PREFIX}patchForce"
FIELD_MANAGER = f"{PREFIX}patchFieldManager"
_PROPAGATION = f"{PREFIX}deletionPropagationPolicy"

NOT_SUPPORTED = (f"{PREFIX}waitFor", f"{PREFIX}replaceUnready")
"""Annotations that the real provider honours but the rehearsal's does not."""

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
"""Kinds for which the skip-await annotation also skips waiting for their deletion. For others it does not."""


def annotation(obj: Json, key: str) -> str | None:
    return (obj.get("metadata", {}).get("annotations") or {}).get(key)


def is_on(obj: Json, key: str) -> bool:
    return annotation(obj, key) == "true"


def skips_await_of_deletion(obj: Json) -> bool:
    return is_on(obj, SKIP_AWAIT) and (obj["apiVersion"], obj["kind"]) in _ENDS_UNWATCHED


def timeout_seconds(obj: Json, custom: float | None) -> float:
    """Return how long to wait for an object: customTimeouts, its annotation (a whole number), or 10 minutes."""
    annotated = annotation(obj, TIMEOUT_SECONDS) or ""
    return custom or (float(annotated) if annotated.isdecimal() else _DEFAULT_TIMEOUT_SECONDS)


def propagation_policy(obj: Json) -> str:
    """Return the propagation policy of a deletion. By default dependents are deleted first."""
    asked = (annotation(obj, _PROPAGATION) or "").capitalize()
    return asked if asked in ("Orphan", "Background") else "Foreground"
