"""The declared resources of one colour in Kubernetes."""

import ipaddress
from typing import Any

import pulumi
import pytest

from components.config.release.release import Release
from components.config.service_settings import ServiceSettings
from components.resources.vllm_stack import VllmStack, VllmStackArgs
from tests.components.example import OTHERS_PODS, release, service_settings
from tests.components.registrations import Registrations, register


def _before(name: str) -> pulumi.Resource:
    """A stand-in for a resource that must exist first: a listener rule or nodes."""
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
    assert kinds == {"VllmStack", "Before", "Service", "TargetGroupBinding", "NetworkPolicy"}
    assert declared.outputs["VllmStack", "chat-green"]["state"] == "unused"


SCALED: dict[str, Any] = {
    "autoscaling": {"min_replicas": 2, "max_replicas": 6, "target": 2.5, "prometheus_url": "http://prometheus:9090"},
    "blue": {"release": release()},
}


def _scaled(**green: Any) -> Registrations:
    return _declare(service_settings(**SCALED, green={"release": release(), **green}))


def test_an_autoscaler_decides_between_floor_and_ceiling_and_nobody_else_does() -> None:
    declared = _scaled(floor_replicas=4)
    scaled = declared["ScaledObject", "chat-green"].inputs
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert scaled["spec"] == {
        "scaleTargetRef": {"name": "chat-green"},
        "minReplicaCount": 4,
        "maxReplicaCount": 6,
        "triggers": [
            {
                "type": "prometheus",
                "metricType": "AverageValue",
                "metadata": {
                    "serverAddress": "http://prometheus:9090",
                    "query": 'sum({__name__=~"vllm[:_]num_requests_waiting", service="chat", color="green"}) '
                    'or 0 * sum({__name__=~"vllm[:_]num_requests_waiting", service="chat"})',
                    "threshold": "2.5",
                    "ignoreNullValues": "false",
                },
            }
        ],
    }
    assert scaled["metadata"].get("annotations") is None
    assert "replicas" not in _spec(declared)
    assert declared["PodDisruptionBudget", "chat-green"].inputs["spec"]["maxUnavailable"] == 1


def test_keda_proves_who_it_is_by_the_named_object() -> None:
    scaling = {
        **SCALED["autoscaling"],
        "prometheus_url": "https://mimir.example.com/prometheus",
        "authentication": {"name": "mimir", "kind": "ClusterTriggerAuthentication", "modes": ["tls", "basic"]},
        "headers": {"X-Scope-OrgID": "tenant-1", "X-Source": "keda"},
    }
    declared = _declare(service_settings(**{**SCALED, "autoscaling": scaling}, green={"release": release()}))
    (trigger,) = declared["ScaledObject", "chat-green"].inputs["spec"]["triggers"]
    assert trigger["authenticationRef"] == {"name": "mimir", "kind": "ClusterTriggerAuthentication"}
    assert trigger["metadata"]["authModes"] == "tls,basic"
    assert trigger["metadata"]["customHeaders"] == "X-Scope-OrgID=tenant-1,X-Source=keda"
    assert "authenticationRef" not in _scaled()["ScaledObject", "chat-green"].inputs["spec"]["triggers"][0]


def test_keda_signs_requests_to_a_workspace_of_aws_by_a_pod_identity() -> None:
    scaling = {
        **SCALED["autoscaling"],
        "prometheus_url": "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1",
        "authentication": {"name": "aps", "aws_region": "eu-central-1"},
    }
    declared = _declare(service_settings(**{**SCALED, "autoscaling": scaling}, green={"release": release()}))
    (trigger,) = declared["ScaledObject", "chat-green"].inputs["spec"]["triggers"]
    assert trigger["authenticationRef"] == {"name": "aps", "kind": "TriggerAuthentication"}
    assert trigger["metadata"]["awsRegion"] == "eu-central-1"
    assert "authModes" not in trigger["metadata"]


def test_a_number_that_was_declared_before_the_autoscaler_came_is_left_alone() -> None:
    assert _scaled()["Deployment", "chat-green"].ignore_changes == ("spec.replicas",)
    assert _declare(_green())["Deployment", "chat-green"].ignore_changes == ()


