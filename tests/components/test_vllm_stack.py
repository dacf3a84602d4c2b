"""One colour in Kubernetes as it is declared."""

from typing import Any

import pulumi
import pytest

from components.service_settings import ServiceSettings
from components.vllm_stack import VllmStack, VllmStackArgs
from tests.components.example import release, service_settings
from tests.components.registrations import Registrations, register


def _before(name: str) -> pulumi.Resource:
    """Stand for what must exist before: a listener rule, or nodes."""
    return pulumi.CustomResource("test:index:Before", name)


def _declare(settings: ServiceSettings) -> Registrations:
    def program() -> None:
        VllmStack(
            "chat-green",
            VllmStackArgs(
                service="chat",
                color="green",
                namespace="chat",
                target_group_arn="arn:group",
                load_balancer_security_group_id="sg-0b",
                settings=settings,
                rules=[_before("rule")],
                nodes=[_before("nodes")],
            ),
        )

    return register(program)


def _green(**changes: Any) -> ServiceSettings:
    """Settings in which green has a release."""
    return service_settings(**{"green": {"replicas": 2, "release": release()}, **changes})


@pytest.fixture(scope="module")
def declared() -> Registrations:
    return _declare(_green())


def _spec(declared: Registrations) -> dict[str, Any]:
    return declared["Deployment", "chat-green"].inputs["spec"]


def _pod(declared: Registrations) -> dict[str, Any]:
    return _spec(declared)["template"]["spec"]


def _container(declared: Registrations) -> dict[str, Any]:
    (container,) = _pod(declared)["containers"]
    return container


def test_a_colour_without_a_release_can_already_be_routed_to() -> None:
    declared = _declare(service_settings())
    kinds = {resource.token.rpartition(":")[2] for resource in declared.resources.values()}
    assert kinds == {"VllmStack", "Before", "Service", "TargetGroupBinding"}


def test_the_binding_leads_from_the_target_group_to_the_service_and_opens_one_port(declared: Registrations) -> None:
    binding = declared["TargetGroupBinding", "chat-green"].inputs
    assert binding["apiVersion"] == "elbv2.k8s.aws/v1beta1"
    assert binding["spec"] == {
        "targetGroupARN": "arn:group",
        "targetType": "ip",
        "serviceRef": {"name": "chat-green", "port": "http"},
        "networking": {
            "ingress": [
                {
                    "from": [{"securityGroup": {"groupID": "sg-0b"}}],
                    "ports": [{"protocol": "TCP", "port": 8000}],
                }
            ]
        },
    }


def test_service_and_rule_come_before_the_binding_and_binding_and_nodes_before_the_pods(
    declared: Registrations,
) -> None:
    binding = ("TargetGroupBinding", "chat-green")
    assert declared[binding].dependencies >= {("Service", "chat-green"), ("Before", "rule")}
    assert declared["Deployment", "chat-green"].dependencies >= {binding, ("Before", "nodes")}


