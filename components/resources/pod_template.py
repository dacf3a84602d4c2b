"""The pods of one colour: one vLLM container that is ready only when it answers, and ends only when it is drained."""

from collections.abc import Iterator
from dataclasses import dataclass

from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from components.config.release.release import Release
from components.config.sections.pod_settings import PodVolume, SecretReference
from components.config.service_settings import ServiceSettings
from components.domain.naming import (
    CONTAINER_NAME,
    DO_NOT_DISRUPT_KEY,
    GPU_RESOURCE,
    PORT,
    PORT_NAME,
    PROMPTS_HASH_KEY,
    RELEASE_KEY,
    SAFE_TO_EVICT_KEY,
    Color,
    pod_labels,
    readiness_gate,
)
from components.domain.nodes.tolerations import Toleration
from components.domain.pods.pod_paths import (
    COMPILE_CACHE_PATH,
    HOME_PATH,
    MODEL_CACHE_PATH,
    PROBE_PATH,
    PROMPTS_PATH,
    SHARED_MEMORY_PATH,
    TEMPORARY_PATH,
)
from components.domain.pods.pod_times import LIVENESS_TIMEOUT_SECONDS, READINESS_FAILURES, STARTUP_TIMEOUT_SECONDS
from components.resources.serve_command import serve_arguments, serve_environment

PROBE_FILE = "readiness_probe.py"
# vLLM requires this key from every caller of /v1, including the readiness probe.
API_KEY_VARIABLE = "VLLM_API_KEY"
# The image's own user is root; any other id works.
_USER_ID = 2000
# Share of a node's root volume for the system and the image; the rest is for weights.
_SYSTEM_GIB = 30
# Limit for compiled kernels and other files: a pod that writes too much is evicted before it fills its node.
_SCRATCH_GIB = 10


@dataclass(frozen=True, kw_only=True)
class PodSubject:
    """What the pods belong to: one colour of one service, with its release and ConfigMaps."""

    service: str
    color: Color
    release: Release
    prompts_config_map: str
    prompts_hash: str
    probe_config_map: str


def pod_template(subject: PodSubject, settings: ServiceSettings) -> core.PodTemplateSpecArgs:
    """Return the pod template. It depends on the release and on the service's sizes and times, never on its traffic."""
    labels = pod_labels(subject.service, subject.color)
    return core.PodTemplateSpecArgs(
        metadata=meta.ObjectMetaArgs(
            labels={**labels, RELEASE_KEY: subject.release.release_id},
            annotations={PROMPTS_HASH_KEY: subject.prompts_hash, **_annotations_for_autoscalers(settings)},
        ),
        spec=core.PodSpecArgs(
            containers=[_container(subject, settings)],
            # A pod is ready only when the load balancer's health check has passed too.
            readiness_gates=[
                core.PodReadinessGateArgs(condition_type=readiness_gate(subject.service, subject.color)),
            ],
            termination_grace_period_seconds=settings.drain_chain.grace_period_seconds,
            node_selector=settings.node_selector(subject.service, subject.color),
            tolerations=[_toleration(one) for one in settings.tolerations],
            topology_spread_constraints=[
                core.TopologySpreadConstraintArgs(
                    topology_key=topology_key,
                    max_skew=1,
                    when_unsatisfiable="ScheduleAnyway",
                    label_selector=meta.LabelSelectorArgs(match_labels=labels),
                    match_label_keys=["pod-template-hash"],
                )
                for topology_key in settings.topology
            ],
            volumes=_volumes(subject, settings),
            security_context=core.PodSecurityContextArgs(
                run_as_non_root=True,
                run_as_user=_USER_ID,
                run_as_group=_USER_ID,
                fs_group=_USER_ID,
                # A shared cache has many files; their owners need to be set only in a new volume.
                fs_group_change_policy="OnRootMismatch",
                seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
            ),
            service_account_name=settings.pods.service_account_name,
            # Access to AWS needs no token of Kubernetes' own: EKS mounts one for AWS.
            automount_service_account_token=False,
            image_pull_secrets=[core.LocalObjectReferenceArgs(name=name) for name in settings.pods.image_pull_secrets]
            or None,
            priority_class_name=settings.pods.priority_class_name,
            # For a Service named vllm, service links would set VLLM_PORT, which vLLM reads as its own setting.
            # https://docs.vllm.ai/en/latest/configuration/env_vars/
            enable_service_links=False,
        ),
    )


