"""Both Kubernetes providers, ours and the real one, against a real API server and its controllers."""

import time

import grpc
import pytest

from rehearsal.kube.client import KubeClient
from rehearsal.providers.values import UNKNOWN, Tree
from tests.rehearsal.providers.harness import CheckFailedError, Engine, InitFailedError
from tests.rehearsal.providers.pods import pods_become_ready

pytestmark = pytest.mark.slow

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
NAMESPACE = "kubernetes:core/v1:Namespace"
SERVICE = "kubernetes:core/v1:Service"


@pytest.fixture
def engine(kubernetes: Engine) -> Engine:
    """Ours, and the real one where it is installed."""
    return kubernetes


@pytest.fixture
def ours(our_kubernetes: Engine, request: pytest.FixtureRequest) -> Engine:
    """Only ours, for what it reports or checks beyond the real one."""
    return our_kubernetes.afresh(request.node.name.encode())


def deployment(namespace: str, replicas: int = 0, image: str = "one", **container: object) -> Tree:
    containers = [{"name": "vllm", "image": image, "resources": {"requests": {"cpu": "0.5"}}, **container}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
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
    data = {"prompt": value}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, **metadata}, "data": data}


def test_an_object_without_a_name_gets_one_and_keeps_it(engine: Engine, namespace: str) -> None:
    name = engine.up(CONFIG_MAP, "prompts", config_map(namespace, "a"))["metadata"]["name"]
    assert name.startswith("prompts-")
    assert len(name) == len("prompts-") + 8
    assert engine.deployed(CONFIG_MAP, "prompts").id == f"{namespace}/{name}"
    engine.up(CONFIG_MAP, "prompts", config_map(namespace, "a"))
    assert engine.steps[-1].op == "same"


def test_an_object_without_a_namespace_goes_to_the_default_one(engine: Engine) -> None:
    outputs = engine.preview(CONFIG_MAP, "prompts", {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}})
    assert outputs["metadata"]["namespace"] == "default"


def test_a_cluster_wide_object_gets_no_namespace(engine: Engine, namespace: str) -> None:
    outputs = engine.up(
        NAMESPACE, "other", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{namespace}-other"}}
    )
    assert outputs["status"]["phase"] == "Active"
    assert engine.deployed(NAMESPACE, "other").id == f"{namespace}-other"
    engine.delete(NAMESPACE, "other")


def test_a_misspelt_field_is_refused_in_the_preview(ours: Engine, namespace: str) -> None:
    with pytest.raises(grpc.RpcError, match="imagee"):
        ours.preview(DEPLOYMENT, "vllm", deployment(namespace, imagee="one"))


def test_an_unknown_value_is_previewed_without_the_server(engine: Engine, namespace: str) -> None:
    outputs = engine.preview(DEPLOYMENT, "vllm", deployment(namespace, image=UNKNOWN))  # pyright: ignore[reportArgumentType]
    assert outputs["spec"]["template"]["spec"]["containers"][0]["image"] is UNKNOWN


def test_unknown_metadata_do_not_stop_the_preview_of_an_update(engine: Engine, namespace: str) -> None:
    given = config_map(namespace, "a", name="prompts", annotations={"x/y": "z"})
    engine.up(CONFIG_MAP, "prompts", given)
    unknown = config_map(namespace, "a", name="prompts", annotations=UNKNOWN)
    assert engine.preview(CONFIG_MAP, "prompts", unknown)["metadata"]["annotations"] is UNKNOWN


def test_a_preview_changes_nothing(engine: Engine, kube: KubeClient, namespace: str) -> None:
    outputs = engine.preview(DEPLOYMENT, "vllm", deployment(namespace))
    assert outputs["spec"]["strategy"]["type"] == "RollingUpdate", "the server's defaults show"
    assert kube.list("apps/v1", "Deployment", namespace)["items"] == []