def test_all_replicas_of_a_new_release_start_at_once() -> None:
    declared = _scaled()
    # After the new template, so that none starts with the old one; and before the first pod is ready.
    assert ("Deployment", "chat-green") in declared["ScaledObject", "chat-green"].dependencies
    assert declared["Deployment", "chat-green"].inputs["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"


def test_a_parked_colour_is_paused_at_no_replicas() -> None:
    metadata = _scaled(parked=True)["ScaledObject", "chat-green"].inputs["metadata"]
    assert metadata["annotations"] == {"autoscaling.keda.sh/paused-replicas": "0"}


def test_without_an_autoscaler_there_is_no_scaled_object(declared: Registrations) -> None:
    assert ("ScaledObject", "chat-green") not in declared.resources
    assert "pulumi.com/skipAwait" not in declared["Deployment", "chat-green"].inputs["metadata"]["annotations"]


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
    # No pod is ever reachable from more sources than it should be.
    assert ("NetworkPolicy", "chat-green") in declared["Deployment", "chat-green"].dependencies


def test_the_service_does_not_wait_for_pods_that_come_later(declared: Registrations) -> None:
    service = declared["Service", "chat-green"].inputs
    assert service["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert service["spec"]["selector"] == _spec(declared)["selector"]["matchLabels"]


def test_the_labels_that_select_pods_stay_when_the_release_changes(declared: Registrations) -> None:
    other = _declare(_green(green={"release": release(model_revision="beef123")}))
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


def test_only_a_dead_engine_is_restarted_and_without_a_drain(declared: Registrations) -> None:
    probe = _container(declared)["livenessProbe"]
    assert probe["httpGet"]["path"] == "/health"
    assert probe["failureThreshold"] * max(probe["periodSeconds"], probe["timeoutSeconds"]) >= 180
    assert probe["terminationGracePeriodSeconds"] == 40
    assert _pod(declared)["terminationGracePeriodSeconds"] == 160


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
        # All that a node offers after its daemonsets.
        "limits": {"memory": "359645Mi", "nvidia.com/gpu": "4"},
    }


def test_pods_ask_for_what_the_release_of_their_own_colour_needs() -> None:
    streamed = release(model="s3://models/llm", model_revision="v1", weights_gib=15)
    declared = _declare(_green(blue={"release": release()}, green={"release": streamed}))
    # Servers, a worker, /dev/shm, and the loader's buffer for all weights.
    assert _container(declared)["resources"]["requests"]["memory"] == f"{1024 + 3072 + 8192 + 15 * 1024}Mi"
    other_idle = _declare(_green(blue={"release": streamed}, green={"release": release()}))
    assert _container(other_idle)["resources"]["requests"]["memory"] == "12288Mi"


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
        "model-cache": "/var/cache/models",
        "compile-cache": "/var/cache/compile",
        "home": "/home/vllm",
        "temporary": "/tmp",
        "shared-memory": "/dev/shm",
    }
    assert set(volumes) == set(mounts)
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    maps = {declared["ConfigMap", f"chat-green-{name}"].inputs["metadata"]["name"] for name in ("prompts", "probe")}
    assert {volumes["prompts"]["configMap"]["name"], volumes["probe"]["configMap"]["name"]} == maps


def _environment(declared: Registrations) -> dict[str, Any]:
    return {variable["name"]: variable for variable in _container(declared)["env"]}


def test_all_that_is_written_goes_to_volumes_since_nothing_else_can_be_written(declared: Registrations) -> None:
    assert _container(declared)["securityContext"]["readOnlyRootFilesystem"] is True
    writable = [mount["mountPath"] for mount in _container(declared)["volumeMounts"] if not mount.get("readOnly")]
    environment = _environment(declared)
    for path in ("/tmp", "/dev/shm", *(environment[name]["value"] for name in ("HOME", "HF_HOME", "VLLM_CACHE_ROOT"))):
        assert any(path == mount or path.startswith(f"{mount}/") for mount in writable), path
    assert environment["POD_IP"]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}


def _volume(declared: Registrations, name: str) -> dict[str, Any]:
    (volume,) = [volume for volume in _pod(declared)["volumes"] if volume["name"] == name]
    return {key: value for key, value in volume.items() if key != "name"}


@pytest.mark.parametrize("name", ["model-cache", "compile-cache", "home", "temporary"])
def test_a_pod_that_writes_without_end_goes_before_its_node_is_full(declared: Registrations, name: str) -> None:
    assert int(_volume(declared, name)["emptyDir"]["sizeLimit"].removesuffix("Gi")) > 0


@pytest.mark.parametrize(("gpus_per_replica", "share_gib"), [(4, 170), (2, 85), (1, 42)])
def test_replicas_of_a_node_share_its_volume_evenly(gpus_per_replica: int, share_gib: int) -> None:
    settings = _green(
        instance_type="g6e.12xlarge", gpus_per_replica=gpus_per_replica, node_volume_gib=200, replica_memory_mib=16384
    )
    assert _volume(_declare(settings), "model-cache") == {"emptyDir": {"sizeLimit": f"{share_gib}Gi"}}


