"""Serving: pods are ready only when they answer, are not restarted while busy, and end without dropping a request."""

from collections.abc import Iterator
from typing import Annotated, Final

from pulumi_policy import Severity
from pydantic import Field

from components.domain.naming import COLOR_KEY, SERVICE_KEY, other_color, target_health
from components.domain.pods.drain_chain import EXIT_MARGIN_SECONDS, MAX_GRACE_PERIOD_SECONDS
from components.domain.pods.pod_times import MIN_SILENCE_SECONDS, READINESS_MARGIN_SECONDS
from policies.label_selectors import portion, selects
from policies.pods import Pods, is_vllm, share_namespace, vllm_deployments
from policies.policy import Finding, Options, resource_policy, service_policy, wrong
from policies.resources import (
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    TARGET_GROUP_BINDING,
    Resource,
    at,
    table,
    whole,
)
from policies.scaling import least_replicas
from policies.service import Service

# vLLM's default. With it, vLLM closes every idle connection before the load balancer does.
# https://github.com/vllm-project/vllm/pull/18472
_DEFAULT_KEEP_ALIVE_SECONDS: Final = 5


class StartupOptions(Options):
    """How long a start may take."""

    min_startup_seconds: Annotated[
        int, Field(ge=0, le=86_400, description="Shortest startup time that the probe must allow, in seconds.")
    ] = 0


@resource_policy(
    "serving-startup-probe",
    DEPLOYMENT,
    description="A vLLM pod must have a startup probe that needs an answer of the server, and enough time to start.",
    fix="Set cold_start_seconds to the longest time from a container's start to its first answer.",
    options=StartupOptions,
)
def startup_probe(deployment: Resource, options: StartupOptions) -> Iterator[str]:
    """Without it, the liveness probe restarts a pod that loads weights for minutes, again and again.

    vLLM opens its port long before it can answer, so a probe that only connects ends the start too early.
    """
    if not is_vllm(deployment):
        return
    pods = Pods(deployment)
    probe = pods.probe("startupProbe")
    if probe.asks in (None, "no more than its presence"):
        fix = "Request GET /health, as VllmStack does: the port is open long before the model is loaded."
        yield wrong(deployment, "what the startup probe asks", probe.asks, "an answer of the server", fix)
        return
    given, least = probe.startup_seconds, options.min_startup_seconds
    if given < least:
        fix = "Set cold_start_seconds, or failureThreshold x periodSeconds."
        yield wrong(deployment, "the time to start (s)", given, f"at least {least}", fix)
    if (pods.api_servers or 1) > 1 and pods.engine_ready_seconds < given:
        fix = "Set VLLM_ENGINE_READY_TIMEOUT_S: with several API servers, vLLM exits when it takes longer."
        where = "the time after which vLLM gives up (s)"
        yield wrong(deployment, where, pods.engine_ready_seconds, f"at least {given}, the time to start", fix)
    deadline = _progress_deadline_seconds(deployment)
    if deadline < given:
        fix = "Raise progressDeadlineSeconds: at the deadline, an update fails although its pods may still be starting."
        yield wrong(deployment, "spec.progressDeadlineSeconds", deadline, f"at least {given}, the time to start", fix)


@resource_policy(
    "serving-readiness-answers",
    DEPLOYMENT,
    description="A vLLM pod must be ready only when it answers: its readiness probe must run an inference.",
    fix="Use VllmStack's probe, or an exec probe that requests one token from /v1/completions.",
    severity=Severity.CRITICAL,
)
def readiness_answers(deployment: Resource, _: Options) -> Iterator[str]:
    """When a GPU hangs, the port stays open, and /health, /v1/models and /metrics still answer.

    An exec probe passes this policy if it requests an inference, or if it runs a separate program, such as VllmStack's
    readiness_probe.py: the policy cannot see what a program requests. An exec probe that only connects or looks does
    not pass (nc, pgrep, cat, curl of another path, inline code without an inference). An httpGet probe passes only for
    a path under /v1/ other than /v1/models: vLLM answers no GET there, so a proxy must have been added to run the
    inference.
    """
    if not is_vllm(deployment):
        return
    probe = Pods(deployment).probe("readinessProbe")
    if probe.asks not in ("an inference", "a program"):
        fix = "Use VllmStack's probe, or an exec probe that requests one token from /v1/completions."
        yield wrong(deployment, "what the readiness probe asks", probe.asks, "an inference", fix)
        return
    least = probe.threshold_seconds + READINESS_MARGIN_SECONDS
    if probe.timeout_seconds < least:
        fix = "Raise it: a probe that times out takes busy pods out of service, and the others get their load."
        yield wrong(deployment, "readinessProbe.timeoutSeconds", probe.timeout_seconds, f"at least {least}", fix)


