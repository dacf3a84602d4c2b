"""The conditions for starting a rollout that can be decided from values alone. Pure: ``preflight.py`` asks."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from components.config.sections.pod_settings import SecretReference
from components.config.settings import ServiceSettings
from components.domain.balancer.listener_rules import MAX_RULES, RULES_GUIDE
from components.domain.moments import format_rfc3339
from components.domain.naming import COLORS
from rollout.model.counts import counts_text
from rollout.model.nodes import BoundPod, Node
from rollout.model.plan import Plan
from rollout.model.records import DrillHistory
from rollout.model.rule import ListenerRules, LiveRule
from rollout.model.verdict import TargetHealth
from rollout.statistics.measurements import SLICED_COUNTERS, Counters, Series
from rollout.steps.drift import config_drift

# The label that the controller's Helm chart and its manifests give its pods.
# https://github.com/kubernetes-sigs/aws-load-balancer-controller/blob/main/helm/aws-load-balancer-controller/templates/_helpers.tpl
_CONTROLLER: Final = ("app.kubernetes.io/name", "aws-load-balancer-controller")
_CONTROLLER_GUIDE: Final = "https://docs.aws.amazon.com/eks/latest/userguide/aws-load-balancer-controller.html"
_PLUGIN_GUIDE: Final = "https://github.com/NVIDIA/k8s-device-plugin"
# NVIDIA's operator starts the device plugin once a node has a GPU.
_OPERATOR: Final = "/gpu-operator:"


def secret_violations(
    field: str, reference: SecretReference, keys: frozenset[str] | None, namespace: str
) -> Iterator[str]:
    """Yield what is missing in a Secret that pods refer to. ``keys`` is None when there is no such Secret."""
    if keys is None:
        yield (
            f"{field}.name: namespace {namespace} has no Secret {reference.name}; create it: `kubectl create secret "
            f"generic {reference.name} --namespace {namespace} --from-file={reference.key}=<file>`"
        )
    elif reference.key not in keys:
        known = ", ".join(sorted(keys)) or "none"
        have = f"Secret {reference.name} of namespace {namespace}"
        yield f"{field}.key: {have} has no key {reference.key}; it has {known}. Add it, or set another key"


def preflight_violations(
    *,
    plan: Plan,
    settings: ServiceSettings,
    rule: LiveRule,
    outgoing: TargetHealth,
    idle_timeout_seconds: int,
    now: datetime,
) -> tuple[str, ...]:
    """Return every reason not to start, each with its fix."""
    active, candidate = settings.active_color, plan.candidate
    violations: list[str] = []
    if not settings.color(active).serves:
        violations.append(
            f"{active}: is the active colour but serves nothing; the first release of a stack is deployed with "
            f"`pulumi up` after setting {active}.release"
        )
    elif outgoing.healthy == 0:
        violations.append(
            f"{active}: serves all traffic but has no healthy target ({counts_text(outgoing.states)}); fix it first"
        )
    if not rule.splits(plan.initial_green_weight) or rule.cohorts_on(candidate):
        violations.append(
            f"green_weight: the live rule {rule}, but a rollout onto {candidate} starts from {plan.initial_routing}; "
            f"run scripts.rollback to put all traffic on {active}"
        )
    violations += reservation_violations(settings, now)
    violations += config_drift(settings, rule)
    violations += idle_timeout_violations(settings, idle_timeout_seconds)
    if settings.color(candidate).serves and (until := keep_warm_until(settings, now)):
        violations.append(
            f"keep_until: {candidate} is kept warm until {format_rfc3339(until)} as the way back; wait, or give up the "
            "way back: scripts.keep --until +1m --shorten <reason>. By hand: set keep_until to "
            f'"" and announced to "{settings.rollout_serial} <reason>", and `pulumi up`'
        )
    return tuple(violations)


def idle_timeout_violations(settings: ServiceSettings, idle_timeout_seconds: int) -> Iterator[str]:
    """Yield a violation if the load balancer ends silent connections before requests end, or after the pods do."""
    needed, kept = settings.required_idle_timeout_seconds, settings.drain_chain.keep_alive_seconds
    joined = settings.listener is not None
    where = "listener.idle_timeout_seconds" if joined else "max_stream_seconds"
    if idle_timeout_seconds < needed:
        fix = "have its owner raise it, or lower max_stream_seconds" if joined else "run `pulumi up` to restore it"
        yield (
            f"{where}: the load balancer ends connections that are silent for {idle_timeout_seconds} s, but requests "
            f"need {needed} s; {fix}"
        )
    elif idle_timeout_seconds >= kept:
        fix = f"set it to {idle_timeout_seconds} and run `pulumi up`" if joined else "run `pulumi up` to restore it"
        yield (
            f"{where}: the load balancer reuses connections for {idle_timeout_seconds} s, but the pods end them after "
            f"{kept} s, which users see as 502; {fix}"
        )


def reservation_violations(settings: ServiceSettings, now: datetime) -> Iterator[str]:
    """Yield the colours whose capacity block ends before the keep-warm window that a promotion would open.

    https://docs.aws.amazon.com/eks/latest/userguide/capacity-blocks-mng.html
    """
    holds_seconds = sum(step.hold_seconds for step in settings.rollout.steps)
    kept_until = (now + timedelta(seconds=holds_seconds + settings.rollout.keep_warm_seconds)).replace(microsecond=0)
    for color in COLORS:
        reservation = settings.color(color).reservation
        if reservation is not None and not reservation.outlasts(kept_until):
            yield (
                f"{color}.reservation.ends: is {format_rfc3339(reservation.ends)}, and EKS removes a block's nodes 40 "
                f"minutes before; a promotion would keep both colours at least until {format_rfc3339(kept_until)}. Use "
                "a block that ends later, or shorten rollout.keep_warm_seconds"
            )


def keep_warm_until(settings: ServiceSettings, now: datetime) -> datetime | None:
    """Return when the idle colour's keep-warm window ends. None when it has ended or there is none."""
    until = settings.keep_until
    return until if until is not None and until > now else None


