"""A real API server checks the program's manifests: strict field validation and restricted pod security."""

import copy
from collections.abc import Callable, Generator
from typing import Any

import pytest

from components.domain.naming import CONTAINER_NAME
from rehearsal.controlplane.run import ControlPlane
from rehearsal.kube.client import Json, KubeClient, KubeError
from tests.components.example import OTHERS_PODS, release, run_program

NAMESPACE = "strictly-judged"
FULL_RELEASE = release(
    prompts={"chat_template.jinja": "{{ messages }}"},
    sampling={"temperature": 0.7},
    lora_adapters={"law": "/adapters/law"},
)
BARE: dict[str, Any] = {
    "blue": {"replicas": 2, "release": FULL_RELEASE},
    "green": {"replicas": 1, "release": release()},
}
LOADED: dict[str, Any] = {
    **BARE,
    "green": {"replicas": 1, "release": release(), "parked": True},
    "pods": {
        "api_key_secret": {"name": "vllm-keys", "key": "api-key"},
        "hub_token_secret": {"name": "hub", "key": "token"},
        "model_cache_claim": "weights",
        "compile_cache_claim": "kernels",
        "ingress_cidrs": ["10.1.0.0/24", "2001:db8::/64"],
        "pod_monitor": True,
        "pod_monitor_labels": {"release": "prometheus"},
        **OTHERS_PODS,
    },
}


def _whole_numbers(value: Any) -> Any:
    """Undo what the engine's protocol does to integers."""
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _manifests(config: dict[str, Any]) -> list[Json]:
    """Every Kubernetes object of a service, in the order of registration."""
    return [
        _whole_numbers(resource.inputs)
        for resource in run_program(service_name=NAMESPACE, **config).resources.values()
        if resource.token.startswith("kubernetes:")
    ]


@pytest.fixture(scope="module")
def strict(control_plane: ControlPlane) -> Generator[KubeClient]:
    """A separate client, because a client remembers every warning."""
    with KubeClient.from_kubeconfig(control_plane.kubeconfig) as client:
        yield client


@pytest.fixture(scope="module")
def manifests() -> list[Json]:
    """All objects of a service with both colours and every option."""
    return _manifests(LOADED)


@pytest.fixture(scope="module")
def applied(manifests: list[Json], strict: KubeClient) -> Generator[list[Json]]:
    """The same objects as the API server stored them, beside those that pods refer to and that must exist."""
    stored = [strict.apply(manifest, field_manager="test") for manifest in manifests]
    account = {"name": LOADED["pods"]["service_account_name"], "namespace": NAMESPACE}
    priority = LOADED["pods"]["priority_class_name"]
    strict.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    strict.create(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": priority},
            "value": 1000,
        }
    )
    yield stored
    strict.delete("scheduling.k8s.io/v1", "PriorityClass", None, priority)
    strict.delete("v1", "Namespace", None, NAMESPACE)


def test_the_api_server_takes_every_manifest_without_an_unknown_field_or_a_warning(
    manifests: list[Json], applied: list[Json], strict: KubeClient
) -> None:
    assert sorted(answer["kind"] for answer in applied) == sorted(manifest["kind"] for manifest in manifests)
    assert {answer["kind"] for answer in applied} == {
        *("Namespace", "Service", "TargetGroupBinding", "NetworkPolicy", "PodMonitor", "ConfigMap"),
        *("PodDisruptionBudget", "Deployment"),
    }
    assert strict.warnings == []


def test_so_it_does_those_of_a_service_on_others_nodes(applied: list[Json], strict: KubeClient) -> None:
    assert applied
    reserved = {"node_class": "gpu", "zones": ["us-east-1a"], "capacity_reservation_ids": ["cr-0a"]}
    pool = _manifests({**BARE, "existing_nodes": {"karpenter_node_pool": reserved}})
    tolerations = [{"key": "team", "value": "llm"}, {"key": "spot", "effect": "NoExecute"}]
    others = _manifests({**BARE, "existing_nodes": {"node_selector": {"team": "llm"}, "tolerations": tolerations}})
    assert [manifest["kind"] for manifest in pool].count("NodePool") == 2
    for manifest in (*pool, *others):
        strict.apply(manifest, field_manager="test", dry_run=True)
    assert strict.warnings == []


def test_so_it_does_those_of_a_service_without_extras(applied: list[Json], strict: KubeClient) -> None:
    assert applied
    for manifest in _manifests(BARE):
        strict.apply(manifest, field_manager="test", dry_run=True)
    assert strict.warnings == []


def _pod(deployment: Json) -> Json:
    template = deployment["spec"]["template"]
    name = deployment["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": f"probe-{name}", "namespace": deployment["metadata"]["namespace"]},
        "spec": copy.deepcopy(template["spec"]),
    }