def test_the_service_does_not_wait_for_pods_that_come_later(declared: Registrations) -> None:
    service = declared["Service", "chat-green"].inputs
    assert service["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert service["spec"]["selector"] == _spec(declared)["selector"]["matchLabels"]


def test_the_labels_that_select_pods_stay_when_the_release_changes(declared: Registrations) -> None:
    other = _declare(_green(green={"release": release(model_revision="beef")}))
    assert _spec(other)["selector"] == _spec(declared)["selector"]
    labels = _spec(other)["template"]["metadata"]["labels"]
    assert (
        labels["vllm-blue-green/release"]
        != _spec(declared)["template"]["metadata"]["labels"]["vllm-blue-green/release"]
    )
    assert _spec(other)["selector"]["matchLabels"].items() <= labels.items()


def test_pods_serve_the_release_by_digest(declared: Registrations) -> None:
    container = _container(declared)
    assert container["name"] == "vllm"
    assert container["image"] == release()["image"]
    assert container["command"] == ["vllm", "serve"]
    assert container["args"][0] == "org/model"
    assert container["ports"] == [{"name": "http", "containerPort": 8000, "protocol": "TCP"}]


def test_the_target_must_be_healthy_before_a_pod_is_ready(declared: Registrations) -> None:
    assert _pod(declared)["readinessGates"] == [{"conditionType": "target-health.elbv2.k8s.aws/chat-green"}]


def test_a_container_may_take_half_as_long_again_to_start_as_it_should() -> None:
    probe = _container(_declare(_green(cold_start_seconds=65, probe_period_seconds=10)))["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 100
    assert probe["httpGet"] == {"path": "/health", "port": "http", "scheme": "HTTP"}


def test_readiness_asks_this_model_for_a_token_in_time() -> None:
    probe = _container(_declare(_green(readiness_threshold_seconds=7)))["readinessProbe"]
    assert probe["exec"]["command"][:3] == ["python3", "-I", "/etc/vllm-probe/readiness_probe.py"]
    assert set(probe["exec"]["command"][3:]) == {
        "--served-model-name=chat",
        "--model=org/model",
        "--port=8000",
        "--threshold-seconds=7",
    }
    assert probe["timeoutSeconds"] > 7


def test_only_a_dead_engine_is_restarted(declared: Registrations) -> None:
    probe = _container(declared)["livenessProbe"]
    assert probe["httpGet"]["path"] == "/health"
    assert probe["failureThreshold"] * probe["periodSeconds"] >= 60


def test_a_pod_outlives_its_requests() -> None:
    declared = _declare(_green(max_stream_seconds=200, deregistration_propagation_seconds=40))
    assert _container(declared)["lifecycle"] == {"preStop": {"sleep": {"seconds": 40}}}
    assert _pod(declared)["terminationGracePeriodSeconds"] == 250
    arguments = _container(declared)["args"]
    assert arguments[arguments.index("--shutdown-timeout") + 1] == "200"


def test_gpus_are_asked_for_and_granted_in_whole() -> None:
    settings = _green(
        instance_type="g6e.12xlarge", gpus_per_replica=4, replica_millicpus=40000, replica_memory_mib=200000
    )
    assert _container(_declare(settings))["resources"] == {
        "requests": {"cpu": "40000m", "memory": "200000Mi", "nvidia.com/gpu": "4"},
        "limits": {"nvidia.com/gpu": "4"},
    }


def test_pods_go_to_the_nodes_of_their_colour_and_spread(declared: Registrations) -> None:
    pod = _pod(declared)
    assert pod["nodeSelector"] == {"vllm-blue-green/service": "chat", "vllm-blue-green/color": "green"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert [constraint["topologyKey"] for constraint in pod["topologySpreadConstraints"]] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]


def test_pods_hold_no_token_and_see_no_variables_of_other_services(declared: Registrations) -> None:
    assert _pod(declared)["automountServiceAccountToken"] is False
    assert _pod(declared)["enableServiceLinks"] is False


def test_every_mount_has_its_volume(declared: Registrations) -> None:
    volumes = {volume["name"]: volume for volume in _pod(declared)["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in _container(declared)["volumeMounts"]}
    assert mounts == {
        "prompts": "/etc/vllm/prompts",
        "probe": "/etc/vllm-probe",
        "cache": "/var/cache/vllm",
        "shared-memory": "/dev/shm",
    }
    assert set(volumes) == set(mounts)
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    maps = {declared["ConfigMap", f"chat-green-{name}"].inputs["metadata"]["name"] for name in ("prompts", "probe")}
    assert {volumes["prompts"]["configMap"]["name"], volumes["probe"]["configMap"]["name"]} == maps


def test_caches_go_to_the_cache_volume(declared: Registrations) -> None:
    environment = {variable["name"]: variable for variable in _container(declared)["env"]}
    for name in ("HOME", "HF_HOME", "VLLM_CACHE_ROOT"):
        assert environment[name]["value"].startswith("/var/cache/vllm")
    assert environment["POD_IP"]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}


def test_new_prompts_are_a_new_map_and_new_pods(declared: Registrations) -> None:
    prompts = {"chat_template.jinja": "{{ messages }}"}
    changed = _declare(_green(green={"release": release(prompts=prompts)}))
    before, after = (run["ConfigMap", "chat-green-prompts"].inputs for run in (declared, changed))
    assert after["data"] == prompts
    assert after["immutable"] is True
    assert after["metadata"]["name"] != before["metadata"]["name"]
    annotations = [_spec(run)["template"]["metadata"]["annotations"] for run in (declared, changed)]
    assert annotations[0] != annotations[1]


def test_the_probe_travels_with_the_pods(declared: Registrations) -> None:
    (source,) = declared["ConfigMap", "chat-green-probe"].inputs["data"].values()
    compile(source, "readiness_probe.py", "exec")
    assert declared["Deployment", "chat-green"].dependencies >= {
        ("ConfigMap", "chat-green-probe"),
        ("ConfigMap", "chat-green-prompts"),
    }


def test_a_parked_colour_keeps_its_release_and_runs_nothing() -> None:
    declared = _declare(_green(green={"replicas": 2, "release": release(), "parked": True}))
    assert _spec(declared)["replicas"] == 0
    assert ("PodDisruptionBudget", "chat-green") in declared


def test_a_change_in_place_takes_one_pod_at_a_time_and_no_spare_gpu(declared: Registrations) -> None:
    assert _spec(declared)["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
    }


def test_a_rollout_may_take_as_long_as_nodes_images_and_cold_starts_do() -> None:
    declared = _declare(_green(node_start_seconds=300, cold_start_seconds=200, probe_period_seconds=10))
    assert _spec(declared)["progressDeadlineSeconds"] == 300 + 300 + 160
    assert declared["Deployment", "chat-green"].timeouts == {"create": "1520s", "update": "1520s", "delete": "220s"}


@pytest.mark.parametrize(("replicas", "evictable"), [(1, 0), (2, 1), (5, 1)])
def test_evictions_always_leave_somebody_serving(replicas: int, evictable: int) -> None:
    declared = _declare(_green(green={"replicas": replicas, "release": release()}))
    budget = declared["PodDisruptionBudget", "chat-green"].inputs["spec"]
    assert budget["maxUnavailable"] == evictable
    assert budget["selector"] == _spec(declared)["selector"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
