"""Decides which changes replace a Kubernetes object, as the real provider does."""

from rehearsal.providers.difference import Path, names
from rehearsal.providers.values import Tree

_IDENTITY = ("metadata.name", "metadata.namespace")

_FIELDS = {
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "StatefulSet"): (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("batch", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    ("", "PersistentVolumeClaim"): ("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    ("", "Pod"): ("spec",),
    ("", "ResourceQuota"): ("spec.scopes",),
    ("", "Secret"): ("type",),
    ("", "Service"): ("spec.clusterIP",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io", "StorageClass"): ("parameters", "provisioner"),
}
_DATA = {"ConfigMap": ("binaryData", "data"), "Secret": ("data", "stringData", "type")}


def replaces(inputs: Tree, path: Path, mutable_kinds: frozenset[str]) -> bool:
    """Return whether a change at this path replaces the object.

    Changed data replaces a ConfigMap or Secret, unless the provider's configuration makes the kind mutable and the
    object itself allows it. Objects that the program names are then updated in place.
    """
    group, kind = inputs["apiVersion"].rpartition("/")[0], inputs["kind"]
    fields = _FIELDS.get((group, kind), ())
    if not group and kind in _DATA and (kind not in mutable_kinds or inputs.get("immutable") is True):
        fields = _DATA[kind]
    changed = names(path)
    return any(_touches(changed, tuple(field.split("."))) for field in (*_IDENTITY, *fields))


def _touches(changed: tuple[str, ...], field: tuple[str, ...]) -> bool:
    shorter = min(len(changed), len(field))
    return changed[:shorter] == field[:shorter]