def test_an_object_in_a_namespace_that_does_not_exist_yet_can_be_previewed(engine: Engine) -> None:
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


def test_a_deployment_that_does_not_become_ready_is_kept(engine: Engine, namespace: str) -> None:
    with pytest.raises(InitFailedError, match="MinimumReplicasUnavailable"):
        engine.up(DEPLOYMENT, "vllm", deployment(namespace, 1), timeout=3)
    deployed = engine.deployed(DEPLOYMENT, "vllm")
    assert deployed.id == f"{namespace}/vllm"
    assert deployed.outputs["spec"]["replicas"] == 1


def test_the_problems_of_the_pods_are_reported(ours: Engine, namespace: str) -> None:
    with pytest.raises(InitFailedError, match="0 of 1 updated Pods are ready"):
        ours.up(DEPLOYMENT, "vllm", deployment(namespace, 1), timeout=3)
    assert any("Unschedulable" in reason for reason in ours.deployed(DEPLOYMENT, "vllm").init_errors)


def test_the_annotation_sets_the_timeout(engine: Engine, namespace: str) -> None:
    hurried = deployment(namespace, 1)
    hurried["metadata"]["annotations"] = {"pulumi.com/timeoutSeconds": "1"}
    with pytest.raises(InitFailedError):
        engine.up(DEPLOYMENT, "vllm", hurried)


