"""Preflight: the conditions for starting a rollout. All violations are reported together."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final, TypeVar

from components.config.pod_settings import SecretReference
from components.config.reservation import Reservation
from components.config.settings import ServiceSettings
from components.domain.moments import format_rfc3339
from components.domain.naming import COLORS, Color
from rollout.model.changes import unlike_candidate_change
from rollout.model.nodes import VPC_CNI_ACCOUNT, VPC_CNI_NAMESPACE
from rollout.model.plan import Plan
from rollout.model.records import DrillHistory, Note
from rollout.model.rule import LiveRule
from rollout.model.verdict import TargetHealth
from rollout.ports import Account, Cluster, Ports
from rollout.steps.account import (
    address_violations,
    cni_violations,
    credential_violations,
    credential_warnings,
    key_violations,
    key_warnings,
    quota_of,
    quota_violations,
    reservation_state_violations,
    subnet_ids_of,
    zone_violations,
    zone_warnings,
)
from rollout.steps.drift import config_drift, state_drift
from rollout.steps.scheduling import nodes_to_come, scheduling_violations, weight_violations
from rollout.system.failures import describe_error

METRICS_WINDOW: Final = timedelta(minutes=5)

_T = TypeVar("_T")


class Questions:
    """Asks questions, and records those that got no answer: missing data is never a pass."""

    def __init__(self) -> None:
        """Start without questions."""
        self.unanswered: list[str] = []

    def ask(self, question: Callable[[], _T]) -> _T | None:
        """Return the answer. None when the question fails; the failure is recorded.

        Raises:
            StoppedError: the rollout was asked to stop.
        """
        try:
            return question()
        except Exception as error:
            self.unanswered.append(describe_error(error))
            return None


def preflight(ports: Ports, plan: Plan, service: str) -> tuple[str, ...]:
    """Check everything that a rollout depends on, and return every reason not to start."""
    settings, questions = ports.config.read(), Questions()
    violations = [
        *_credential_violations(ports, plan, questions),
        *_traffic_violations(ports, plan, service, settings, questions),
        *weight_violations(settings, plan),
        *_drill_violations(ports, settings, questions),
        *_capacity_violations(ports, plan, service, settings, questions),
        *_start_violations(ports, plan, settings, questions),
        *_reference_violations(ports.cluster, settings, service, questions),
        *_plan_violations(ports, plan, service, questions),
    ]
    for question in _later_questions(ports, settings, plan):
        questions.ask(question)
    return tuple(dict.fromkeys((*violations, *questions.unanswered)))


def _credential_violations(ports: Ports, plan: Plan, questions: Questions) -> Iterator[str]:
    credentials = questions.ask(ports.account.credentials)
    if credentials is not None:
        yield from credential_violations(credentials, plan, ports.clock.now())
        _warn(ports, credential_warnings(credentials))


def _plan_violations(ports: Ports, plan: Plan, service: str, questions: Questions) -> Iterator[str]:
    """Yield a violation if a preview contains changes besides the candidate's. Weight steps are not previewed later."""
    planned = questions.ask(lambda: ports.stack.preview(f"{service}: what a rollout onto {plan.candidate} would find"))
    foreign = () if planned is None else unlike_candidate_change(planned.changes, service=service, color=plan.candidate)
    if foreign:
        yield (
            f"the preview contains changes besides {plan.candidate} and the rule's tags: {'; '.join(foreign)}. "
            "Somebody changed the program, the config or the infrastructure; bring them in line and try again"
        )


def _drill_violations(ports: Ports, settings: ServiceSettings, questions: Questions) -> tuple[str, ...]:
    max_age_days = settings.rollout.drill_max_age_days
    drills = None if max_age_days is None else questions.ask(ports.drills)
    return () if drills is None else drill_violations(max_age_days, drills, ports.clock.now())


def _traffic_violations(
    ports: Ports, plan: Plan, service: str, settings: ServiceSettings, questions: Questions
) -> Iterator[str]:
    rule = questions.ask(ports.load_balancer.rule)
    outgoing = questions.ask(lambda: ports.load_balancer.health(plan.outgoing))
    idle_timeout = questions.ask(ports.load_balancer.idle_timeout_seconds)
    states = questions.ask(lambda: (ports.stack.rule_in_state(service),))
    if rule is None:
        return
    if outgoing is not None and idle_timeout is not None:
        yield from preflight_violations(
            plan=plan,
            settings=settings,
            rule=rule,
            outgoing=outgoing,
            idle_timeout_seconds=idle_timeout,
            now=ports.clock.now(),
        )
    if states is not None:
        yield from state_drift(rule, *states)


def _capacity_violations(
    ports: Ports, plan: Plan, service: str, settings: ServiceSettings, questions: Questions
) -> Iterator[str]:
    candidate, account = plan.candidate, ports.account
    nodes, pods = questions.ask(ports.cluster.nodes), questions.ask(ports.cluster.bound_pods)
    if nodes is not None and pods is not None:
        yield from scheduling_violations(settings, service, candidate, nodes=nodes, pods=pods)
    declared = settings.color(candidate).reservation
    subnets = questions.ask(lambda: account.subnets(subnet_ids_of(settings, candidate)))
    reservations = questions.ask(account.reservations)
    if subnets is not None:
        yield from address_violations(settings, candidate, subnets)
        zones = questions.ask(ports.load_balancer.zones)
        yield from () if zones is None else zone_violations(settings, candidate, subnets, zones)
        _warn(ports, zone_warnings(settings, candidate, subnets))
    if nodes_to_come(settings, candidate) and declared is None:
        limit = questions.ask(lambda: account.vcpu_quota(quota_of(settings.instance_type).code))
        instances = questions.ask(account.instances)
        if limit is not None and instances is not None and reservations is not None:
            yield from quota_violations(
                settings, candidate, limit_vcpus=limit, instances=instances, reservations=reservations
            )
    if declared is not None and subnets is not None and reservations is not None:
        members = questions.ask(lambda: _members(account, declared))
        if members is not None:
            yield from reservation_state_violations(
                settings,
                candidate,
                reservations=[one for one in reservations if one.id in members],
                subnets=subnets,
                now=ports.clock.now(),
            )


