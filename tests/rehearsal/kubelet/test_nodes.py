"""Nodes follow the EKS node groups."""

import datetime

import pytest

from rehearsal.kube import Json, KubeClient
from tests.rehearsal.kubelet.conftest import World
from tests.rehearsal.world_parts import holds, server_pod, wait_for


def nodes_of(kube: KubeClient, group: str) -> list[Json]:
    return kube.list("v1", "Node", label_selector=f"eks.amazonaws.com/nodegroup={group}")["items"]


def untainted(node: Json) -> bool:
    return all(taint["key"] == "nvidia.com/gpu" for taint in node["spec"].get("taints", []))


@pytest.mark.usefixtures("world")
def test_a_node_group_becomes_ready_gpu_nodes_with_its_labels_and_taints(kube: KubeClient) -> None:
    nodes = wait_for(
        lambda: [n for n in nodes_of(kube, "gpu") if holds(n, "Ready") and untainted(n)][1:] and nodes_of(kube, "gpu"),
        "two nodes that take pods",
    )

    assert len(nodes) == 2
    for node in nodes:
        labels = node["metadata"]["labels"]
        assert node["metadata"]["name"].startswith("ip-10-0-")
        assert labels["pool"] == "gpu"
        assert labels["node.kubernetes.io/instance-type"] == "g6e.12xlarge"
        assert node["status"]["capacity"]["nvidia.com/gpu"] == "4"
        assert node["spec"]["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}
    assert len(zones) == 2, "nodes are spread over the zones of the group's subnets"


def test_a_node_that_is_taken_away_ends_its_pods_whatever_the_disruption_budget_says(
    kube: KubeClient, world: World, namespace: str
) -> None:
    world.aws.make_node_group("shrinking", size=1, labels={"pool": "shrinking"})
    pod = server_pod("server", namespace, nodeSelector={"pool": "shrinking"}, terminationGracePeriodSeconds=5)
    kube.create(pod)
    kube.create(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "all", "namespace": namespace},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "server"}}},
        }
    )
    wait_for(lambda: holds(kube.get("v1", "Pod", namespace, "server"), "Ready"), "the pod is ready")

    world.aws.resize("shrinking", 0)

    wait_for(lambda: not nodes_of(kube, "shrinking"), "the node is gone")
    assert kube.list("v1", "Pod", namespace)["items"] == []
    log = (world.folder / "logs" / "pods" / f"{namespace}_server.log").read_text()
    assert '"sigterm"' in log


@pytest.mark.usefixtures("world")
def test_nodes_renew_their_leases(kube: KubeClient) -> None:
    node = wait_for(lambda: nodes_of(kube, "gpu"), "nodes")[0]
    made = datetime.datetime.fromisoformat(node["metadata"]["creationTimestamp"])

    def lease() -> Json:
        return kube.get("coordination.k8s.io/v1", "Lease", "kube-node-lease", node["metadata"]["name"])

    def age_at_renewal() -> float:
        return (datetime.datetime.fromisoformat(lease()["spec"]["renewTime"]) - made).total_seconds()

    wait_for(lambda: age_at_renewal() > 2, "the lease is renewed every ten seconds")
    assert lease()["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"], "it goes with its node"
