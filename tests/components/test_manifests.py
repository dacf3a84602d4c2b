"""A real API server judges what the program declares: strict field validation and restricted pod security."""

from collections.abc import Generator
from typing import Any

import pytest

from components.naming import CONTAINER_NAME
from rehearsal.kube import Json, KubeClient, KubeError
from tests.components.example import release, run_program

NAMESPACE = "strictly-judged"
FULL_RELEASE = release(
    prompts={"chat_template.jinja": "{{ messages }}"}, sampling={"temperature": 0.7}, lora_adapters={"law": "org/law"}
)


def _whole_numbers(value: Any) -> Any:
    """Undo what the engine's protocol does to integers."""
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@pytest.fixture(scope="module")
def manifests() -> list[Json]:
    """Every Kubernetes object of a service with both colours in use, in the order of registration."""
    registrations = run_program(
        service_name=NAMESPACE,
        blue={"replicas": 2, "release": FULL_RELEASE},
        green={"replicas": 1, "release": release()},
    )
    return [
        _whole_numbers(resource.inputs)
        for resource in registrations.resources.values()
        if resource.token.startswith("kubernetes:")
    ]


@pytest.fixture(scope="module")
def applied(manifests: list[Json], kube: KubeClient) -> Generator[list[Json]]:
    """The same objects as the API server took them."""
    yield [kube.apply(manifest, field_manager="test") for manifest in manifests]
    kube.delete("v1", "Namespace", None, NAMESPACE)


def test_the_api_server_takes_every_manifest_without_an_unknown_field(
    manifests: list[Json], applied: list[Json]
) -> None:
    assert sorted(answer["kind"] for answer in applied) == sorted(manifest["kind"] for manifest in manifests)
    assert {answer["kind"] for answer in applied} >= {"Namespace", "Service", "TargetGroupBinding", "Deployment"}


def _pod(deployment: Json) -> Json:
    template = deployment["spec"]["template"]
    name = deployment["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": f"probe-{name}", "namespace": deployment["metadata"]["namespace"]},
        "spec": template["spec"],
    }


def test_the_namespace_admits_our_pods(applied: list[Json], kube: KubeClient) -> None:
    deployments = [answer for answer in applied if answer["kind"] == "Deployment"]
    assert len(deployments) == 2
    for deployment in deployments:
        admitted = kube.apply(_pod(deployment), field_manager="test", dry_run=True)
        (container,) = admitted["spec"]["containers"]
        assert container["name"] == CONTAINER_NAME
        # Kubernetes demands it of GPUs; with it set by us, nothing is defaulted.
        assert (
            container["resources"]["limits"]["nvidia.com/gpu"] == container["resources"]["requests"]["nvidia.com/gpu"]
        )


def test_the_namespace_refuses_pods_with_more_rights(applied: list[Json], kube: KubeClient) -> None:
    pod = _pod(next(answer for answer in applied if answer["kind"] == "Deployment"))
    pod["spec"]["containers"][0]["securityContext"] = {"allowPrivilegeEscalation": True}
    with pytest.raises(KubeError, match="allowPrivilegeEscalation"):
        kube.apply(pod, field_manager="test", dry_run=True)


def test_nothing_warns_about_restricted_pod_security(applied: list[Json], kube: KubeClient) -> None:
    assert applied
    assert [warning for warning in kube.warnings if "PodSecurity" in warning] == []
