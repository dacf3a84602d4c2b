"""Pods run as local processes: their arguments and variables, readiness, and restarts."""

import json
import urllib.request
from ipaddress import ip_address

import pytest

from rehearsal.kube.client import STRATEGIC_MERGE_PATCH, Json, KubeClient
from rehearsal.system.addresses import loopback_of
from tests.rehearsal.kubelet.conftest import World
from tests.rehearsal.world_parts import condition, is_met, pods, server_pod, server_pod_spec, wait_for

PROBE = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}


def container_status(kube: KubeClient, namespace: str, pod: str) -> Json:
    statuses = kube.get("v1", "Pod", namespace, pod)["status"].get("containerStatuses") or [{"restartCount": 0}]
    return statuses[0]


def answers(pod_address: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{loopback_of(pod_address)}:8000/health").close()
    except OSError:
        return False
    return True


def test_a_deployment_is_ready_once_containers_and_readiness_gates_are(
    kube: KubeClient, world: World, namespace: str
) -> None:
    gate = "target-health.elbv2.k8s.aws/server"
    labels = {"vllm-blue-green/service": "chat", "vllm-blue-green/color": "green", "vllm-blue-green/release": "abc"}
    template: Json = {
        "metadata": {"labels": labels},
        "spec": server_pod_spec(readinessGates=[{"conditionType": gate}]),
    }
    spec: Json = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "server", "namespace": namespace}
    kube.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})

    wait_for(lambda: [pod for pod in pods(kube, namespace) if is_met(pod, "ContainersReady")][1:], "containers ready")
    for pod in pods(kube, namespace):
        assert condition(pod, "Ready")["reason"] == "ReadinessGatesNotReady"
        opened = {"status": {"conditions": [{"type": gate, "status": "True"}]}}
        name = pod["metadata"]["name"]
        kube.patch("v1", "Pod", namespace, name, opened, subresource="status", content_type=STRATEGIC_MERGE_PATCH)

    def ready_replicas() -> bool:
        return kube.get("apps/v1", "Deployment", namespace, "server")["status"].get("readyReplicas") == 2

    wait_for(ready_replicas, "the Deployment is ready")
    assert all("reason" not in condition(pod, "Ready") for pod in pods(kube, namespace))

    def listed() -> list[Json]:
        targets: list[Json] = json.loads((world.folder / "targets.json").read_text())
        return [target for target in targets if target["labels"]["namespace"] == namespace]

    targets = wait_for(lambda: listed()[1:] and listed(), "both pods are listed for Prometheus")
    expected = {f"{loopback_of(pod['status']['podIP'])}:8000": pod["metadata"]["name"] for pod in pods(kube, namespace)}
    assert {target["targets"][0]: target["labels"]["pod"] for target in targets} == expected
    labels = {"service": "chat", "color": "green", "release": "abc"}
    assert all(labels.items() <= target["labels"].items() for target in targets)

    kube.delete("apps/v1", "Deployment", namespace, "server")
    wait_for(lambda: not listed(), "no pod is listed any more")


def test_a_container_gets_its_arguments_variables_and_volumes(kube: KubeClient, world: World, namespace: str) -> None:
    for kind, key in (("ConfigMap", "data"), ("Secret", "stringData")):
        metadata = {"name": "settings", "namespace": namespace}
        kube.create({"apiVersion": "v1", "kind": kind, "metadata": metadata, key: {"key": f"from {kind}"}})
    container: Json = {
        "args": ["some/model", "--chat-template=/prompts/key", "--url", "http://host/prompts/x", "--name=$(PLAIN)"],
        "env": [
            {"name": "PLAIN", "value": "plain"},
            {"name": "NESTED", "value": "$(PLAIN) and $$(PLAIN)"},
            {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "settings", "key": "key"}}},
            {"name": "FROM_CONFIG_MAP", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "key"}}},
            {"name": "PROMPTS", "value": "/prompts"},
        ],
        "volumeMounts": [{"name": "prompts", "mountPath": "/prompts"}, {"name": "shm", "mountPath": "/dev/shm"}],
        # Fails unless its path is the real one.
        "readinessProbe": {"exec": {"command": ["python3", "-c", "open('/prompts/key')"]}, "timeoutSeconds": 5},
    }
    volumes = [{"name": "prompts", "configMap": {"name": "settings"}}, {"name": "shm", "emptyDir": {}}]
    kube.create(server_pod("server", namespace, container=container, volumes=volumes))

    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "ready by its exec probe")
    started = wait_for(lambda: world.events(namespace, "server", "started"), "the server runs")[0]
    pod = kube.get("v1", "Pod", namespace, "server")
    listens_on = loopback_of(pod["status"]["podIP"])
    folder = world.folder / "pods" / pod["metadata"]["uid"] / "volumes"
    assert started["argv"] == [
        "some/model",
        f"--chat-template={folder}/prompts/key",
        "--url",
        "http://host/prompts/x",
        "--name=plain",
        "--host",
        listens_on,
    ]
    environment = started["environment"]
    assert environment["NESTED"] == "plain and $(PLAIN)"
    assert environment["ADDRESS"] == listens_on
    assert environment["FROM_SECRET"] == "from Secret"
    assert environment["FROM_CONFIG_MAP"] == "from ConfigMap"
    assert environment["PROMPTS"] == f"{folder}/prompts"
    assert "AWS_SECRET_ACCESS_KEY" not in environment, "a container does not inherit the kubelet's variables"


