"""What goes on for as long as a node is there. Last in the alphabet, as it needs a node that is some seconds old."""

import datetime

import pytest

from rehearsal.kube import Json, KubeClient
from tests.rehearsal.world_parts import wait_for


@pytest.mark.usefixtures("world")
def test_nodes_renew_their_leases(kube: KubeClient) -> None:
    def nodes() -> list[Json]:
        return kube.list("v1", "Node", label_selector="eks.amazonaws.com/nodegroup=gpu")["items"]

    node = wait_for(nodes, "nodes")[0]
    made = datetime.datetime.fromisoformat(node["metadata"]["creationTimestamp"])

    def lease() -> Json:
        return kube.get("coordination.k8s.io/v1", "Lease", "kube-node-lease", node["metadata"]["name"])

    def age_at_renewal() -> float:
        return (datetime.datetime.fromisoformat(lease()["spec"]["renewTime"]) - made).total_seconds()

    wait_for(lambda: age_at_renewal() > 2, "the lease is renewed every ten seconds")
    assert lease()["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"], "it goes with its node"