def _annotations_for_autoscalers(settings: ServiceSettings) -> dict[str, str]:
    """Return the annotations that keep autoscalers from moving pods, where others bring the nodes.

    Every pod has them for its whole life: a change of the template would replace all pods of a colour. A colour whose
    pods may go is parked, and then it has none.
    """
    return {} if settings.declares_nodes else {DO_NOT_DISRUPT_KEY: "true", SAFE_TO_EVICT_KEY: "false"}


def _toleration(one: Toleration) -> core.TolerationArgs:
    operator = "Exists" if one.value is None else "Equal"
    return core.TolerationArgs(key=one.key, operator=operator, value=one.value, effect=one.effect)


def _container(subject: PodSubject, settings: ServiceSettings) -> core.ContainerArgs:
    gpus = {GPU_RESOURCE: str(settings.gpus_per_replica)}
    times = settings.pod_times
    return core.ContainerArgs(
        name=CONTAINER_NAME,
        image=subject.release.image,
        command=["vllm", "serve"],
        args=serve_arguments(
            subject.release,
            color=subject.color,
            served_model_name=settings.model_name(subject.service),
            gpus_per_replica=settings.gpus_per_replica,
            drain_chain=settings.drain_chain,
        ),
        env=[
            core.EnvVarArgs(
                name="POD_IP",
                value_from=core.EnvVarSourceArgs(field_ref=core.ObjectFieldSelectorArgs(field_path="status.podIP")),
            ),
            *(
                core.EnvVarArgs(name=name, value=value)
                for name, value in serve_environment(subject.release, settings.drain_chain, times).items()
            ),
            *_secret_variables(settings),
        ],
        ports=[core.ContainerPortArgs(name=PORT_NAME, container_port=PORT, protocol="TCP")],
        resources=core.ResourceRequirementsArgs(
            requests={
                "cpu": f"{settings.replica_millicpus}m",
                "memory": f"{settings.shape(subject.color).memory_mib}Mi",
                **gpus,
            },
            limits={"memory": f"{settings.memory_limit_mib(subject.color)}Mi", **gpus},
        ),
        volume_mounts=[
            core.VolumeMountArgs(name="prompts", mount_path=PROMPTS_PATH, read_only=True),
            core.VolumeMountArgs(name="probe", mount_path=PROBE_PATH, read_only=True),
            core.VolumeMountArgs(name="model-cache", mount_path=MODEL_CACHE_PATH),
            core.VolumeMountArgs(name="compile-cache", mount_path=COMPILE_CACHE_PATH),
            core.VolumeMountArgs(name="home", mount_path=HOME_PATH),
            core.VolumeMountArgs(name="temporary", mount_path=TEMPORARY_PATH),
            core.VolumeMountArgs(name="shared-memory", mount_path=SHARED_MEMORY_PATH),
            *(
                core.VolumeMountArgs(name=f"extra-{number}", mount_path=volume.mount_path, read_only=True)
                for number, volume in enumerate(settings.pods.volumes)
            ),
        ],
        startup_probe=core.ProbeArgs(
            http_get=_health(),
            period_seconds=times.period_seconds,
            timeout_seconds=STARTUP_TIMEOUT_SECONDS,
            failure_threshold=times.startup_failures,
            termination_grace_period_seconds=times.dead_grace_period_seconds,
        ),
        readiness_probe=core.ProbeArgs(
            exec_=core.ExecActionArgs(command=_readiness_command(subject, settings)),
            period_seconds=times.period_seconds,
            timeout_seconds=times.readiness_timeout_seconds,
            failure_threshold=READINESS_FAILURES,
        ),
        # A restart costs a cold start, so only a dead engine is restarted, never one that is busy and slow.
        liveness_probe=core.ProbeArgs(
            http_get=_health(),
            period_seconds=times.period_seconds,
            timeout_seconds=LIVENESS_TIMEOUT_SECONDS,
            failure_threshold=times.liveness_failures,
            termination_grace_period_seconds=times.dead_grace_period_seconds,
        ),
        lifecycle=core.LifecycleArgs(
            # Requests still arrive until the load balancer has deregistered the target; only then may the server stop.
            pre_stop=core.LifecycleHandlerArgs(
                sleep=core.SleepActionArgs(seconds=settings.drain_chain.pre_stop_seconds)
            )
        ),
        # The end of the log becomes the reason of a crash, which the scripts show.
        # https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
        termination_message_policy="FallbackToLogsOnError",
        security_context=core.SecurityContextArgs(
            allow_privilege_escalation=False,
            capabilities=core.CapabilitiesArgs(drop=["ALL"]),
            # The user can write only to /tmp in the image, and /tmp is a volume here, so nothing needs a writable root.
            read_only_root_filesystem=True,
        ),
    )