@pytest.mark.usefixtures("world")
def test_a_container_waits_for_a_secret_that_is_not_there_yet(kube: KubeClient, namespace: str) -> None:
    reference = {"secretKeyRef": {"name": "late", "key": "key"}}
    kube.create(server_pod("server", namespace, container={"env": [{"name": "KEY", "valueFrom": reference}]}))

    def waits() -> bool:
        waiting = container_status(kube, namespace, "server").get("state", {}).get("waiting", {})
        return waiting.get("reason") == "CreateContainerConfigError" and '"late" not found' in waiting["message"]

    wait_for(waits, "the status names what is missing")
    metadata = {"name": "late", "namespace": namespace}
    kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": "value"}})
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "ready after all")


def test_a_slow_start_is_covered_by_the_startup_probe_and_a_failed_liveness_probe_restarts(
    kube: KubeClient, world: World, namespace: str
) -> None:
    probes = {
        "startupProbe": PROBE | {"failureThreshold": 10},
        "livenessProbe": PROBE,
        "readinessProbe": PROBE,
        "env": [{"name": "READY_AFTER", "value": "1.5"}],
    }
    kube.create(server_pod("server", namespace, container=probes))

    first_process = wait_for(lambda: container_status(kube, namespace, "server").get("containerID"), "a process")
    assert container_status(kube, namespace, "server")["started"] is False
    wait_for(lambda: container_status(kube, namespace, "server")["started"], "started")
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "ready")
    assert container_status(kube, namespace, "server")["restartCount"] == 0, "liveness waits for startup"

    address = loopback_of(kube.get("v1", "Pod", namespace, "server")["status"]["podIP"])
    urllib.request.urlopen(f"http://{address}:8000/set?health=500").close()

    wait_for(lambda: container_status(kube, namespace, "server")["restartCount"] == 1, "restarted")
    assert world.events(namespace, "server", "sigterm"), "SIGTERM came first"
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "ready again")
    assert container_status(kube, namespace, "server")["containerID"] != first_process


@pytest.mark.usefixtures("world")
def test_a_container_that_keeps_failing_is_restarted_with_growing_waits(kube: KubeClient, namespace: str) -> None:
    failing: Json = {
        "env": [{"name": "EXIT_AFTER", "value": "0"}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    kube.create(server_pod("server", namespace, container=failing))

    def backs_off() -> bool:
        status = container_status(kube, namespace, "server")
        return status.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"

    wait_for(backs_off, "CrashLoopBackOff")
    status = wait_for(
        lambda: (
            container_status(kube, namespace, "server")["restartCount"] >= 2
            and container_status(kube, namespace, "server")
        ),
        "restarted twice",
    )
    assert isinstance(status, dict)
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["message"].endswith("error: will end\n")
    assert not is_met(kube.get("v1", "Pod", namespace, "server"), "Ready")


def test_pods_die_with_the_kubelet_and_are_started_again_by_the_next_one(
    kube: KubeClient, world: World, namespace: str
) -> None:
    kube.create(server_pod("server", namespace))
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "ready")
    address = kube.get("v1", "Pod", namespace, "server")["status"]["podIP"]

    world.crash_kubelet()
    wait_for(lambda: not answers(address), "the process died with it")
    world.start_kubelet()

    wait_for(lambda: container_status(kube, namespace, "server")["restartCount"] == 1, "restarted")
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "ready again")
    assert kube.get("v1", "Pod", namespace, "server")["status"]["podIP"] == address
    assert answers(address)


def test_a_pod_gets_a_new_address_from_a_kubelet_that_has_another_network(
    kube: KubeClient, world: World, namespace: str
) -> None:
    kube.create(server_pod("server", namespace))
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "ready")

    world.crash_kubelet()
    network = world.change_pod_network()
    world.start_kubelet()

    wait_for(lambda: container_status(kube, namespace, "server")["restartCount"] == 1, "restarted")
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "ready again")
    status = kube.get("v1", "Pod", namespace, "server")["status"]
    assert ip_address(status["podIP"]) in network
    assert status["podIPs"] == [{"ip": status["podIP"]}]
    assert answers(status["podIP"])


def test_init_containers_run_first_and_a_pod_that_is_not_restarted_succeeds(
    kube: KubeClient, world: World, namespace: str
) -> None:
    metadata = {"name": "settings", "namespace": namespace}
    kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"WORD": "hello"}})
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    fetch: Json = {
        "name": "fetch",
        "image": "example.com/fetch",
        "command": ["sh", "-c", "sleep 0.3; echo $MY_WORD > /shared/word"],
        "envFrom": [{"prefix": "MY_", "configMapRef": {"name": "settings"}}],
        "volumeMounts": mounts,
    }
    show = {"command": ["sh", "-c", "cat /shared/word"], "args": [], "volumeMounts": mounts}
    pod = server_pod("job", namespace, container=show, initContainers=[fetch], restartPolicy="Never")
    pod["spec"]["volumes"] = [{"name": "shared", "emptyDir": {}}]
    kube.create(pod)

    wait_for(lambda: kube.get("v1", "Pod", namespace, "job")["status"]["phase"] == "Succeeded", "done")
    status = kube.get("v1", "Pod", namespace, "job")["status"]
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert (world.folder / "logs" / "pods" / f"{namespace}_job.log").read_text() == "hello\n"
    kube.delete("v1", "Pod", namespace, "job")
    wait_for(lambda: not pods(kube, namespace), "a finished pod is deleted at once", timeout_seconds=3)
