"""The Kubernetes provider against a real API server and its controllers."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import grpc
import pytest

from rehearsal.controlplane.run import ControlPlane
from rehearsal.kube import STRATEGIC_MERGE_PATCH, KubeClient, KubeError
from rehearsal.providers.kubernetes.provider import KubernetesProvider
from rehearsal.providers.values import UNKNOWN, Tree
from tests.rehearsal.providers.harness import CheckFailedError, Engine, InitFailedError, engine_for

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
NAMESPACE = "kubernetes:core/v1:Namespace"
SERVICE = "kubernetes:core/v1:Service"


@pytest.fixture
def engine(control_plane: ControlPlane) -> Iterator[Engine]:
    with engine_for(KubernetesProvider()) as engine:
        engine.configure(kubeconfig=str(control_plane.kubeconfig), enableServerSideApply="true")
        yield engine


def deployment(namespace: str, replicas: int = 0, image: str = "one", **container: object) -> Tree:
    containers = [{"name": "vllm", "image": image, "resources": {"requests": {"cpu": "0.5"}}, **container}]
    return {
        "metadata": {"name": "vllm", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "vllm"}},
            "template": {
                "metadata": {"labels": {"app": "vllm"}},
                "spec": {"containers": containers, "terminationGracePeriodSeconds": 0},
            },
        },
    }


def config_map(namespace: str, value: str, **metadata: object) -> Tree:
    return {"metadata": {"namespace": namespace, **metadata}, "data": {"prompt": value}}


@contextmanager
def pods_become_ready(kube: KubeClient, namespace: str) -> Generator[None]:
    """Stands in for a kubelet: every pod turns Ready, and goes when it is deleted."""
    stopped = threading.Event()

    def attend() -> None:
        while not stopped.wait(0.2):
            for pod in kube.list("v1", "Pod", namespace)["items"]:
                name = pod["metadata"]["name"]
                status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
                try:
                    if "deletionTimestamp" in pod["metadata"]:
                        kube.delete("v1", "Pod", namespace, name, grace_period_seconds=0)
                    elif pod["status"].get("phase") != "Running":
                        kube.patch(
                            "v1",
                            "Pod",
                            namespace,
                            name,
                            {"status": status},
                            subresource="status",
                            content_type=STRATEGIC_MERGE_PATCH,
                        )
                except KubeError as error:
                    if error.status != 404:
                        raise

    thread = threading.Thread(target=attend)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_an_object_without_a_name_gets_one_and_keeps_it(engine: Engine, namespace: str) -> None:
    name = engine.up(CONFIG_MAP, "prompts", config_map(namespace, "a"))["metadata"]["name"]
    assert name.startswith("prompts-")
    assert len(name) == len("prompts-") + 8
    assert engine.deployed(CONFIG_MAP, "prompts").id == f"{namespace}/{name}"
    engine.up(CONFIG_MAP, "prompts", config_map(namespace, "a"))
    assert engine.steps[-1].op == "same"


def test_an_object_without_a_namespace_goes_to_the_default_one(engine: Engine) -> None:
    outputs = engine.preview(CONFIG_MAP, "prompts", {"data": {"a": "b"}})
    assert outputs["metadata"]["namespace"] == "default"


def test_a_cluster_wide_object_gets_no_namespace(engine: Engine, namespace: str) -> None:
    outputs = engine.up(NAMESPACE, "other", {"metadata": {"name": f"{namespace}-other"}})
    assert outputs["status"]["phase"] == "Active"
    assert engine.deployed(NAMESPACE, "other").id == f"{namespace}-other"
    engine.delete(NAMESPACE, "other")


def test_a_misspelt_field_is_refused_in_the_preview(engine: Engine, namespace: str) -> None:
    with pytest.raises(grpc.RpcError, match="imagee"):
        engine.preview(DEPLOYMENT, "vllm", deployment(namespace, imagee="one"))


def test_an_unknown_value_is_previewed_without_the_server(engine: Engine, namespace: str) -> None:
    outputs = engine.preview(DEPLOYMENT, "vllm", deployment(namespace, image=UNKNOWN))  # pyright: ignore[reportArgumentType]
    assert outputs["spec"]["template"]["spec"]["containers"][0]["image"] is UNKNOWN


def test_a_preview_changes_nothing(engine: Engine, kube: KubeClient, namespace: str) -> None:
    outputs = engine.preview(DEPLOYMENT, "vllm", deployment(namespace))
    assert outputs["spec"]["strategy"]["type"] == "RollingUpdate", "the server's defaults show"
    assert kube.list("apps/v1", "Deployment", namespace)["items"] == []


def test_an_object_in_a_namespace_that_is_yet_to_come_can_be_previewed(engine: Engine) -> None:
    outputs = engine.preview(DEPLOYMENT, "vllm", deployment("not-yet"))
    assert outputs["spec"]["replicas"] == 0


def test_a_config_map_with_a_given_name_is_deleted_before_it_is_replaced(engine: Engine, namespace: str) -> None:
    engine.up(CONFIG_MAP, "prompts", config_map(namespace, "a", name="prompts"))
    answer = engine.diff(CONFIG_MAP, "prompts", config_map(namespace, "b", name="prompts"))
    assert list(answer.replaces) == ["data.prompt"]
    assert answer.deleteBeforeReplace
    outputs = engine.up(CONFIG_MAP, "prompts", config_map(namespace, "b", name="prompts"))
    assert outputs["data"] == {"prompt": "b"}


def test_labels_of_a_config_map_change_in_place(engine: Engine, namespace: str) -> None:
    engine.up(CONFIG_MAP, "prompts", config_map(namespace, "a", name="prompts"))
    engine.up(CONFIG_MAP, "prompts", config_map(namespace, "a", name="prompts", labels={"x/y": "z"}))
    assert engine.steps[-1].op == "update"
    assert engine.steps[-1].detailed_diff == {"metadata.labels": "add"}


def test_another_selector_replaces_a_deployment(engine: Engine, namespace: str) -> None:
    engine.up(DEPLOYMENT, "vllm", deployment(namespace))
    changed = deployment(namespace)
    changed["spec"]["selector"]["matchLabels"]["app"] = "other"
    answer = engine.diff(DEPLOYMENT, "vllm", changed)
    assert list(answer.replaces) == ["spec.selector.matchLabels.app"]
    changed["spec"]["template"]["metadata"]["labels"]["app"] = "other"
    assert engine.preview(DEPLOYMENT, "vllm", changed)["spec"]["selector"]["matchLabels"] == {"app": "other"}
    assert engine.up(DEPLOYMENT, "vllm", changed, timeout=20)["spec"]["selector"]["matchLabels"] == {"app": "other"}


def test_a_deployment_without_replicas_is_ready(engine: Engine, namespace: str) -> None:
    outputs = engine.up(DEPLOYMENT, "vllm", deployment(namespace), timeout=20)
    assert outputs["status"]["observedGeneration"] == outputs["metadata"]["generation"]


def test_a_deployment_is_ready_when_the_new_pods_are(engine: Engine, kube: KubeClient, namespace: str) -> None:
    with pods_become_ready(kube, namespace):
        engine.up(DEPLOYMENT, "vllm", deployment(namespace, 2), timeout=30)
        outputs = engine.up(DEPLOYMENT, "vllm", deployment(namespace, 2, image="two"), timeout=30)
        assert outputs["status"]["updatedReplicas"] == outputs["status"]["readyReplicas"] == 2
        engine.delete(DEPLOYMENT, "vllm")
    assert kube.list("apps/v1", "Deployment", namespace)["items"] == []


def test_a_deployment_that_does_not_become_ready_is_kept_with_the_pods_reasons(engine: Engine, namespace: str) -> None:
    with pytest.raises(InitFailedError, match="0 of 1 updated Pods are ready"):
        engine.up(DEPLOYMENT, "vllm", deployment(namespace, 1), timeout=3)
    deployed = engine.deployed(DEPLOYMENT, "vllm")
    assert deployed.id == f"{namespace}/vllm"
    assert deployed.outputs["spec"]["replicas"] == 1
    assert any("Unschedulable" in reason for reason in deployed.init_errors)


def test_drift_shows_after_a_refresh_and_nothing_else_does(engine: Engine, kube: KubeClient, namespace: str) -> None:
    engine.up(DEPLOYMENT, "vllm", deployment(namespace))
    engine.refresh(DEPLOYMENT, "vllm")
    engine.up(DEPLOYMENT, "vllm", deployment(namespace))
    assert engine.steps[-1].op == "same", "half a core and 500m are the same"
    foreign = {"spec": {"minReadySeconds": 1, "replicas": 1}}
    kube.patch("apps/v1", "Deployment", namespace, "vllm", foreign)
    engine.refresh(DEPLOYMENT, "vllm")
    engine.up(DEPLOYMENT, "vllm", deployment(namespace), timeout=20)
    assert engine.steps[-1].detailed_diff == {"spec.replicas": "update"}
    assert kube.get("apps/v1", "Deployment", namespace, "vllm")["spec"]["replicas"] == 0


def test_an_object_that_is_gone_is_read_as_gone(engine: Engine, kube: KubeClient, namespace: str) -> None:
    engine.up(CONFIG_MAP, "prompts", config_map(namespace, "a", name="prompts"))
    kube.delete("v1", "ConfigMap", namespace, "prompts")
    assert engine.refresh(CONFIG_MAP, "prompts") is None


@pytest.mark.parametrize("skips", [True, False])
def test_a_service_waits_for_ready_endpoints_unless_told_not_to(engine: Engine, namespace: str, skips: bool) -> None:
    annotations = {"pulumi.com/skipAwait": "true"} if skips else {"pulumi.com/timeoutSeconds": "1"}
    service = {
        "metadata": {"name": "vllm", "namespace": namespace, "annotations": annotations},
        "spec": {"selector": {"app": "vllm"}, "ports": [{"name": "http", "port": 8000}]},
    }
    if skips:
        assert engine.up(SERVICE, "vllm", service)["spec"]["clusterIP"]
    else:
        with pytest.raises(InitFailedError, match="does not target any Pods"):
            engine.up(SERVICE, "vllm", service)


def test_a_generated_name_is_refused(engine: Engine) -> None:
    with pytest.raises(CheckFailedError, match="generateName"):
        engine.check(CONFIG_MAP, "prompts", {"metadata": {"generateName": "prompts-"}})