class LivenessOptions(Options):
    """When an engine counts as dead."""

    min_silence_seconds: Annotated[
        int,
        Field(ge=1, le=86_400, description="Shortest time without an answer before a restart, in seconds."),
    ] = MIN_SILENCE_SECONDS


@resource_policy(
    "serving-liveness-spares-the-busy",
    DEPLOYMENT,
    description="A vLLM pod's liveness probe must request /health and be patient: it may restart only a dead engine.",
    fix="Request GET /health; raise failureThreshold x the longer of periodSeconds and timeoutSeconds.",
    options=LivenessOptions,
)
def liveness_spares_the_busy(deployment: Resource, options: LivenessOptions) -> Iterator[str]:
    """A restart costs a cold start and all requests of the pod, and moves its load to other busy pods.

    /health (or /ping, or gRPC's health service) runs no inference and detects a dead engine. A probe that asks for
    more fails under load; a probe that asks for less, such as an open port, never fails.
    """
    if not is_vllm(deployment):
        return
    probe = Pods(deployment).probe("livenessProbe")
    if probe.asks != "the engine's health":
        fix = "Request GET /health: an inference fails on a busy engine, and an open port passes on a dead one."
        yield wrong(deployment, "what the liveness probe asks", probe.asks, "the engine's health", fix)
        return
    silence, least = probe.silence_seconds, options.min_silence_seconds
    if silence < least:
        fix = "Raise failureThreshold, periodSeconds or timeoutSeconds."
        yield wrong(deployment, "the silence before a restart (s)", silence, f"at least {least}", fix)


@resource_policy(
    "serving-readiness-gate",
    DEPLOYMENT,
    description="A vLLM pod must wait for its target to be healthy, with a readiness gate for its TargetGroupBinding.",
    fix="Declare the gate in the pod template: the controller's webhook may be missing without an error.",
)
def readiness_gate(deployment: Resource, _: Options) -> Iterator[str]:
    """Without it, a Deployment replaces its next pod before the load balancer has registered the new one."""
    if not is_vllm(deployment):
        return
    gates = Pods(deployment).readiness_gates
    if not any(str(gate).startswith(target_health("")) for gate in gates):
        must = f"at least {target_health('<TargetGroupBinding>')}"
        yield wrong(deployment, "readinessGates", gates, must, "Name the pods' TargetGroupBinding in a readiness gate.")


@service_policy(
    "serving-readiness-gate-of-its-binding",
    description="A vLLM pod must have a readiness gate for each TargetGroupBinding of its colour.",
    fix="Name the colour's TargetGroupBinding in the pod template's readiness gate.",
)
def readiness_gate_of_its_binding(service: Service, _: Options) -> Iterator[Finding]:
    """A gate for another binding becomes true too early or never. If never, no pod gets ready and the update hangs."""
    for deployment in vllm_deployments(service):
        if deployment.color is None:
            continue
        gates = Pods(deployment).readiness_gates
        for binding in service.of(TARGET_GROUP_BINDING, deployment.color):
            name = binding.get("metadata.name")
            if name is not None and target_health(str(name)) not in gates:
                must = f"{target_health(str(name))} among others"
                fix = f"The pods of TargetGroupBinding {name} must wait for it."
                yield Finding(message=wrong(deployment, "readinessGates", gates, must, fix), resource=deployment)


class DrainOptions(Options):
    """How a pod ends."""

    min_pre_stop_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_GRACE_PERIOD_SECONDS,
            description="Shortest time that a pod must keep serving after its end begins, in seconds.",
        ),
    ] = 1


