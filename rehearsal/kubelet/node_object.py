"""The Node and Lease objects of an EKS GPU node, as its kubelet registers them."""

from components.domain.nodes.gpu_instances import INSTANCE_TYPES
from rehearsal.kube.client import Json
from rehearsal.kube.time import timestamp
from rehearsal.kubelet.instances import Instance
from rehearsal.kubelet.node_groups import NodeGroup

GROUP_LABEL = "eks.amazonaws.com/nodegroup"
_EPHEMERAL_STORAGE = "200Gi"
_LEASE_SECONDS = 40


def node_object(group: NodeGroup, instance: Instance, region: str) -> Json:
    """Return a ready Node. Raises KeyError for an instance type that is not in the table."""
    size = INSTANCE_TYPES[group.instance_type]
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    name = f"ip-{instance.address.replace('.', '-')}.{domain}"
    fixed = {
        "pods": str(size.max_pods),
        "ephemeral-storage": _EPHEMERAL_STORAGE,
        "nvidia.com/gpu": str(size.gpus),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                **group.labels,
                GROUP_LABEL: group.name,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": group.instance_type,
                "topology.kubernetes.io/region": region,
                "topology.kubernetes.io/zone": instance.zone,
            },
        },
        "spec": {
            "providerID": instance.provider_id,
            "taints": [{"key": t.key, "value": t.value, "effect": t.effect} for t in group.taints],
        },
        "status": {
            "capacity": {"cpu": str(size.vcpus), "memory": f"{size.memory_gib}Gi", **fixed},
            "allocatable": {
                "cpu": f"{size.allocatable_millicpus}m",
                "memory": f"{size.allocatable_memory_mib}Mi",
                **fixed,
            },
            "addresses": [
                {"type": "InternalIP", "address": instance.address},
                {"type": "Hostname", "address": name},
                {"type": "InternalDNS", "address": name},
            ],
            "conditions": node_conditions(),
        },
    }


def node_conditions() -> list[Json]:
    """Return the conditions of a healthy node."""
    return [
        _condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        _condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        _condition("PIDPressure", "False", "KubeletHasSufficientPID"),
        _condition("Ready", "True", "KubeletReady"),
    ]


def lease_object(node: Json) -> Json:
    """Return the heartbeat of a node; it is deleted with the node."""
    name = node["metadata"]["name"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease", "ownerReferences": [owner]},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": _LEASE_SECONDS,
            "renewTime": timestamp(micro=True),
        },
    }


def _condition(kind: str, status: str, reason: str) -> Json:
    now = timestamp()
    return {"type": kind, "status": status, "reason": reason, "lastHeartbeatTime": now, "lastTransitionTime": now}
