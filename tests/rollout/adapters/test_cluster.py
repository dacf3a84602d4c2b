"""Nodes, pods, Secrets and claims as read from a real API server."""

import base64
import uuid
from collections.abc import Generator
from typing import Any

import pytest
from kubernetes import client, config

from components.domain.naming import GPU_RESOURCE
from components.domain.nodes.tolerations import GPU_TOLERATION
from rehearsal.controlplane.run import ControlPlane
from rehearsal.kube.client import KubeClient
from rollout.adapters.kubernetes.cluster import KubernetesCluster
from rollout.model.errors import RolloutError
from rollout.model.node_pools import Requirement
from rollout.model.nodes import Resources, Taint

IMAGE = f"vllm/vllm-openai@sha256:{'a' * 64}"


def use(monkeypatch: pytest.MonkeyPatch, api: "client.CoreV1Api") -> None:
    def core_api(_: str | None) -> "client.CoreV1Api":
        return api

    monkeypatch.setattr("rollout.adapters.kubernetes.cluster.core_api", core_api)


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch) -> KubernetesCluster:
    # The client reads KUBECONFIG when it is imported, and another test may have imported it already.
    api = client.CoreV1Api(config.new_client_from_config(str(control_plane.kubeconfig)))
    use(monkeypatch, api)
    return KubernetesCluster(service="chat", namespace=namespace)


@pytest.fixture
def node(kube: KubeClient) -> Generator[str]:
    name = f"node-{uuid.uuid4().hex[:8]}"
    kube.create(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"pool": name}},
            "spec": {
                "unschedulable": True,
                "taints": [{"key": GPU_RESOURCE, "value": "present", "effect": "NoSchedule"}],
            },
            "status": {
                "allocatable": {"cpu": "3920m", "memory": "31457281Ki", "pods": "58", GPU_RESOURCE: "1"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
    )
    yield name
    kube.delete("v1", "Node", None, name)


def pod(namespace: str, name: str, node: str | None, **spec: Any) -> dict[str, Any]:
    asked = {"requests": {"cpu": "1500m", "memory": "1.5Gi"}, "limits": {GPU_RESOURCE: "1"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            **({"nodeName": node} if node else {}),
            "containers": [{"name": "one", "image": IMAGE, "resources": asked}],
            "automountServiceAccountToken": False,
            **spec,
        },
    }


def test_a_node_is_read_as_the_scheduler_sees_it(cluster: KubernetesCluster, node: str) -> None:
    (found,) = [one for one in cluster.nodes() if one.name == node]
    # Offered amounts are rounded down.
    assert found.allocatable == Resources(gpus=1, millicpus=3920, memory_mib=30720, pods=58)
    assert found.labels["pool"] == node
    assert Taint(key=GPU_RESOURCE, value="present", effect="NoSchedule") in found.taints
    assert found.cordoned
    assert found.closed_to((GPU_TOLERATION,)) == "cordoned"


def test_pods_with_a_node_are_counted_with_all_they_ask_for(
    cluster: KubernetesCluster, kube: KubeClient, namespace: str, node: str
) -> None:
    def asking(name: str, cpu: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "image": IMAGE, "resources": {"requests": {"cpu": cpu}}, **more}

    starting = [asking("sidecar", "250m", restartPolicy="Always"), asking("fetch", "4")]
    kube.create(pod(namespace, "plain", node))
    kube.create(pod(namespace, "waiting", None, nodeSelector={"never": "there"}))
    kube.create(pod(namespace, "starting", node, initContainers=starting))
    found = {one.labels["app"]: one for one in cluster.bound_pods() if one.node == node}
    assert set(found) == {"plain", "starting"}
    assert found["plain"].requests == Resources(gpus=1, millicpus=1500, memory_mib=1536, pods=1)
    assert found["starting"].requests.millicpus == 4000
    assert not found["plain"].of_daemonset
    assert found["plain"].images == (IMAGE,)


def test_types_of_resources_are_there_or_not(cluster: KubernetesCluster) -> None:
    assert cluster.has_resource("elbv2.k8s.aws/v1beta1", "targetgroupbindings")
    assert not cluster.has_resource("elbv2.k8s.aws/v1beta1", "others")
    assert not cluster.has_resource("example.com/v1", "targetgroupbindings")


def test_a_device_plugin_is_known_by_its_image(cluster: KubernetesCluster, kube: KubeClient, namespace: str) -> None:
    def daemon_set(name: str, image: str) -> dict[str, Any]:
        labels = {"app": name}
        spec = {"containers": [{"name": "one", "image": image}], "nodeSelector": {"never": "there"}}
        return {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
        }

    kube.create(daemon_set("logs", "fluent/fluent-bit:4.0.0"))
    assert f"{namespace}/logs" not in cluster.device_plugins()
    kube.create(daemon_set("plugin", "nvcr.io/nvidia/k8s-device-plugin:v0.17.1"))
    assert f"{namespace}/plugin" in cluster.device_plugins()


def test_secrets_are_known_by_their_keys_alone(cluster: KubernetesCluster, kube: KubeClient, namespace: str) -> None:
    value = base64.b64encode(b"sesame").decode()
    metadata = {"name": "keys", "namespace": namespace}
    kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"api": value}})
    assert cluster.secret_keys("keys") == {"api"}
    assert cluster.secret_keys("others") is None