@resource_policy(
    "serving-drain-chain",
    DEPLOYMENT,
    description="A vLLM pod must end without dropping a request: its preStop sleep and its shutdown timeout must fit "
    "its grace period.",
    fix="Set max_stream_seconds and deregistration_propagation_seconds; the program derives all other times.",
    severity=Severity.CRITICAL,
    options=DrainOptions,
)
def drain_chain(deployment: Resource, options: DrainOptions) -> Iterator[str]:
    """Each step must wait for the one before. vLLM's defaults abort running requests and close connections after 5 s.

    A preStop hook that is neither a sleep nor an exec of a sleep counts as missing, because its duration is unknown.
    """
    if not is_vllm(deployment):
        return
    pods = Pods(deployment)
    pre_stop, shutdown, grace = pods.pre_stop_seconds, pods.shutdown_timeout_seconds, pods.grace_period_seconds
    if (pre_stop or 0) < options.min_pre_stop_seconds:
        fix = "Set deregistration_propagation_seconds: requests still arrive for that long."
        must = f"a sleep of at least {options.min_pre_stop_seconds}"
        yield wrong(deployment, "lifecycle.preStop (s)", pre_stop, must, fix)
    if not shutdown:
        value = pods.arguments.get("--shutdown-timeout")
        fix = "Set max_stream_seconds: without it, running requests are aborted."
        yield wrong(deployment, "--shutdown-timeout", value, "the duration of the longest request in seconds", fix)
    least = (pre_stop or 0) + (shutdown or 0) + EXIT_MARGIN_SECONDS
    if not least <= grace < MAX_GRACE_PERIOD_SECONDS:
        must = f"from {least} (preStop + --shutdown-timeout + {EXIT_MARGIN_SECONDS}) to {MAX_GRACE_PERIOD_SECONDS - 1}"
        fix = "Set max_stream_seconds, which determines it; EKS ends a node 15 minutes after its drain begins."
        yield wrong(deployment, "terminationGracePeriodSeconds", grace, must, fix)
    keep_alive = pods.keep_alive_seconds
    if (keep_alive or 0) <= _DEFAULT_KEEP_ALIVE_SECONDS:
        fix = "Make it longer than the load balancer's idle timeout, or vLLM closes connections that are still in use."
        must = f"more than vLLM's default of {_DEFAULT_KEEP_ALIVE_SECONDS} s"
        yield wrong(deployment, "VLLM_HTTP_TIMEOUT_KEEP_ALIVE", keep_alive, must, fix)


class SurgeOptions(Options):
    """How many pods an update may add and remove."""

    max_surge_pods: Annotated[
        int, Field(ge=0, le=1000, description="Pods that an update may add; at most the number of spare places.")
    ] = 0
    max_unavailable_pods: Annotated[
        int, Field(ge=1, le=1000, description="Pods that an update may take out of service at once.")
    ] = 1


@resource_policy(
    "serving-no-surge",
    DEPLOYMENT,
    description="An update of vLLM pods must replace one pod at a time, without extra GPUs.",
    fix="Use RollingUpdate with maxSurge 0 and maxUnavailable 1.",
    options=SurgeOptions,
)
def no_surge(deployment: Resource, options: SurgeOptions) -> Iterator[str]:
    """Kubernetes' defaults add a quarter of the pods, for which there are no GPUs. Recreate ends all pods at once.

    A Deployment without running pods passes with any strategy.
    """
    if not is_vllm(deployment) or not (replicas := Pods(deployment).replicas):
        return
    strategy = table(deployment.get("spec.strategy"))
    if strategy.get("type") == "Recreate":
        fix = "Set it to RollingUpdate: Recreate ends every pod before the first new one starts."
        yield wrong(deployment, "spec.strategy.type", "Recreate", "RollingUpdate while replicas run", fix)
        return
    surge, unavailable = (at(strategy, f"rollingUpdate.{name}") for name in ("maxSurge", "maxUnavailable"))
    surge, unavailable = ("25%" if value is None else value for value in (surge, unavailable))
    for name, value, up, limit in (
        ("maxSurge", surge, True, options.max_surge_pods),
        ("maxUnavailable", unavailable, False, options.max_unavailable_pods),
    ):
        pods = portion(value, replicas, up=up)
        if pods is None or pods > limit:
            fix = "Set maxSurge 0 and maxUnavailable 1; Kubernetes' default is 25% for each."
            where = f"spec.strategy.rollingUpdate.{name}"
            yield wrong(deployment, where, value, f"at most {limit} of {replicas} pods", fix)


class DisruptionOptions(Options):
    """How many pods a node's drain may evict."""

    max_evicted_pods: Annotated[
        int, Field(ge=1, le=1000, description="Pods of one colour that may be evicted at the same time.")
    ] = 1