def drill_violations(max_age_days: float | None, drills: DrillHistory, now: datetime) -> tuple[str, ...]:
    """Return why a rollout must wait for a drill. Empty when no drill is required, or none was possible yet."""
    if max_age_days is None or not drills.promoted:
        return ()
    if drills.last is not None and now - drills.last <= timedelta(days=max_age_days):
        return ()
    latest = "there was none" if drills.last is None else f"the last one was at {format_rfc3339(drills.last)}"
    return (
        f"rollout.drill_max_age_days: requires a rollback drill within {max_age_days:g} days, but {latest}; run "
        "scripts.drill while the idle colour is kept warm, or raise the limit",
    )


def controller_violations(pods: Sequence[BoundPod]) -> Iterator[str]:
    """Yield a violation if no pod of the cluster is the AWS Load Balancer Controller."""
    if not _controllers(pods):
        yield (
            f"the cluster runs no AWS Load Balancer Controller: no pod has the label {'='.join(_CONTROLLER)}. Without "
            f"it no pod becomes a target, and `pulumi up` waits for pods that never become ready. Install it: "
            f"{_CONTROLLER_GUIDE}"
        )


def controller_versions(pods: Sequence[BoundPod]) -> Iterator[str]:
    """Yield the versions of the AWS Load Balancer Controller, by the tags of its images."""
    images = {image for pod in _controllers(pods) for image in pod.images}
    yield from sorted(found[1] for image in images if (found := re.search(r":(v?\d[\w.-]*)$", image)))


def _controllers(pods: Sequence[BoundPod]) -> list[BoundPod]:
    label, name = _CONTROLLER
    return [pod for pod in pods if pod.labels.get(label) == name]


def needs_device_plugin(settings: ServiceSettings, nodes: Sequence[Node], pods: Sequence[BoundPod]) -> bool:
    """Return whether something must still make the nodes' GPUs known to Kubernetes.

    Bottlerocket does it itself. So does whatever made the GPUs of other nodes known, and NVIDIA's operator. Whoever
    brings nodes in place of the program sees to it.
    https://bottlerocket.dev/en/os/1.34.x/api/settings/kubelet-device-plugins
    """
    if not settings.declares_nodes:
        return False
    if settings.nodes.is_bottlerocket or any(node.allocatable.gpus for node in nodes):
        return False
    return not any(_OPERATOR in image for pod in pods for image in pod.images)


