"""The control plane is real, as seen through our own client."""

import pytest

from rehearsal.kube.client import Json, KubeClient, KubeError
from tests.rehearsal.world_parts import condition, wait_for


def config_map(namespace: str, **data: str) -> Json:
    metadata = {"name": "settings", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def test_the_api_server_knows_its_version(kube: KubeClient) -> None:
    version = kube.request("GET", "/version")
    assert (version["major"], version["minor"]) == ("1", "36")


def test_controllers_and_scheduler_work_but_without_nodes_no_pod_runs(kube: KubeClient, namespace: str) -> None:
    labels = {"app": "idle"}
    container = {"name": "idle", "image": "example.com/idle"}
    template: Json = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    kube.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "idle", "namespace": namespace},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        }
    )

    def unschedulable() -> bool:
        pods = kube.list("v1", "Pod", namespace)["items"]
        return any(condition(pod, "PodScheduled").get("reason") == "Unschedulable" for pod in pods)

    wait_for(unschedulable, "the scheduler finds no node")


def test_a_watch_reports_changes_since_the_version_of_a_list(kube: KubeClient, namespace: str) -> None:
    version = kube.list("v1", "ConfigMap", namespace)["metadata"]["resourceVersion"]
    kube.create(config_map(namespace))
    kube.delete("v1", "ConfigMap", namespace, "settings")

    path = kube.resource_path("v1", "ConfigMap", namespace)
    events = kube.watch(path, params={"fieldSelector": "metadata.name=settings"}, resource_version=version)
    assert [next(events)["type"], next(events)["type"]] == ["ADDED", "DELETED"]


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [("elbv2.k8s.aws/v1beta1", "TargetGroupBinding"), ("monitoring.coreos.com/v1", "PodMonitor")],
)
def test_the_custom_resources_are_there(kube: KubeClient, namespace: str, api_version: str, kind: str) -> None:
    assert kube.list(api_version, kind, namespace)["items"] == []


def test_an_unknown_field_of_a_binding_is_refused(kube: KubeClient, namespace: str) -> None:
    spec = {"serviceRef": {"name": "chat", "port": 80}, "targetGroupArn": "arn:misspelt"}
    metadata = {"name": "chat", "namespace": namespace}
    binding = {"apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding", "metadata": metadata, "spec": spec}
    with pytest.raises(KubeError, match="targetGroupArn"):
        kube.apply(binding, field_manager="test")


def test_apply_creates_changes_and_respects_other_owners(kube: KubeClient, namespace: str) -> None:
    assert kube.apply(config_map(namespace, a="1"), field_manager="first")["data"] == {"a": "1"}
    assert kube.apply(config_map(namespace, a="2"), field_manager="first")["data"] == {"a": "2"}
    with pytest.raises(KubeError) as conflict:
        kube.apply(config_map(namespace, a="3"), field_manager="second")
    assert (conflict.value.status, conflict.value.reason) == (409, "Conflict")
    assert kube.apply(config_map(namespace, a="3"), field_manager="second", force=True)["data"] == {"a": "3"}
    kube.apply(config_map(namespace, a="4"), field_manager="second", dry_run=True)
    assert kube.get("v1", "ConfigMap", namespace, "settings")["data"] == {"a": "3"}


def test_delete_with_a_uid_spares_a_new_object_of_the_name(kube: KubeClient, namespace: str) -> None:
    kube.create(config_map(namespace))
    with pytest.raises(KubeError) as refused:
        kube.delete("v1", "ConfigMap", namespace, "settings", uid="another")
    assert refused.value.status == 409
    kube.delete("v1", "ConfigMap", namespace, "settings")
    with pytest.raises(KubeError) as missing:
        kube.get("v1", "ConfigMap", namespace, "settings")
    assert missing.value.status == 404


def test_a_kind_that_does_not_exist_is_named(kube: KubeClient) -> None:
    with pytest.raises(KubeError, match='no matches for kind "Deploymint"'):
        kube.resource_path("apps/v1", "Deploymint", None)


def test_warnings_of_the_api_server_are_kept(kube: KubeClient, namespace: str) -> None:
    # A label of a deprecated API.
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "old", "namespace": namespace},
        "spec": {
            "containers": [{"name": "idle", "image": "example.com/idle"}],
            "nodeSelector": {"beta.kubernetes.io/os": "linux"},
        },
    }
    kube.create(pod)
    assert any("beta.kubernetes.io/os" in warning for warning in kube.warnings)