def _start_violations(ports: Ports, plan: Plan, settings: ServiceSettings, questions: Questions) -> Iterator[str]:
    """Yield what keeps new nodes from starting or joining."""
    if not nodes_to_come(settings, plan.candidate):
        return
    key = questions.ask(lambda: ports.account.volume_key(settings.nodes.volume_kms_key_arn))
    if key is not None:
        yield from key_violations(settings, key)
        _warn(ports, key_warnings(key))
    uses_node_role = questions.ask(ports.config.vpc_cni_uses_node_role)
    if uses_node_role is not False:
        return
    annotations = questions.ask(lambda: (ports.cluster.vpc_cni_annotations(),))
    if annotations is None or annotations[0] is None:
        return
    has_identity = questions.ask(lambda: ports.account.has_pod_identity(VPC_CNI_NAMESPACE, VPC_CNI_ACCOUNT))
    if has_identity is not None:
        yield from cni_violations(annotations[0], uses_node_role=uses_node_role, has_pod_identity=has_identity)


def _warn(ports: Ports, warnings: Iterator[str]) -> None:
    for warning in warnings:
        ports.journal.write(Note(text=f"warning: {warning}"))


def _members(account: Account, declared: Reservation) -> frozenset[str]:
    if declared.resource_group_arn is not None:
        return account.group_members(declared.resource_group_arn)
    return frozenset({declared.id or ""})


def _reference_violations(
    cluster: Cluster, settings: ServiceSettings, service: str, questions: Questions
) -> Iterator[str]:
    """Yield missing Secrets and claims that pods refer to: with them missing, a deploy fails only slowly."""
    namespace, pods = settings.namespace_of(service), settings.pods
    secrets = {"pods.api_key_secret": pods.api_key_secret, "pods.hub_token_secret": pods.hub_token_secret}
    for field, reference in secrets.items():
        if reference is None:
            continue
        keys = questions.ask(lambda name=reference.name: (cluster.secret_keys(name),))
        if keys is not None:
            yield from secret_violations(field, reference, keys[0], namespace)
    whole = {f"pods.image_pull_secrets[{place}]": name for place, name in enumerate(pods.image_pull_secrets)}
    claims = {"pods.model_cache_claim": pods.model_cache_claim, "pods.compile_cache_claim": pods.compile_cache_claim}
    for place, volume in enumerate(pods.volumes):
        claims[f"pods.volumes[{place}].claim"] = volume.claim
        if volume.secret is not None:
            whole[f"pods.volumes[{place}].secret"] = volume.secret
    for field, name in whole.items():
        keys = questions.ask(lambda name=name: (cluster.secret_keys(name),))
        if keys == (None,):
            yield f"{field}: namespace {namespace} has no Secret {name}; create it, or set another name"
    for field, name in claims.items():
        if name is not None and questions.ask(lambda name=name: cluster.has_claim(name)) is False:
            yield f"{field}: namespace {namespace} has no PersistentVolumeClaim {name}; create it, or set another name"


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


def _later_questions(ports: Ports, settings: ServiceSettings, plan: Plan) -> tuple[Callable[[], object], ...]:
    """Return the questions that a rollout asks later, to make sure that they can be answered."""
    now = ports.clock.now()
    return (
        lambda: ports.replicas.pods(plan.outgoing),
        lambda: ports.target_group_metrics.counts(plan.outgoing, now - METRICS_WINDOW, now),
        *_node_questions(ports, settings, plan.candidate),
        *(ports.checks[name].prepare for name in plan.checks),
    )


def _node_questions(ports: Ports, settings: ServiceSettings, candidate: Color) -> tuple[Callable[[], object], ...]:
    return (lambda: ports.account.node_group(candidate),) if nodes_to_come(settings, candidate) else ()


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
            f"{active}: serves all traffic but has no healthy target ({dict(outgoing.states)}); fix it first"
        )
    if not rule.splits(plan.initial_green_weight):
        violations.append(
            f"green_weight: the live rule splits {dict(rule.weights)}, but a rollout onto {candidate} starts from "
            f"{plan.initial_green_weight}; run scripts.rollback to put all traffic on {active}"
        )
    violations += reservation_violations(settings, now)
    violations += config_drift(settings, rule)
    violations += idle_timeout_violations(settings, idle_timeout_seconds)
    if settings.color(candidate).serves and (until := keep_warm_until(settings, now)):
        violations.append(
            f"keep_until: {candidate} is kept warm until {format_rfc3339(until)} as the way back; wait, or give up the "
            f'way back: set keep_until to "" and announced to "{settings.rollout_serial} <reason>", and `pulumi up`'
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
