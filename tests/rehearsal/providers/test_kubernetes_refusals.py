"""When the API server is away or refuses access, our Kubernetes provider reports it in one line."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from rehearsal.controlplane.run import ControlPlane
from rehearsal.kube.client import KubeClient
from rehearsal.providers.kubernetes.provider import KubernetesProvider
from rehearsal.providers.values import Tree
from rehearsal.system.processes import free_port
from tests.rehearsal.providers.harness import Engine, engine_for

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
POD = "kubernetes:core/v1:Pod"
PROMPTS: Tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prompts", "namespace": "default"}}


@contextmanager
def engine_with(config: dict[str, Any], path: Path) -> Generator[Engine]:
    path.write_text(yaml.safe_dump(config))
    with engine_for(KubernetesProvider()) as engine:
        engine.configure(kubeconfig=str(path))
        yield engine


@pytest.fixture
def config(control_plane: ControlPlane) -> dict[str, Any]:
    """The administrator's kubeconfig, for tests to change."""
    return yaml.safe_load(control_plane.kubeconfig.read_text())


def refusal(engine: Engine, token: str, name: str, inputs: Tree) -> str:
    """Return the provider's message on an object that it cannot create, without the resource's name."""
    with pytest.raises(grpc.RpcError) as raised:
        engine.up(token, name, inputs)
    details = str(raised.value.details())  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]
    assert "\n" not in details
    assert details.startswith(f"{token} {name}: ")
    return details.removeprefix(f"{token} {name}: ")


def test_a_server_that_is_down_is_named(config: dict[str, Any], tmp_path: Path) -> None:
    server = f"https://127.0.0.1:{free_port()}"
    config["clusters"][0]["cluster"]["server"] = server
    with engine_with(config, tmp_path / "config") as engine:
        assert refusal(engine, CONFIG_MAP, "prompts", PROMPTS).startswith(f"the API server {server} does not answer: ")


def test_credentials_that_have_expired_are_named(config: dict[str, Any], tmp_path: Path) -> None:
    config["users"][0]["user"] = {"token": "expired"}
    server = config["clusters"][0]["cluster"]["server"]
    with engine_with(config, tmp_path / "config") as engine:
        message = refusal(engine, CONFIG_MAP, "prompts", PROMPTS)
    assert message == f"the API server {server} does not accept the kubeconfig's credentials (401 Unauthorized)"


def test_a_forbidden_object_is_reported_in_the_servers_words(
    config: dict[str, Any], tmp_path: Path, kube: KubeClient, namespace: str
) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kube.patch("v1", "Namespace", None, namespace, {"metadata": {"labels": labels}})
    metadata, spec = {"name": "vllm", "namespace": namespace}, {"containers": [{"name": "vllm", "image": "one"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    with engine_with(config, tmp_path / "config") as engine:
        message = refusal(engine, POD, "vllm", pod)
    assert message.startswith('pods "vllm" is forbidden: violates PodSecurity "restricted:latest": ')
    assert message.endswith("(403 Forbidden)")


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with engine_for(KubernetesProvider()) as engine:
        engine.configure(kubeconfig=str(tmp_path / "absent"))
        with pytest.raises(grpc.RpcError, match=r"cannot read the kubeconfig .*absent"):
            engine.check(CONFIG_MAP, "prompts", {"metadata": {"name": "prompts"}})
