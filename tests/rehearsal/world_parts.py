"""Parts of a rehearsal world for tests: AWS with a cluster and nodes, a kubelet, pods that run a small server."""

import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import boto3

from rehearsal.kube.client import Json, KubeClient
from rehearsal.system.processes import Process
from tests.moto_server import moto_server

GPU_LABEL = {"pool": "gpu"}
SERVER = Path(__file__).parent / "pod_server.py"
_REGION = "us-east-1"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Aws:
    """moto, served from this process, with an EKS cluster."""

    url: str
    cluster: str

    @property
    def environment(self) -> dict[str, str]:
        """This process's variables plus those that a client of this AWS needs."""
        return os.environ | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": _REGION,
        }

    def client(self, service: str) -> Any:
        return boto3.client(
            service,  # pyright: ignore[reportCallIssue, reportArgumentType] - the stubs know literal names only
            endpoint_url=self.url,
            region_name=_REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def make_node_group(self, name: str, *, size: int, labels: dict[str, str]) -> None:
        subnets = [subnet["SubnetId"] for subnet in self.client("ec2").describe_subnets()["Subnets"][:2]]
        self.client("eks").create_nodegroup(
            clusterName=self.cluster,
            nodegroupName=name,
            scalingConfig={"minSize": 0, "maxSize": 10, "desiredSize": size},
            subnets=subnets,
            nodeRole="arn:aws:iam::123456789012:role/nodes",
            instanceTypes=["g6e.12xlarge"],
            labels=labels,
            taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}],
        )

    def resize(self, name: str, size: int) -> None:
        scaling = {"minSize": 0, "maxSize": 10, "desiredSize": size}
        self.client("eks").update_nodegroup_config(clusterName=self.cluster, nodegroupName=name, scalingConfig=scaling)


@contextmanager
def aws() -> Generator[Aws]:
    """moto with an EKS cluster and without node groups."""
    with moto_server() as url:
        running = Aws(url=url, cluster=f"cluster-{uuid.uuid4().hex[:8]}")
        running.client("eks").create_cluster(
            name=running.cluster, roleArn="arn:aws:iam::123456789012:role/cluster", resourcesVpcConfig={}
        )
        yield running


def start_kubelet(
    folder: Path, kubeconfig: Path, aws_api: Aws, *, pod_network: IPv4Network, **settings: Any
) -> Process:
    """Start a kubelet stand-in with its settings, log and pods in ``folder``."""
    chosen = {
        "cluster_name": aws_api.cluster,
        "pod_network": str(pod_network),
        "folder": str(folder),
        "targets_file": str(folder / "targets.json"),
    }
    quick = {
        "node_start_seconds": 0.2,
        "node_poll_seconds": 0.3,
        "restart_backoff_seconds": 0.5,
        "node_lost_seconds": 1.0,
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "kubelet.json"
    file.write_text(json.dumps(chosen | quick | {"pod_command": f"{sys.executable} {SERVER}"} | settings))
    command = [sys.executable, "-m", "rehearsal.kubelet", "--kubeconfig", kubeconfig, "--settings", file]
    return Process.start("kubelet", command, log=folder / "kubelet.log", env=aws_api.environment)


def server_pod(name: str, namespace: str, *, container: Json | None = None, **spec: Any) -> Json:
    """Return a pod that runs the small server on one GPU, extended by ``container`` and ``spec``."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": server_pod_spec(container, **spec),
    }


def server_pod_spec(container: Json | None = None, **spec: Any) -> Json:
    main: Json = {
        "name": "vllm",
        "image": "example.com/vllm:1",
        "command": ["vllm", "serve"],
        "args": ["some/model", "--port", "8000"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
    }
    return {
        "nodeSelector": GPU_LABEL,
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "containers": [main | (container or {})],
        **spec,
    }


def wait_for(look: Callable[[], T], what: str, *, timeout_seconds: float = 120.0) -> T:
    """Return the first truthy result of ``look()``. Fails the test when there is none in time."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        answer = look()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout_seconds:g} s: {what}"
        time.sleep(0.05)


def condition(obj: Json, kind: str) -> Json:
    """Return an object's condition of this type, empty when it has none."""
    conditions: list[Json] = obj.get("status", {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == kind), {})


def is_met(obj: Json, kind: str) -> bool:
    return condition(obj, kind).get("status") == "True"


def pods(kube: KubeClient, namespace: str) -> list[Json]:
    return kube.list("v1", "Pod", namespace)["items"]
