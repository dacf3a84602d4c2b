"""The pods of one colour: one vLLM container, ready only when it answers, gone only when it is empty."""

import math
from dataclasses import dataclass

from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from components.naming import (
    CONTAINER_NAME,
    GPU_RESOURCE,
    PORT,
    PORT_NAME,
    PROMPTS_HASH_KEY,
    RELEASE_KEY,
    Color,
    pod_labels,
    pool_labels,
    readiness_gate,
)
from components.release import Release
from components.serve_command import CACHE_PATH, PROMPTS_PATH, serve_arguments, serve_environment
from components.service_settings import ServiceSettings

PROBE_PATH = "/etc/vllm-probe"
PROBE_FILE = "readiness_probe.py"
# The image's own user is root; any other number will do.
_USER_ID = 2000
# A start that takes half as long again as it should is still better left alone than begun anew.
_STARTUP_MARGIN = 1.5
_HTTP_TIMEOUT_SECONDS = 5
# Beyond the inference: the interpreter's start and one look at the metrics.
_PROBE_MARGIN_SECONDS = 3
_LIVENESS_FAILURES = 6


@dataclass(frozen=True, kw_only=True)
class PodSubject:
    """Whose pods: one colour of one service, with what it serves and the ConfigMaps that go with it."""

    service: str
    color: Color
    release: Release
    prompts_config_map: str
    prompts_hash: str
    probe_config_map: str


def startup_seconds(settings: ServiceSettings) -> int:
    """Return how long a container may take until its first answer before Kubernetes starts it again."""
    return _startup_failures(settings) * settings.probe_period_seconds


def pod_template(subject: PodSubject, settings: ServiceSettings) -> core.PodTemplateSpecArgs:
    """Return the template; it depends on the release and on the service's sizes and times, never on its traffic."""
    labels = pod_labels(subject.service, subject.color)
    return core.PodTemplateSpecArgs(
        metadata=meta.ObjectMetaArgs(
            labels={**labels, RELEASE_KEY: subject.release.release_id},
            annotations={PROMPTS_HASH_KEY: subject.prompts_hash},
        ),
        spec=core.PodSpecArgs(
            containers=[_container(subject, settings)],
            # Ready means more than the container's word: the load balancer must have seen it healthy, too.
            readiness_gates=[
                core.PodReadinessGateArgs(condition_type=readiness_gate(subject.service, subject.color)),
            ],
            termination_grace_period_seconds=settings.drain_chain.grace_period_seconds,
            node_selector=pool_labels(subject.service, None if settings.shares_nodes else subject.color),
            tolerations=[core.TolerationArgs(key=GPU_RESOURCE, operator="Exists", effect="NoSchedule")],
            topology_spread_constraints=[
                core.TopologySpreadConstraintArgs(
                    topology_key=topology_key,
                    max_skew=1,
                    when_unsatisfiable="ScheduleAnyway",
                    label_selector=meta.LabelSelectorArgs(match_labels=labels),
                    match_label_keys=["pod-template-hash"],
                )
                for topology_key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
            ],
            volumes=_volumes(subject, settings),
            security_context=core.PodSecurityContextArgs(
                run_as_non_root=True,
                run_as_user=_USER_ID,
                run_as_group=_USER_ID,
                fs_group=_USER_ID,
                seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
            ),
            automount_service_account_token=False,
            # The links of a Service called vllm would set VLLM_PORT, which vLLM takes for its own.
            enable_service_links=False,
        ),
    )


def _container(subject: PodSubject, settings: ServiceSettings) -> core.ContainerArgs:
    gpus = {GPU_RESOURCE: str(settings.gpus_per_replica)}
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
                for name, value in serve_environment(settings.drain_chain).items()
            ),
        ],
        ports=[core.ContainerPortArgs(name=PORT_NAME, container_port=PORT, protocol="TCP")],
        resources=core.ResourceRequirementsArgs(
            requests={
                "cpu": f"{settings.replica_millicpus}m",
                "memory": f"{settings.replica_memory_mib}Mi",
                **gpus,
            },
            limits=gpus,
        ),
        volume_mounts=[
            core.VolumeMountArgs(name="prompts", mount_path=PROMPTS_PATH, read_only=True),
            core.VolumeMountArgs(name="probe", mount_path=PROBE_PATH, read_only=True),
            core.VolumeMountArgs(name="cache", mount_path=CACHE_PATH),
            core.VolumeMountArgs(name="shared-memory", mount_path="/dev/shm"),
        ],
        startup_probe=core.ProbeArgs(
            http_get=_health(),
            period_seconds=settings.probe_period_seconds,
            timeout_seconds=_HTTP_TIMEOUT_SECONDS,
            failure_threshold=_startup_failures(settings),
        ),
        readiness_probe=core.ProbeArgs(
            exec_=core.ExecActionArgs(command=_readiness_command(subject, settings)),
            period_seconds=settings.probe_period_seconds,
            timeout_seconds=settings.readiness_threshold_seconds + _PROBE_MARGIN_SECONDS,
            failure_threshold=3,
        ),
        # Only a dead engine is worth a restart, which costs a cold start: a slow one is not.
        liveness_probe=core.ProbeArgs(
            http_get=_health(),
            period_seconds=settings.probe_period_seconds,
            timeout_seconds=2 * _HTTP_TIMEOUT_SECONDS,
            failure_threshold=_LIVENESS_FAILURES,
        ),
        lifecycle=core.LifecycleArgs(
            # Requests still arrive while the load balancer forgets the target; only then may the server stop.
            pre_stop=core.LifecycleHandlerArgs(
                sleep=core.SleepActionArgs(seconds=settings.drain_chain.pre_stop_seconds)
            )
        ),
        security_context=core.SecurityContextArgs(
            allow_privilege_escalation=False, capabilities=core.CapabilitiesArgs(drop=["ALL"])
        ),
    )


def _volumes(subject: PodSubject, settings: ServiceSettings) -> list[core.VolumeArgs]:
    return [
        core.VolumeArgs(name="prompts", config_map=core.ConfigMapVolumeSourceArgs(name=subject.prompts_config_map)),
        core.VolumeArgs(name="probe", config_map=core.ConfigMapVolumeSourceArgs(name=subject.probe_config_map)),
        # Outlives a restart of the container, so weights and compiled kernels are fetched once a pod.
        core.VolumeArgs(name="cache", empty_dir=core.EmptyDirVolumeSourceArgs()),
        # Tensor-parallel workers talk through it; the default of 64 MiB is too small.
        core.VolumeArgs(
            name="shared-memory",
            empty_dir=core.EmptyDirVolumeSourceArgs(medium="Memory", size_limit=f"{settings.shared_memory_gib}Gi"),
        ),
    ]


def _health() -> core.HTTPGetActionArgs:
    return core.HTTPGetActionArgs(path="/health", port=PORT_NAME, scheme="HTTP")


def _startup_failures(settings: ServiceSettings) -> int:
    return math.ceil(settings.cold_start_seconds * _STARTUP_MARGIN / settings.probe_period_seconds)


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