@service_policy(
    "serving-disruption-budget",
    description="Each running colour must have its own PodDisruptionBudget, which allows one eviction at a time.",
    fix="Declare a PodDisruptionBudget with the colour's pod labels and maxUnavailable 1 (0 for a single replica).",
    options=DisruptionOptions,
)
def disruption_budget(service: Service, options: DisruptionOptions) -> Iterator[Finding]:
    """Without a budget, a node upgrade may evict a whole colour at once. With two budgets, Kubernetes evicts no pod."""
    deployments = [(deployment, Pods(deployment)) for deployment in vllm_deployments(service)]
    for deployment, pods in deployments:
        replicas = least_replicas(service, pods)
        if not replicas:
            continue
        budgets = [
            one
            for one in service.of(DISRUPTION_BUDGET)
            if one.get("spec.selector") is not None
            and selects(one.get("spec.selector"), pods.labels)
            and share_namespace(one, deployment)
        ]
        if len(budgets) != 1:
            names = [budget.name for budget in budgets]
            fix = "Declare one with the colour's pod labels in its selector, and label it with the service."
            message = wrong(deployment, "its PodDisruptionBudgets", names, "one", fix)
            yield Finding(message=message, resource=deployment)
        for budget in budgets:
            others = [one.name for one, theirs in deployments if one is not deployment and _covers(budget, one, theirs)]
            if others:
                fix = (
                    "Add the colour to its selector: a budget for both colours may allow evictions of all pods of one."
                )
                message = wrong(budget, "spec.selector", [deployment.name, *others], "for one colour's pods", fix)
                yield Finding(message=message, resource=budget)
            most = min(options.max_evicted_pods, replicas - 1)
            evicted = _evicted(budget, replicas)
            if evicted is None or evicted > most:
                fix = f"Set maxUnavailable to {most}, and no minAvailable."
                must = f"at most {most} of {replicas}"
                message = wrong(budget, "the number of pods that may be evicted at once", evicted, must, fix)
                yield Finding(message=message, resource=budget)


@resource_policy(
    "serving-colors-named",
    DEPLOYMENT,
    description="A vLLM Deployment must name its service and colour in its labels, its pods' labels and its selector.",
    fix="Label it, or exempt it if it is not part of a blue/green service.",
)
def colors_named(deployment: Resource, _: Options) -> Iterator[str]:
    """Policies on services do not see unlabelled Deployments. A selector without these labels adopts other pods."""
    if not is_vllm(deployment):
        return
    fix = "Label it as VllmStack does, or exempt it if it is not part of a blue/green service."
    if deployment.service is None or deployment.color is None:
        labels = [deployment.service or "no service", deployment.marks.get(COLOR_KEY) or "no colour"]
        yield wrong(deployment, "metadata.labels", labels, f"a {SERVICE_KEY}, and blue or green as {COLOR_KEY}", fix)
        return
    names = {SERVICE_KEY: deployment.service, COLOR_KEY: deployment.color}
    labels = {key: Pods(deployment).labels.get(key) for key in names}
    if labels != names:
        must = f"{deployment.service}, {deployment.color}, as on the Deployment"
        yield wrong(deployment, "service and colour on its pods", [*labels.values()], must, fix)
        return
    pods, selector = Pods(deployment).labels, deployment.get("spec.selector")
    others = ({COLOR_KEY: other_color(deployment.color)}, {SERVICE_KEY: f"not-{deployment.service}"})
    if any(selects(selector, {**pods, **other}) for other in others):
        must = f"on {SERVICE_KEY} and {COLOR_KEY}, or it adopts other pods"
        yield wrong(deployment, "spec.selector", [*table(at(selector, "matchLabels"))], must, fix)


def _covers(budget: Resource, deployment: Resource, pods: Pods) -> bool:
    return selects(budget.get("spec.selector"), pods.labels) and share_namespace(budget, deployment)


def _progress_deadline_seconds(deployment: Resource) -> int:
    """Return after how many seconds Kubernetes gives up on an update; the default is ten minutes."""
    return whole(deployment.get("spec.progressDeadlineSeconds")) or 600


def _evicted(budget: Resource, replicas: int) -> int | None:
    """Return how many pods a budget allows to be evicted at once; all when it sets no limit."""
    most, least = budget.get("spec.maxUnavailable"), budget.get("spec.minAvailable")
    if most is not None:
        return portion(most, replicas, up=True)
    kept = 0 if least is None else portion(least, replicas, up=True)
    return None if kept is None else max(replicas - kept, 0)