def test_the_annotation_can_skip_waiting_for_a_deployment(engine: Engine, namespace: str) -> None:
    careless = deployment(namespace, 1)
    careless["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    assert engine.up(DEPLOYMENT, "vllm", careless)["spec"]["replicas"] == 1
    engine.delete(DEPLOYMENT, "vllm")


def test_a_namespace_is_gone_when_its_deletion_returns(engine: Engine, kube: KubeClient, namespace: str) -> None:
    name = f"{namespace}-other"
    engine.up(NAMESPACE, "other", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    engine.delete(NAMESPACE, "other")
    assert name not in [item["metadata"]["name"] for item in kube.list("v1", "Namespace")["items"]]


def test_the_server_s_reason_to_refuse_an_object_is_passed_on(engine: Engine, namespace: str) -> None:
    with pytest.raises(grpc.RpcError, match=r"vllm.*spec\.replicas.*-1.*greater than or equal to 0"):
        engine.up(DEPLOYMENT, "vllm", deployment(namespace, -1))


def test_a_resource_can_be_updated_again_after_a_refused_update(engine: Engine, namespace: str) -> None:
    engine.up(DEPLOYMENT, "vllm", deployment(namespace), timeout=20)
    with pytest.raises(InitFailedError, match=r"spec\.replicas"):
        engine.up(DEPLOYMENT, "vllm", deployment(namespace, -1))
    assert engine.deployed(DEPLOYMENT, "vllm").outputs["spec"]["replicas"] == 0
    engine.up(DEPLOYMENT, "vllm", deployment(namespace), timeout=20)
    assert engine.steps[-1].op == "update"


def test_a_refresh_shows_drift_and_nothing_else(engine: Engine, kube: KubeClient, namespace: str) -> None:
    engine.up(DEPLOYMENT, "vllm", deployment(namespace))
    engine.refresh(DEPLOYMENT, "vllm")
    engine.up(DEPLOYMENT, "vllm", deployment(namespace))
    assert engine.steps[-1].op == "same", "half a core and 500m are the same"
    kube.patch("apps/v1", "Deployment", namespace, "vllm", {"spec": {"minReadySeconds": 1, "replicas": 1}})
    while kube.get("apps/v1", "Deployment", namespace, "vllm")["status"].get("unavailableReplicas") != 1:
        time.sleep(0.05)
    with pytest.raises(InitFailedError):
        engine.refresh(DEPLOYMENT, "vllm")
    taken_over = deployment(namespace)
    taken_over["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    engine.up(DEPLOYMENT, "vllm", taken_over, timeout=20)
    assert engine.steps[-1].detailed_diff == {"spec.replicas": "update", "metadata.annotations": "add"}
    assert kube.get("apps/v1", "Deployment", namespace, "vllm")["spec"]["replicas"] == 0


def test_fields_of_another_owner_are_not_taken_over(engine: Engine, kube: KubeClient, namespace: str) -> None:
    engine.up(DEPLOYMENT, "vllm", deployment(namespace))
    kube.patch("apps/v1", "Deployment", namespace, "vllm", {"spec": {"replicas": 1}})
    with pytest.raises(InitFailedError, match=r"conflict.*spec\.replicas"):
        engine.up(DEPLOYMENT, "vllm", deployment(namespace, image="two"))
    live = kube.get("apps/v1", "Deployment", namespace, "vllm")
    assert live["spec"]["replicas"] == 1
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "one"


@pytest.mark.parametrize("declared", [True, False])
def test_a_number_whose_changes_are_ignored_is_its_owner_s(
    engine: Engine, kube: KubeClient, namespace: str, declared: bool
) -> None:
    def wanted(image: str) -> Tree:
        inputs = deployment(namespace, image=image)
        inputs["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
        if not declared:
            del inputs["spec"]["replicas"]
        return inputs

    engine.up(DEPLOYMENT, "vllm", wanted("one"))
    for image, replicas in (("two", 3), ("three", 2)):
        kube.patch("apps/v1", "Deployment", namespace, "vllm", {"spec": {"replicas": replicas}})
        engine.up(DEPLOYMENT, "vllm", wanted(image), ignore_changes=["spec.replicas"])
        live = kube.get("apps/v1", "Deployment", namespace, "vllm")
        assert live["spec"]["replicas"] == replicas
        assert live["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_an_object_that_exists_already_is_not_taken_over(engine: Engine, kube: KubeClient, namespace: str) -> None:
    kube.create(config_map(namespace, "mine", name="prompts"))
    with pytest.raises(grpc.RpcError, match="already exists"):
        engine.up(CONFIG_MAP, "prompts", config_map(namespace, "a", name="prompts"))
    assert kube.get("v1", "ConfigMap", namespace, "prompts")["data"] == {"prompt": "mine"}


def test_an_unsupported_annotation_is_refused(ours: Engine, namespace: str) -> None:
    annotations = {"pulumi.com/waitFor": "jsonpath={.data}"}
    with pytest.raises(CheckFailedError, match="waitFor"):
        ours.check(CONFIG_MAP, "prompts", config_map(namespace, "a", annotations=annotations))


def test_an_object_that_is_gone_is_read_as_gone(engine: Engine, kube: KubeClient, namespace: str) -> None:
    engine.up(CONFIG_MAP, "prompts", config_map(namespace, "a", name="prompts"))
    kube.delete("v1", "ConfigMap", namespace, "prompts")
    assert engine.refresh(CONFIG_MAP, "prompts") is None


@pytest.mark.parametrize("skips", [True, False])
def test_a_service_waits_for_ready_endpoints_unless_annotated(ours: Engine, namespace: str, skips: bool) -> None:
    annotations = {"pulumi.com/skipAwait": "true"} if skips else {"pulumi.com/timeoutSeconds": "1"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "vllm", "namespace": namespace, "annotations": annotations},
        "spec": {"selector": {"app": "vllm"}, "ports": [{"name": "http", "port": 8000}]},
    }
    if skips:
        assert ours.up(SERVICE, "vllm", service)["spec"]["clusterIP"]
    else:
        with pytest.raises(InitFailedError, match="does not target any ready Pods"):
            ours.up(SERVICE, "vllm", service)


def test_a_generated_name_is_refused(ours: Engine) -> None:
    with pytest.raises(CheckFailedError, match="generateName"):
        ours.check(
            CONFIG_MAP, "prompts", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "prompts-"}}
        )
