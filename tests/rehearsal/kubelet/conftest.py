"""AWS, a node group and a kubelet stand-in, new for each test file."""

import json
from collections.abc import Callable, Generator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from rehearsal.controlplane.run import ControlPlane
from rehearsal.kube.client import Json, KubeClient
from rehearsal.kubelet.network import claim_pod_network
from rehearsal.kubelet.node_object import GROUP_LABEL
from rehearsal.system.processes import Process
from tests.rehearsal import world_parts
from tests.rehearsal.world_parts import GPU_LABEL as POOL_LABELS
from tests.rehearsal.world_parts import Aws


class World:
    """Two nodes with four GPUs each, and a kubelet that can be restarted."""

    def __init__(self, aws: Aws, folder: Path, start_kubelet: Callable[[IPv4Network], Process]) -> None:
        self.aws = aws
        self.folder = folder
        self._start_kubelet = start_kubelet
        self._pod_network = claim_pod_network()
        self.kubelet = start_kubelet(self._pod_network)

    def crash_kubelet(self) -> None:
        self.kubelet.kill()

    def start_kubelet(self) -> None:
        self.kubelet = self._start_kubelet(self._pod_network)

    def change_pod_network(self) -> IPv4Network:
        """Use another pod network from the kubelet's next start on, and return it."""
        self._pod_network = claim_pod_network()
        return self._pod_network

    def events(self, namespace: str, pod: str, event: str) -> list[Json]:
        """Return the events of one name from the pod's server, oldest first."""
        log = self.folder / "logs" / "pods" / f"{namespace}_{pod}.log"
        lines = log.read_text().splitlines() if log.exists() else []
        noted: list[Json] = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in noted if entry["event"] == event]


@pytest.fixture(scope="module")
def world(control_plane: ControlPlane, kube: KubeClient, tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    folder = tmp_path_factory.mktemp("kubelet")
    with world_parts.aws() as aws:
        aws.make_node_group("gpu", size=2, labels=POOL_LABELS)
        running = World(
            aws,
            folder,
            lambda pods: world_parts.start_kubelet(folder, control_plane.kubeconfig, aws, pod_network=pods),
        )
        try:
            yield running
        finally:
            running.kubelet.stop()
            # The next world's kubelet would take them over, though their instances are in another account.
            kube.request("DELETE", "/api/v1/nodes", params={"labelSelector": GROUP_LABEL})