def _volumes(subject: PodSubject, settings: ServiceSettings) -> list[core.VolumeArgs]:
    return [
        core.VolumeArgs(name="prompts", config_map=core.ConfigMapVolumeSourceArgs(name=subject.prompts_config_map)),
        core.VolumeArgs(name="probe", config_map=core.ConfigMapVolumeSourceArgs(name=subject.probe_config_map)),
        # Volumes outlive a restart of the container, so a pod fetches weights and compiles kernels only once.
        _cache("model-cache", settings.pods.model_cache_claim, _weights_gib(settings, subject.color)),
        _cache("compile-cache", settings.pods.compile_cache_claim, _SCRATCH_GIB),
        _cache("home", None, _SCRATCH_GIB),
        _cache("temporary", None, _SCRATCH_GIB),
        # Tensor-parallel workers communicate through it; the default of 64 MiB is too small.
        # https://docs.vllm.ai/en/latest/deployment/k8s/
        core.VolumeArgs(
            name="shared-memory",
            empty_dir=core.EmptyDirVolumeSourceArgs(medium="Memory", size_limit=f"{settings.shared_memory_gib}Gi"),
        ),
        *(_extra_volume(f"extra-{number}", volume) for number, volume in enumerate(settings.pods.volumes)),
    ]


def _extra_volume(name: str, volume: PodVolume) -> core.VolumeArgs:
    if volume.claim is not None:
        source = core.PersistentVolumeClaimVolumeSourceArgs(claim_name=volume.claim, read_only=True)
        return core.VolumeArgs(name=name, persistent_volume_claim=source)
    if volume.config_map is not None:
        return core.VolumeArgs(name=name, config_map=core.ConfigMapVolumeSourceArgs(name=volume.config_map))
    return core.VolumeArgs(name=name, secret=core.SecretVolumeSourceArgs(secret_name=volume.secret))


def _health() -> core.HTTPGetActionArgs:
    return core.HTTPGetActionArgs(path="/health", port=PORT_NAME, scheme="HTTP")


def _cache(name: str, claim: str | None, limit_gib: int) -> core.VolumeArgs:
    if claim is not None:
        source = core.PersistentVolumeClaimVolumeSourceArgs(claim_name=claim)
        return core.VolumeArgs(name=name, persistent_volume_claim=source)
    return core.VolumeArgs(name=name, empty_dir=core.EmptyDirVolumeSourceArgs(size_limit=f"{limit_gib}Gi"))


def _weights_gib(settings: ServiceSettings, color: Color) -> int:
    """Return an even share of the node's volume; a larger limit would let one replica fill the disk."""
    return max((settings.root_volume_gib - _SYSTEM_GIB) // settings.replicas_per_node(color), 1)


def _secret_variables(settings: ServiceSettings) -> Iterator[core.EnvVarArgs]:
    """Yield the variables that the kubelet reads from Secrets at a pod's start; a new value needs new pods."""
    references = {API_KEY_VARIABLE: settings.pods.api_key_secret, "HF_TOKEN": settings.pods.hub_token_secret}
    for name, reference in references.items():
        if reference is not None:
            yield core.EnvVarArgs(name=name, value_from=_from_secret(reference))


def _from_secret(reference: SecretReference) -> core.EnvVarSourceArgs:
    return core.EnvVarSourceArgs(secret_key_ref=core.SecretKeySelectorArgs(name=reference.name, key=reference.key))


def _readiness_command(subject: PodSubject, settings: ServiceSettings) -> list[str]:
    return [
        "python3",
        "-I",
        f"{PROBE_PATH}/{PROBE_FILE}",
        f"--served-model-name={settings.model_name(subject.service)}",
        f"--model={subject.release.model}",
        f"--port={PORT}",
        f"--threshold-seconds={settings.readiness_threshold_seconds}",
    ]