def _deployments(answers: list[Json]) -> list[Json]:
    return [answer for answer in answers if answer["kind"] == "Deployment"]


@pytest.mark.parametrize("config", [BARE, LOADED], ids=["bare", "loaded"])
def test_the_namespace_admits_our_pods_without_a_warning(
    applied: list[Json], strict: KubeClient, config: dict[str, Any]
) -> None:
    assert applied
    deployments = _deployments(_manifests(config))
    assert len(deployments) == 2
    for deployment in deployments:
        admitted = strict.apply(_pod(deployment), field_manager="test", dry_run=True)
        (container,) = admitted["spec"]["containers"]
        assert container["name"] == CONTAINER_NAME
        # Kubernetes requires limits for GPUs; because they are set, it adds no default.
        assert (
            container["resources"]["limits"]["nvidia.com/gpu"] == container["resources"]["requests"]["nvidia.com/gpu"]
        )
    assert strict.warnings == []


def _may_escalate(pod: Json) -> None:
    pod["spec"]["containers"][0]["securityContext"] = {"allowPrivilegeEscalation": True}


def _may_be_root(pod: Json) -> None:
    pod["spec"]["securityContext"].pop("runAsNonRoot")


def _unconfined(pod: Json) -> None:
    pod["spec"]["securityContext"].pop("seccompProfile")


def _uses_the_nodes_disk(pod: Json) -> None:
    pod["spec"]["volumes"].append({"name": "host", "hostPath": {"path": "/"}})


@pytest.mark.parametrize(
    ("loosen", "named"),
    [
        (_may_escalate, "allowPrivilegeEscalation"),
        (_may_be_root, "runAsNonRoot"),
        (_unconfined, "seccompProfile"),
        (_uses_the_nodes_disk, "hostPath"),
    ],
)
def test_the_namespace_refuses_pods_with_more_rights(
    applied: list[Json], kube: KubeClient, loosen: Callable[[Json], None], named: str
) -> None:
    pod = _pod(_deployments(applied)[0])
    loosen(pod)
    with pytest.raises(KubeError, match=named):
        kube.apply(pod, field_manager="test", dry_run=True)


def test_applying_a_deployment_of_such_pods_gives_a_warning(
    applied: list[Json], control_plane: ControlPlane, manifests: list[Json]
) -> None:
    assert applied
    deployment = copy.deepcopy(_deployments(manifests)[0])
    _may_escalate({"spec": deployment["spec"]["template"]["spec"]})
    with KubeClient.from_kubeconfig(control_plane.kubeconfig) as client:
        client.apply(deployment, field_manager="test", dry_run=True)
        assert any("allowPrivilegeEscalation" in warning for warning in client.warnings)


def _misspell(spec: Json) -> None:
    spec["targetGroupArn"] = "arn:x"


def _by_name(spec: Json) -> None:
    spec["targetType"] = "lambda"


def _unopened(spec: Json) -> None:
    spec["networking"]["ingress"][0].pop("ports")


def _misspelt_relabeling(spec: Json) -> None:
    spec["podMetricsEndpoints"][0]["relabelings"][0]["target_label"] = "color"


def _unsanitized(spec: Json) -> None:
    spec["podMetricsEndpoints"][0]["relabelings"][0]["sourceLabels"] = ["vllm-blue-green/color"]


def _without_a_unit(spec: Json) -> None:
    spec["podMetricsEndpoints"][0]["interval"] = "15"


def _without_a_selector(spec: Json) -> None:
    spec.pop("selector")


@pytest.mark.parametrize(
    ("kind", "spoil", "named"),
    [
        ("TargetGroupBinding", _misspell, "targetGroupArn"),
        ("TargetGroupBinding", _by_name, "targetType"),
        ("TargetGroupBinding", _unopened, "ports"),
        ("PodMonitor", _misspelt_relabeling, "target_label"),
        ("PodMonitor", _unsanitized, "sourceLabels"),
        ("PodMonitor", _without_a_unit, "interval"),
        ("PodMonitor", _without_a_selector, "selector"),
    ],
)
def test_the_custom_kinds_know_their_fields(
    manifests: list[Json], kube: KubeClient, namespace: str, kind: str, spoil: Callable[[Json], None], named: str
) -> None:
    manifest = copy.deepcopy(next(one for one in manifests if one["kind"] == kind))
    manifest["metadata"]["namespace"] = namespace
    kube.apply(manifest, field_manager="test", dry_run=True)
    spoil(manifest["spec"])
    with pytest.raises(KubeError, match=named):
        kube.apply(manifest, field_manager="test", dry_run=True)