@pytest.mark.parametrize("cache", ["model", "compile"])
def test_a_claim_lets_all_pods_share_a_cache(declared: Registrations, cache: str) -> None:
    shared = _declare(_green(pods={f"{cache}_cache_claim": "weights"}))
    assert _volume(shared, f"{cache}-cache") == {"persistentVolumeClaim": {"claimName": "weights"}}
    assert _pod(shared)["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    other = {"model": "compile", "compile": "model"}[cache]
    assert _volume(shared, f"{other}-cache") == _volume(declared, f"{other}-cache")


def test_secrets_are_named_and_only_the_kubelet_reads_them(declared: Registrations) -> None:
    keys = {"name": "vllm-keys", "key": "api-key"}
    hub = {"name": "hub", "key": "token"}
    environment = _environment(_declare(_green(pods={"api_key_secret": keys, "hub_token_secret": hub})))
    assert environment["VLLM_API_KEY"] == {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": keys}}
    assert environment["HF_TOKEN"] == {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": hub}}
    assert {"VLLM_API_KEY", "HF_TOKEN"}.isdisjoint(_environment(declared))


def test_only_the_load_balancers_networks_and_prometheus_reach_the_pods_on_one_port() -> None:
    declared = _declare(_green(pods={"ingress_cidrs": ["10.1.0.0/24"], "monitoring_namespace": "observability"}))
    assert declared["NetworkPolicy", "chat-green"].inputs["spec"] == {
        "podSelector": _spec(declared)["selector"],
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [
                    {"ipBlock": {"cidr": "10.1.0.0/24"}},
                    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}},
                ],
                "ports": [{"port": 8000, "protocol": "TCP"}],
            }
        ],
    }


def test_by_default_requests_come_from_any_private_network_and_from_no_public_one(declared: Registrations) -> None:
    (rule,) = declared["NetworkPolicy", "chat-green"].inputs["spec"]["ingress"]
    blocks = [ipaddress.ip_network(peer["ipBlock"]["cidr"]) for peer in rule["from"] if "ipBlock" in peer]
    assert len(blocks) == 4
    assert not any(block.is_global for block in blocks)
    for address in ("10.0.3.7", "172.31.255.1", "192.168.1.1", "100.64.0.1"):
        assert any(ipaddress.ip_address(address) in block for block in blocks)


def test_a_pod_monitor_is_declared_only_when_asked_for(declared: Registrations) -> None:
    assert ("PodMonitor", "chat-green") not in declared
    monitored = _declare(_green(pods={"pod_monitor": True, "pod_monitor_labels": {"release": "prometheus"}}))
    monitor = monitored["PodMonitor", "chat-green"].inputs
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"] == _spec(monitored)["selector"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["interval"]) == ("http", "/metrics", "15s")


def test_the_monitors_own_labels_never_hide_whose_it_is() -> None:
    labels = {"vllm-blue-green/color": "blue", "release": "prometheus"}
    monitored = _declare(_green(pods={"pod_monitor": True, "pod_monitor_labels": labels}))
    assert monitored["PodMonitor", "chat-green"].inputs["metadata"]["labels"]["vllm-blue-green/color"] == "green"


@pytest.mark.parametrize("name", ["service", "color", "release"])
def test_metrics_carry_the_label_of_the_pod_that_they_come_from(name: str) -> None:
    monitored = _declare(_green(pods={"pod_monitor": True}))
    (endpoint,) = monitored["PodMonitor", "chat-green"].inputs["spec"]["podMetricsEndpoints"]
    (relabeling,) = [one for one in endpoint["relabelings"] if one["targetLabel"] == name]
    assert relabeling["action"] == "replace"
    assert relabeling["sourceLabels"] == [f"__meta_kubernetes_pod_label_vllm_blue_green_{name}"]
    assert f"vllm-blue-green/{name}" in _spec(monitored)["template"]["metadata"]["labels"]


def test_the_release_is_a_label_an_annotation_and_an_output(declared: Registrations) -> None:
    deployed = Release(**release())
    metadata = declared["Deployment", "chat-green"].inputs["metadata"]
    pods = _spec(declared)["template"]["metadata"]
    assert {
        metadata["labels"]["vllm-blue-green/release"],
        metadata["annotations"]["vllm-blue-green/release"],
        pods["labels"]["vllm-blue-green/release"],
    } == {deployed.release_id}
    assert metadata["annotations"]["vllm-blue-green/semantic-cache-namespace"] == deployed.semantic_cache_namespace
    assert declared.outputs["VllmStack", "chat-green"] == {
        "state": "serving",
        "release_id": deployed.release_id,
        "semantic_cache_namespace": deployed.semantic_cache_namespace,
    }


