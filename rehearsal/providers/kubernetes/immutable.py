"""Which changes of a Kubernetes object take a new one, as the real provider decides it."""

from rehearsal.providers.difference import Path, names

_IDENTITY = ("metadata.name", "metadata.namespace", "kind")

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
    ("", "ConfigMap"): ("binaryData", "data"),
    ("", "PersistentVolumeClaim"): ("spec",),
    ("", "Pod"): ("spec",),
    ("", "ResourceQuota"): ("spec.scopes",),
    ("", "Secret"): ("data", "stringData", "type"),
    ("", "Service"): ("spec.clusterIP",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io", "StorageClass"): ("parameters", "provisioner"),
}


def replaces(api_version: str, kind: str, path: Path, mutable_kinds: frozenset[str]) -> bool:
    """Whether a change at this path takes a new object.

    ConfigMaps and Secrets are replaced when their data changes, unless the provider's configuration makes their kind
    mutable: what the program gives a name is then updated in place.
    """
    group = api_version.rpartition("/")[0]
    fields = () if kind in mutable_kinds else _FIELDS.get((group, kind), ())
    changed = names(path)
    return any(_touches(changed, tuple(field.split("."))) for field in (*_IDENTITY, *fields))


def _touches(changed: tuple[str, ...], field: tuple[str, ...]) -> bool:
    shorter = min(len(changed), len(field))
    return changed[:shorter] == field[:shorter]
