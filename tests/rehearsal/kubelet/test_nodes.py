"""Nodes follow the EKS node groups."""

import datetime
from ipaddress import ip_address, ip_network

import pytest

from rehearsal.kube.client import STRATEGIC_MERGE_PATCH, Json, KubeClient
from rehearsal.kubelet.nodes import LOST
from tests.rehearsal.kubelet.conftest import World
from tests.rehearsal.world_parts import is_met, server_pod, wait_for


def nodes_of(kube: KubeClient, group: str) -> list[Json]:
    return kube.list("v1", "Node", label_selector=f"eks.amazonaws.com/nodegroup={group}")["items"]


def instance_of(world: World, identity: str) -> Json:
    return world.aws.client("ec2").describe_instances(InstanceIds=[identity])["Reservations"][0]["Instances"][0]


def addresses_of(instance: Json) -> list[str]:
    interfaces = instance["NetworkInterfaces"]
    return [entry["PrivateIpAddress"] for interface in interfaces for entry in interface["PrivateIpAddresses"]]


def untainted(node: Json) -> bool:
    return all(taint["key"] == "nvidia.com/gpu" for taint in node["spec"].get("taints", []))


@pytest.mark.usefixtures("world")
def test_a_node_group_becomes_ready_gpu_nodes_with_its_labels_and_taints(kube: KubeClient) -> None:
    nodes = wait_for(
        lambda: [n for n in nodes_of(kube, "gpu") if is_met(n, "Ready") and untainted(n)][1:] and nodes_of(kube, "gpu"),
        "two nodes that accept pods",
    )

    assert len(nodes) == 2
    for node in nodes:
        labels = node["metadata"]["labels"]
        assert labels["pool"] == "gpu"
        assert labels["node.kubernetes.io/instance-type"] == "g6e.12xlarge"
        assert node["status"]["capacity"]["nvidia.com/gpu"] == "4"
        assert node["spec"]["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}
    assert len(zones) == 2, "nodes are spread over the zones of the group's subnets"


def test_a_node_is_a_running_instance_that_has_its_pods_addresses(
    kube: KubeClient, world: World, namespace: str
) -> None:
    world.aws.make_node_group("found", size=1, labels={"pool": "found"})
    kube.create(server_pod("server", namespace, nodeSelector={"pool": "found"}, terminationGracePeriodSeconds=1))
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "the pod is ready")
    pod = kube.get("v1", "Pod", namespace, "server")
    node = nodes_of(kube, "found")[0]
    zone = node["metadata"]["labels"]["topology.kubernetes.io/zone"]
    scheme, _, identity = node["spec"]["providerID"].rpartition("/")
    assert scheme == f"aws:///{zone}"

    instance = instance_of(world, identity)
    assert instance["State"]["Name"] == "running"
    assert instance["Placement"]["AvailabilityZone"] == zone
    assert instance["PrivateIpAddress"] in [entry["address"] for entry in node["status"]["addresses"]]
    assert pod["status"]["podIP"] in addresses_of(instance)
    networks = world.aws.client("ec2").describe_vpcs(VpcIds=[instance["VpcId"]])["Vpcs"][0]["CidrBlockAssociationSet"]
    assert any(ip_address(pod["status"]["podIP"]) in ip_network(network["CidrBlock"]) for network in networks)

    kube.delete("v1", "Pod", namespace, "server")
    wait_for(lambda: addresses_of(instance_of(world, identity)) == [instance["PrivateIpAddress"]], "given back")
    world.aws.resize("found", 0)
    wait_for(lambda: instance_of(world, identity)["State"]["Name"] == "terminated", "terminated")


def test_an_instance_that_a_crashed_kubelet_launched_becomes_a_node(kube: KubeClient, world: World) -> None:
    world.crash_kubelet()
    world.aws.make_node_group("orphan", size=1, labels={"pool": "orphan"})
    tags = {"eks:cluster-name": world.aws.cluster, "eks:nodegroup-name": "orphan"}
    launched = world.aws.client("ec2").run_instances(
        ImageId="ami-0123456789abcdef0",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
    )["Instances"][0]["InstanceId"]

    world.start_kubelet()

    node = wait_for(lambda: nodes_of(kube, "orphan"), "a node")[0]
    assert node["spec"]["providerID"].endswith(f"/{launched}")


def test_a_node_that_counted_as_lost_while_its_kubelet_was_away_is_ready_again(kube: KubeClient, world: World) -> None:
    name = wait_for(lambda: nodes_of(kube, "gpu"), "nodes")[0]["metadata"]["name"]
    world.crash_kubelet()
    lost = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}}
    kube.patch("v1", "Node", None, name, lost, subresource="status", content_type=STRATEGIC_MERGE_PATCH)

    world.start_kubelet()

    wait_for(lambda: is_met(kube.get("v1", "Node", None, name), "Ready"), "the node is ready")


def test_the_removal_of_a_node_ends_its_pods_despite_a_disruption_budget(
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
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "the pod is ready")

    world.aws.resize("shrinking", 0)

    wait_for(lambda: not nodes_of(kube, "shrinking"), "the node is gone")
    assert kube.list("v1", "Pod", namespace)["items"] == []
    log = (world.folder / "logs" / "pods" / f"{namespace}_server.log").read_text()
    assert '"sigterm"' in log


def test_a_lost_node_ends_its_pods_without_notice_and_is_replaced(
    kube: KubeClient, world: World, namespace: str
) -> None:
    world.aws.make_node_group("failing", size=1, labels={"pool": "failing"})
    kube.create(server_pod("server", namespace, nodeSelector={"pool": "failing"}, terminationGracePeriodSeconds=30))
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "the pod is ready")
    lost = nodes_of(kube, "failing")[0]
    name, provider_id = lost["metadata"]["name"], lost["spec"]["providerID"]

    kube.patch("v1", "Node", None, name, {"metadata": {"annotations": {LOST: "true"}}})

    others = wait_for(
        lambda: [n for n in nodes_of(kube, "failing") if n["spec"]["providerID"] != provider_id and is_met(n, "Ready")],
        "another node of the group is ready",
    )
    # Not the whole objects: a node renews its status all the time.
    assert [node["metadata"]["uid"] for node in others] == [n["metadata"]["uid"] for n in nodes_of(kube, "failing")]
    assert instance_of(world, provider_id.rpartition("/")[2])["State"]["Name"] == "terminated"
    assert kube.list("v1", "Pod", namespace)["items"] == []
    log = (world.folder / "logs" / "pods" / f"{namespace}_server.log").read_text()
    assert '"sigterm"' not in log, "the server got no signal"


@pytest.mark.usefixtures("world")
def test_nodes_renew_their_leases(kube: KubeClient) -> None:
    node = wait_for(lambda: nodes_of(kube, "gpu"), "nodes")[0]
    made = datetime.datetime.fromisoformat(node["metadata"]["creationTimestamp"])

    def lease() -> Json:
        return kube.get("coordination.k8s.io/v1", "Lease", "kube-node-lease", node["metadata"]["name"])

    def age_at_renewal() -> float:
        return (datetime.datetime.fromisoformat(lease()["spec"]["renewTime"]) - made).total_seconds()

    wait_for(lambda: age_at_renewal() > 2, "the lease is renewed every ten seconds")
    assert lease()["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"], "it is deleted with its node"