def plugin_violations(plugins: Sequence[str]) -> Iterator[str]:
    """Yield a violation if no DaemonSet is NVIDIA's device plugin: no node would offer its GPUs."""
    if not plugins:
        yield (
            "the cluster has no NVIDIA device plugin: no DaemonSet has its image (k8s-device-plugin), so nodes offer "
            f"no GPUs, and replicas stay pending. Install it ({_PLUGIN_GUIDE}), or set nodes.ami_type to "
            "BOTTLEROCKET_x86_64_NVIDIA, which has it"
        )


def needed_resources(settings: ServiceSettings) -> Iterator[tuple[str, str, str]]:
    """Yield the types of resources that the program declares and a cluster may lack: version, type, and the fix."""
    yield (
        "elbv2.k8s.aws/v1beta1",
        "targetgroupbindings",
        f"Install the AWS Load Balancer Controller: {_CONTROLLER_GUIDE}",
    )
    if settings.autoscaling is not None:
        yield (
            "keda.sh/v1alpha1",
            "scaledobjects",
            "Install KEDA (https://keda.sh/docs/2.20/deploy/), or remove autoscaling",
        )
    if settings.node_pool is not None:
        yield (
            "karpenter.sh/v1",
            "nodepools",
            "Install Karpenter 1.0 or newer (https://karpenter.sh), or switch EKS Auto Mode on, or name the nodes in "
            "existing_nodes.node_selector",
        )
    if settings.pods.pod_monitor:
        yield (
            "monitoring.coreos.com/v1",
            "podmonitors",
            "Install the Prometheus Operator (https://prometheus-operator.dev), or set pods.pod_monitor to false",
        )


def slice_violations(labels: Mapping[str, str], active: Counters) -> Iterator[str]:
    """Yield the gates whose metric has no such label on the active colour.

    Args:
        labels: the label of each gate that judges slices, by gate.
        active: the active colour's counters. Without data, nothing can be said.
    """
    for gate, label in labels.items():
        metric = SLICED_COUNTERS[gate]
        whole: Series = getattr(active, metric)
        if whole and not any(getattr(one, metric) for one in active.slices.get(label, {}).values()):
            yield (
                f"rollout.gates.{gate}.by: no metric that this gate judges has the label {label} on the active colour. "
                "Set a label that Prometheus shows there (vLLM gives model_name and engine, your scrape config "
                "others), or remove the setting"
            )


def permission_violations(denied: Sequence[str]) -> Iterator[str]:
    """Yield a violation if IAM's simulation denies us actions that the scripts or `pulumi up` call."""
    if denied:
        yield (
            f"IAM does not allow {', '.join(denied)} to whoever runs this, by its simulation. Allow what "
            "docs/permissions.md lists. (The simulation may not know a condition in a policy of your own.)"
        )


def rule_violations(
    settings: ServiceSettings, found: ListenerRules, *, deployed: Collection[str], first: bool
) -> Iterator[str]:
    """Yield why the rules that are still to come do not fit on the listener.

    Args:
        settings: the service's settings.
        found: the rules that there are.
        deployed: the cohorts that have a rule.
        first: whether the weighted rule and the candidate routes are still to come, too.
    """
    cohorts = {cohort.name: cohort.priority for cohort in settings.rollout.cohorts if cohort.name not in deployed}
    own = settings.rule_priorities
    others = {"the weighted rule": own.weighted, **{f"the candidate route of {c}": p for c, p in own.candidate.items()}}
    wanted = {**(others if first else {}), **{f"the cohort {name}": priority for name, priority in cohorts.items()}}
    for whose, priority in wanted.items():
        if priority in found.priorities:
            yield f"priority {priority} of {whose}: another rule of the listener has it already; choose another one"
    if (total := found.on_load_balancer + len(wanted)) > MAX_RULES:
        yield (
            f"rules: the load balancer would have {total}, and AWS allows {MAX_RULES} unless the quota was raised "
            f"({RULES_GUIDE}). Use another load balancer, or fewer cohorts"
        )