def test_everything_belongs_to_the_colour_and_has_its_name(declared: Registrations) -> None:
    ours = [one for one in declared.resources.values() if one.reference[0] not in ("VllmStack", "Before")]
    assert {one.parent for one in ours} == {("VllmStack", "chat-green")}
    kinds = {"Service", "TargetGroupBinding", "NetworkPolicy", "PodDisruptionBudget", "ConfigMap", "Deployment"}
    assert {one.reference[0] for one in ours} == kinds
    named = {one.inputs["metadata"]["name"] for one in ours if one.reference[0] != "ConfigMap"}
    assert named == {"chat-green"}
    assert {one.inputs["metadata"]["namespace"] for one in ours} == {"chat"}
    for one in ours:
        assert one.inputs["metadata"]["labels"].items() >= _spec(declared)["selector"]["matchLabels"].items()


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


def test_a_parked_colour_keeps_its_release_and_runs_nothing(declared: Registrations) -> None:
    parked = _declare(_green(green={"replicas": 2, "release": release(), "parked": True}))
    assert (_spec(declared)["replicas"], _spec(parked)["replicas"]) == (2, 0)
    assert parked.outputs["VllmStack", "chat-green"]["state"] == "parked"
    # Only the replicas must change to serve again: everything else exists unchanged, including the timeouts.
    assert set(parked.resources) == set(declared.resources)
    differing = {key for key, resource in parked.resources.items() if resource.inputs != declared[key].inputs}
    assert differing == {("Deployment", "chat-green")}
    assert {**_spec(parked), "replicas": 2} == _spec(declared)
    assert parked["Deployment", "chat-green"].timeouts == declared["Deployment", "chat-green"].timeouts


def test_a_change_in_place_takes_one_pod_at_a_time_and_no_spare_gpu(declared: Registrations) -> None:
    assert _spec(declared)["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
    }


def test_a_rollout_may_take_as_long_as_nodes_images_and_cold_starts_do() -> None:
    declared = _declare(_green(node_start_seconds=300, cold_start_seconds=200, probe_period_seconds=10))
    assert _spec(declared)["progressDeadlineSeconds"] == 300 + 300 + (10 + 23 + 10) + 160
    assert declared["Deployment", "chat-green"].timeouts == {"create": "1606s", "update": "1606s", "delete": "220s"}


@pytest.mark.parametrize(("replicas", "evictable"), [(1, 0), (2, 1), (5, 1)])
def test_evictions_always_leave_somebody_serving(replicas: int, evictable: int) -> None:
    declared = _declare(_green(green={"replicas": replicas, "release": release()}))
    budget = declared["PodDisruptionBudget", "chat-green"].inputs["spec"]
    assert budget["maxUnavailable"] == evictable
    assert budget["selector"] == _spec(declared)["selector"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_pods_have_no_account_or_priority_by_default_and_at_most_their_share_of_the_memory(
    declared: Registrations,
) -> None:
    pod = _pod(declared)
    assert {"serviceAccountName", "imagePullSecrets", "priorityClassName"}.isdisjoint(pod)
    assert _container(declared)["resources"]["limits"]["memory"] == "59115Mi"


def test_pods_are_as_others_need_them() -> None:
    settings = _green(pods=OTHERS_PODS)
    declared = _declare(settings)
    pod, container = _pod(declared), _container(declared)
    assert (pod["serviceAccountName"], pod["priorityClassName"]) == ("models", "serving")
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["automountServiceAccountToken"] is False
    assert container["resources"]["limits"]["memory"] == "16384Mi"
    assert container["volumeMounts"][-3:] == [
        {"name": f"extra-{number}", "mountPath": path, "readOnly": True}
        for number, path in enumerate(["/adapters", "/tools", "/certificates"])
    ]
    assert pod["volumes"][-3:] == [
        {"name": "extra-0", "persistentVolumeClaim": {"claimName": "adapters", "readOnly": True}},
        {"name": "extra-1", "configMap": {"name": "tools"}},
        {"name": "extra-2", "secret": {"secretName": "certificates"}},
    ]


def test_the_end_of_the_log_is_kept_as_the_reason_of_a_crash(declared: Registrations) -> None:
    assert _container(declared)["terminationMessagePolicy"] == "FallbackToLogsOnError"