def test_claims_are_there_or_not(cluster: KubernetesCluster, kube: KubeClient, namespace: str) -> None:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "weights", "namespace": namespace}
    kube.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    assert cluster.has_claim("weights")
    assert not cluster.has_claim("others")


def test_an_api_server_that_does_not_answer_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = client.CoreV1Api(client.ApiClient(client.Configuration(host="http://127.0.0.1:9")))
    use(monkeypatch, nobody)
    with pytest.raises(RolloutError, match=r"Kubernetes cannot list nodes: 127\.0\.0\.1:9 does not answer"):
        KubernetesCluster(service="chat", namespace="chat").nodes()


def test_the_vpc_cnis_service_account_is_the_clusters(cluster: KubernetesCluster, kube: KubeClient) -> None:
    assert cluster.vpc_cni_annotations() is None
    metadata: dict[str, Any] = {"name": "aws-node", "namespace": "kube-system"}
    kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    try:
        assert cluster.vpc_cni_annotations() == {}
        kube.delete("v1", "ServiceAccount", "kube-system", "aws-node")
        annotations = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/cni"}
        kube.create(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**metadata, "annotations": annotations}}
        )
        assert cluster.vpc_cni_annotations() == annotations
    finally:
        kube.delete("v1", "ServiceAccount", "kube-system", "aws-node")


POOL: dict[str, Any] = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodePool",
    "metadata": {"name": "chat-green"},
    "spec": {
        "template": {
            "metadata": {"labels": {"vllm-blue-green/service": "chat", "vllm-blue-green/color": "green"}},
            "spec": {
                "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "gpu"},
                "taints": [{"key": GPU_RESOURCE, "value": "present", "effect": "NoSchedule"}],
                "requirements": [{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}],
            },
        },
        "limits": {GPU_RESOURCE: "8"},
    },
}


def test_node_pools_are_read_with_their_limits_and_what_became_of_their_nodes(
    cluster: KubernetesCluster, kube: KubeClient
) -> None:
    kube.create(POOL)
    labels = {"karpenter.sh/nodepool": "chat-green"}
    name = "chat-green-b2x4z"
    metadata = {"name": name, "labels": labels}
    kube.create({"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": metadata, "spec": {}})
    launched = {"type": "Launched", "status": "True", "reason": "Launched", "message": ""}
    status = {"conditions": [{**launched, "lastTransitionTime": "2026-12-01T08:00:00Z"}]}
    kube.patch("karpenter.sh/v1", "NodeClaim", None, name, {"status": status}, subresource="status")
    event = kube.create(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "chat-green-c3y5z.1", "namespace": "default"},
            "involvedObject": {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": "chat-green-c3y5z"},
            "type": "Warning",
            "reason": "InsufficientCapacityError",
            "message": "NodeClaim chat-green-c3y5z event: InsufficientInstanceCapacity",
            "lastTimestamp": "2026-12-01T08:00:01Z",
            "count": 1,
        }
    )
    try:
        (pool,) = list(cluster.node_pools() or [])
        assert (pool.name, pool.colors, pool.limit_gpus, pool.used_gpus) == ("chat-green", ("green",), 8, 0)
        assert pool.requirements == {"karpenter.sh/capacity-type": Requirement(operator="In", values=("on-demand",))}
        assert pool.taints == (Taint(key=GPU_RESOURCE, value="present", effect="NoSchedule"),)
        newest, older = cluster.node_launches(["chat-green"])
        assert newest.failed
        assert "InsufficientInstanceCapacity" in newest.message
        assert not older.failed
        assert cluster.node_launches(["chat", "chat-blue"]) == []
    finally:
        kube.delete("v1", "Event", "default", event["metadata"]["name"])
        kube.delete("karpenter.sh/v1", "NodeClaim", None, name)
        kube.delete("karpenter.sh/v1", "NodePool", None, "chat-green")
