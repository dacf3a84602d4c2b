"""Preflight: the conditions for starting a rollout, and before that for the first deployment. All are looked at.

There is one list of conditions. A rollout is refused if one of them is not met; `scripts.doctor` shows each.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar, cast

from components.config.release_warnings import release_warnings
from components.config.sections.reservation import Reservation
from components.config.settings import ServiceSettings
from components.domain.capacity.ladder import way_back
from components.domain.naming import CANDIDATE_ROUTE_HEADER, COLORS, Color
from rollout.model.account import CapacityReservation, Subnet
from rollout.model.changes import unlike_candidate_change
from rollout.model.condition_result import ConditionResult
from rollout.model.errors import RefusedError
from rollout.model.nodes import VPC_CNI_ACCOUNT, VPC_CNI_NAMESPACE, BoundPod, Node
from rollout.model.plan import Plan
from rollout.model.records import Note
from rollout.ports import Account, Ports
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
from rollout.steps.conditions import (
    controller_versions,
    controller_violations,
    drill_violations,
    needed_resources,
    needs_device_plugin,
    permission_violations,
    plugin_violations,
    preflight_violations,
    rule_violations,
    secret_violations,
    slice_violations,
)
from rollout.steps.drift import state_drift
from rollout.steps.scheduling import (
    growing_nodes,
    lacking_nodes,
    nodes_to_come,
    pool_violations,
    scheduling_violations,
    weight_violations,
    without_nodes,
)
from rollout.system.failures import describe_error

METRICS_WINDOW: Final = timedelta(minutes=5)

_T = TypeVar("_T")


@dataclass(kw_only=True)
class Inspection:
    """Asks the questions of one condition after another, and collects what it learns. No answer is never a pass."""

    ports: Ports
    service: str
    plan: Plan
    settings: ServiceSettings
    deployed: bool
    """Whether the service is deployed. Otherwise the nodes of both colours are still to come."""
    refused: list[str] = field(default_factory=list[str])
    """Why questions of this condition cannot even be asked: what is wrong, with the fix."""
    unanswered: list[str] = field(default_factory=list[str])
    """Why questions of this condition got no answer."""
    notes: list[str] = field(default_factory=list[str])
    """What a person should know about this condition."""
    _known: dict[Hashable, tuple[Any, Exception | None]] = field(
        default_factory=dict[Hashable, tuple[Any, Exception | None]]
    )

    @property
    def colors(self) -> Sequence[Color]:
        """The colours whose nodes may still have to come."""
        return (self.plan.candidate,) if self.deployed else COLORS

    def ask(self, question: Callable[[], _T], known_as: Hashable = None) -> _T | None:
        """Return the answer. None when the question fails; the failure is collected.

        Args:
            question: what to ask.
            known_as: a key of the answer, if several conditions need it. Only the first of them asks.

        Raises:
            StoppedError: the rollout was asked to stop.
        """
        if known_as is None or known_as not in self._known:
            answer: tuple[_T | None, Exception | None]
            try:
                answer = question(), None
            except Exception as error:
                answer = None, error
            if known_as is not None:
                self._known[known_as] = answer
        else:
            answer = cast("tuple[_T | None, Exception | None]", self._known[known_as])
        if (failure := answer[1]) is not None:
            (self.refused if isinstance(failure, RefusedError) else self.unanswered).append(describe_error(failure))
        return answer[0]

    def look(self, condition: "Condition") -> ConditionResult:
        """Look at one condition."""
        self.refused, self.unanswered, self.notes = [], [], []
        violations = tuple(condition.find(self))
        return ConditionResult(
            condition=condition.name,
            missing=tuple(dict.fromkeys((*violations, *self.refused))),
            unanswered=tuple(dict.fromkeys(self.unanswered)),
            notes=tuple(dict.fromkeys(self.notes)),
        )

    # Answers that several conditions need.

    def nodes(self) -> Sequence[Node] | None:
        """Return every node of the cluster."""
        return self.ask(lambda: self.ports.cluster.nodes(), "nodes")

    def pods(self) -> Sequence[BoundPod] | None:
        """Return every pod of the cluster that is bound to a node."""
        return self.ask(lambda: self.ports.cluster.bound_pods(), "pods")

    def subnets(self, ids: Sequence[str]) -> Sequence[Subnet] | None:
        """Return these subnets, or the stack's node subnets if no ids are given."""
        return self.ask(lambda: self.ports.account.subnets(ids), ("subnets", *ids))

    def reservations(self) -> Sequence[CapacityReservation] | None:
        """Return the region's capacity reservations."""
        return self.ask(lambda: self.ports.account.reservations(), "reservations")

    def new_nodes(self, color: Color) -> int:
        """Return how many nodes EKS or an autoscaler will start for a colour."""
        nodes, pods = (self.nodes(), self.pods()) if self.settings.nodes_follow_pods else (None, None)
        if nodes is None or pods is None:
            return nodes_to_come(self.settings, color)
        return lacking_nodes(self.settings, self.service, color, nodes=nodes, pods=pods)

    def growing_nodes(self) -> int:
        """Return how many nodes the active colour may still ask for, if an autoscaler resizes it."""
        pods = self.pods() if self.settings.autoscaling is not None and self.settings.nodes_follow_pods else None
        return 0 if pods is None else growing_nodes(self.settings, self.service, pods)


class When(StrEnum):
    """When a condition counts."""

    ALWAYS = "always"
    DEPLOYED = "deployed"
    """Once the service is deployed: a rollout asks for what exists then."""
    BEFORE = "before"
    """Before the service is deployed. Later its running replicas prove the same."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition of a rollout, or of the first deployment."""

    name: str
    find: Callable[[Inspection], Iterator[str]]
    """Yields what is not as it must be."""
    when: When = When.ALWAYS

    def counts(self, *, deployed: bool) -> bool:
        """Return whether the condition counts."""
        return self.when is When.ALWAYS or deployed == (self.when is When.DEPLOYED)


def inspect(ports: Ports, plan: Plan, service: str, *, deployed: bool) -> tuple[ConditionResult, ...]:
    """Look at every condition that counts, and return what was found about each."""
    settings = ports.config.read()
    inspection = Inspection(
        ports=ports,
        service=service,
        plan=plan,
        settings=settings if deployed else without_nodes(settings),
        deployed=deployed,
    )
    return tuple(inspection.look(one) for one in CONDITIONS if one.counts(deployed=deployed))


def preflight(ports: Ports, plan: Plan, service: str) -> tuple[str, ...]:
    """Check everything that a rollout depends on, and return every reason not to start."""
    findings = inspect(ports, plan, service, deployed=True)
    for note in (note for finding in findings for note in finding.notes):
        ports.journal.write(Note(text=f"warning: {note}"))
    missing = [one for finding in findings for one in finding.missing]
    unanswered = [one for finding in findings for one in finding.unanswered]
    return tuple(dict.fromkeys((*missing, *unanswered)))


def _credentials(on: Inspection) -> Iterator[str]:
    credentials = on.ask(lambda: on.ports.account.credentials())
    if credentials is not None:
        yield from credential_violations(credentials, on.plan, on.ports.clock.now())
        on.notes += credential_warnings(credentials)


def _permissions(on: Inspection) -> Iterator[str]:
    boundary = on.ports.config.node_permissions_boundary_arn()
    dashboard, node_groups = on.settings.dashboard, on.settings.declares_nodes
    denied = on.ask(
        lambda: on.ports.account.denied_actions(on.service, boundary, dashboard=dashboard, node_groups=node_groups)
    )
    yield from () if denied is None else permission_violations(denied)


def _stack(on: Inspection) -> Iterator[str]:
    on.ask(lambda: on.ports.stack.rule_in_state(on.service))
    yield from ()


def _releases(on: Inspection) -> Iterator[str]:
    """Note what `pulumi up` would warn of, before GPUs are paid for it."""
    for color in COLORS:
        on.notes += [f"{color}: {warning}" for warning in release_warnings(on.settings, color)]
    yield from ()


def _traffic(on: Inspection) -> Iterator[str]:
    ports, plan = on.ports, on.plan
    rule = on.ask(lambda: ports.load_balancer.rule())
    outgoing = on.ask(lambda: ports.load_balancer.health(plan.outgoing))
    idle_timeout = on.ask(lambda: ports.load_balancer.idle_timeout_seconds())
    states = on.ask(lambda: (ports.stack.rule_in_state(on.service),))
    if rule is None:
        return
    if outgoing is not None and idle_timeout is not None:
        yield from preflight_violations(
            plan=plan,
            settings=on.settings,
            rule=rule,
            outgoing=outgoing,
            idle_timeout_seconds=idle_timeout,
            now=ports.clock.now(),
        )
    if states is not None:
        yield from state_drift(rule, *states)


def _steps(on: Inspection) -> Iterator[str]:
    yield from weight_violations(on.settings, on.plan)


def _way_back(on: Inspection) -> Iterator[str]:
    """Yield a violation if the way back from the last step takes too long, by the latest measured start."""
    ladder = on.settings.ladder
    started = None if ladder is None else on.ask(lambda: (on.ports.start_seconds(),))
    if ladder is None or started is None:
        return
    waves, seconds, most = ladder.most_waves_back, on.settings.wave_seconds(*started), on.settings.max_rollback_seconds
    if waves * seconds > most:
        yield (
            f"max_rollback_seconds: is {most}, but the way back from the last step takes {way_back(waves, seconds)}, "
            "by the latest start of replicas. Raise it, or raise surge_replicas"
        )


def _drill(on: Inspection) -> Iterator[str]:
    max_age_days = on.settings.rollout.drill_max_age_days
    drills = None if max_age_days is None else on.ask(lambda: on.ports.drills())
    yield from () if drills is None else drill_violations(max_age_days, drills, on.ports.clock.now())


def _places(on: Inspection) -> Iterator[str]:
    nodes, pods = on.nodes(), on.pods()
    if nodes is not None and pods is not None:
        for color in on.colors:
            yield from scheduling_violations(on.settings, on.service, color, nodes=nodes, pods=pods)


def _node_pools(on: Inspection) -> Iterator[str]:
    """Yield what keeps an autoscaler from bringing nodes, as far as Karpenter's node pools say."""
    if not on.settings.nodes_follow_pods:
        return
    pools = on.ask(lambda: (on.ports.cluster.node_pools(),))
    if pools is None:
        return
    if pools[0] is None:
        on.notes.append("existing_nodes: the cluster has no NodePools, so the limits of its autoscaler are unknown")
        return
    for color in on.colors:
        yield from pool_violations(on.settings, color, pools[0], on.new_nodes(color), on.growing_nodes())


def _addresses(on: Inspection) -> Iterator[str]:
    # Colours in the same subnets share their addresses.
    by_subnets: dict[tuple[str, ...], list[Color]] = {}
    for color in on.colors:
        by_subnets.setdefault(subnet_ids_of(on.settings, color), []).append(color)
    for ids, colors in by_subnets.items():
        subnets = on.subnets(ids)
        yield from () if subnets is None else address_violations(on.settings, colors, subnets)


def _zones(on: Inspection) -> Iterator[str]:
    for color in on.colors:
        subnets, zones = on.subnets(subnet_ids_of(on.settings, color)), _load_balancer_zones(on)
        if subnets is not None:
            yield from () if zones is None else zone_violations(on.settings, color, subnets, zones)
            on.notes += zone_warnings(on.settings, color, subnets)


def _load_balancer_zones(on: Inspection) -> frozenset[str] | None:
    """Return the zones of the load balancer: of the one that exists, or of the subnets that it will get."""
    if on.deployed or on.settings.listener is not None:
        return on.ask(lambda: on.ports.load_balancer.zones(), "zones")
    subnets = on.subnets(on.ports.config.load_balancer_subnet_ids())
    return None if subnets is None else frozenset(subnet.zone for subnet in subnets)


def _quota(on: Inspection) -> Iterator[str]:
    account, settings = on.ports.account, on.settings
    pool = settings.node_pool
    colors: list[Color] = [
        color for color in on.colors if on.new_nodes(color) and settings.color(color).reservation is None
    ]
    if pool is not None and pool.capacity_reservation_ids:
        return
    # Nodes of both colours that hold the candidate hold what the active colour may become, too.
    growing = on.growing_nodes() if colors or not settings.shares_nodes else 0
    if not colors and not growing:
        return
    limit = on.ask(lambda: account.vcpu_quota(quota_of(settings.instance_type).code))
    instances, reservations = on.ask(lambda: account.instances()), on.reservations()
    if limit is not None and instances is not None and reservations is not None:
        yield from quota_violations(
            settings,
            colors,
            limit_vcpus=limit,
            instances=instances,
            reservations=reservations,
            growing=growing,
        )


def _reservation(on: Inspection) -> Iterator[str]:
    for color in on.colors:
        declared = on.settings.color(color).reservation
        if declared is None:
            continue
        reservations, subnets = on.reservations(), on.subnets(subnet_ids_of(on.settings, color))
        if reservations is None or subnets is None:
            continue
        members = on.ask(lambda declared=declared: _members(on.ports.account, declared))
        if members is not None:
            yield from reservation_state_violations(
                on.settings,
                color,
                reservations=[one for one in reservations if one.id in members],
                subnets=subnets,
                now=on.ports.clock.now(),
            )


def _members(account: Account, declared: Reservation) -> frozenset[str]:
    if declared.resource_group_arn is not None:
        return account.group_members(declared.resource_group_arn)
    return frozenset({declared.id or ""})


def _volume_key(on: Inspection) -> Iterator[str]:
    if not on.settings.declares_nodes or not any(map(on.new_nodes, on.colors)):
        return
    key = on.ask(lambda: on.ports.account.volume_key(on.settings.nodes.volume_kms_key_arn))
    if key is not None:
        yield from key_violations(on.settings, key)
        on.notes += key_warnings(key)


def _vpc_cni(on: Inspection) -> Iterator[str]:
    if not on.settings.declares_nodes or not any(map(on.new_nodes, on.colors)):
        return
    uses_node_role = on.ask(lambda: on.ports.config.vpc_cni_uses_node_role())
    if uses_node_role is not False:
        return
    annotations = on.ask(lambda: (on.ports.cluster.vpc_cni_annotations(),))
    if annotations is None or annotations[0] is None:
        return
    has_identity = on.ask(lambda: on.ports.account.has_pod_identity(VPC_CNI_NAMESPACE, VPC_CNI_ACCOUNT))
    if has_identity is not None:
        yield from cni_violations(annotations[0], uses_node_role=uses_node_role, has_pod_identity=has_identity)


def _controller(on: Inspection) -> Iterator[str]:
    pods = on.pods()
    if pods is not None:
        yield from controller_violations(pods)
        on.notes += controller_versions(pods)


def _device_plugin(on: Inspection) -> Iterator[str]:
    nodes, pods = on.nodes(), on.pods()
    if nodes is None or pods is None or not needs_device_plugin(on.settings, nodes, pods):
        return
    plugins = on.ask(lambda: on.ports.cluster.device_plugins())
    if plugins is not None:
        yield from plugin_violations(plugins)
        on.notes += plugins


def _resource_types(on: Inspection) -> Iterator[str]:
    for version, resource, fix in needed_resources(on.settings):
        if on.ask(lambda one=(version, resource): on.ports.cluster.has_resource(*one)) is False:
            yield f"the cluster has no {resource} of {version}, which `pulumi up` declares. {fix}"


def _references(on: Inspection) -> Iterator[str]:
    """Yield missing Secrets and claims that pods refer to: with them missing, a deploy fails only slowly."""
    cluster, namespace, pods = on.ports.cluster, on.settings.namespace_of(on.service), on.settings.pods
    secrets = {"pods.api_key_secret": pods.api_key_secret, "pods.hub_token_secret": pods.hub_token_secret}
    for field_, reference in secrets.items():
        if reference is None:
            continue
        keys = on.ask(lambda name=reference.name: (cluster.secret_keys(name),))
        if keys is not None:
            yield from secret_violations(field_, reference, keys[0], namespace)
    whole = {f"pods.image_pull_secrets[{place}]": name for place, name in enumerate(pods.image_pull_secrets)}
    claims = {"pods.model_cache_claim": pods.model_cache_claim, "pods.compile_cache_claim": pods.compile_cache_claim}
    for place, volume in enumerate(pods.volumes):
        claims[f"pods.volumes[{place}].claim"] = volume.claim
        if volume.secret is not None:
            whole[f"pods.volumes[{place}].secret"] = volume.secret
    for field_, name in whole.items():
        keys = on.ask(lambda name=name: (cluster.secret_keys(name),))
        if keys == (None,):
            yield f"{field_}: namespace {namespace} has no Secret {name}; create it, or set another name"
    for field_, name in claims.items():
        if name is not None and on.ask(lambda name=name: cluster.has_claim(name)) is False:
            yield f"{field_}: namespace {namespace} has no PersistentVolumeClaim {name}; create it, or set another name"


def _cost(on: Inspection) -> Iterator[str]:
    """Yield a violation if costs are to be judged and the price of a node is unknown."""
    settings = on.settings
    if settings.rollout.gates.cost.max_cost_increase_percent is None:
        return
    if any(settings.price_of_replicas(color, 1) is None for color in COLORS):
        yield (
            f"rollout.gates.cost.max_cost_increase_percent: the price of {settings.instance_type} is unknown, so costs "
            "cannot be compared. Set node_usd_per_hour to what a node costs you, or remove the limit"
        )


def _prometheus(on: Inspection) -> Iterator[str]:
    """Yield the labels of slices that no metric has. Before the first deployment there is nothing to see."""
    labels = on.settings.rollout.gates.slice_labels
    found = on.ask(lambda: on.ports.metrics.counters(on.ports.clock.now(), frozenset(labels.values())))
    if found is not None and on.deployed:
        yield from slice_violations(labels, found[on.plan.outgoing])


def _preview(on: Inspection) -> Iterator[str]:
    """Yield a violation if a preview contains changes besides the candidate's. Weight steps are not previewed later."""
    candidate = on.plan.candidate
    message = f"{on.service}: what a rollout onto {candidate} would find"
    planned = on.ask(lambda: on.ports.stack.preview(message))
    foreign = () if planned is None else unlike_candidate_change(planned.changes, service=on.service, color=candidate)
    if foreign:
        yield (
            f"the preview contains changes besides {candidate} and the rule's tags: {'; '.join(foreign)}. "
            "Somebody changed the program, the config or the infrastructure; bring them in line and try again"
        )


def _later_questions(on: Inspection) -> Iterator[str]:
    """Ask what a rollout asks later, to make sure that it can be answered."""
    ports, candidate, now = on.ports, on.plan.candidate, on.ports.clock.now()
    on.ask(lambda: ports.replicas.pods(on.plan.outgoing))
    on.ask(lambda: ports.target_group_metrics.counts(on.plan.outgoing, now - METRICS_WINDOW, now))
    if on.settings.declares_nodes and on.new_nodes(candidate):
        on.ask(lambda: ports.account.node_group(candidate))
    if on.settings.nodes_follow_pods:
        on.ask(lambda: ports.cluster.node_launches([str(candidate)]))
    yield from ()


def _candidate_route(on: Inspection) -> Iterator[str]:
    """Yield what keeps our own requests from the pods, and the rules that may be why."""
    before = len(on.unanswered)
    on.ask(lambda: on.ports.route.check(on.plan.outgoing))
    if len(on.unanswered) == before:
        return
    rules = on.ask(lambda: on.ports.load_balancer.login_rules())
    if rules:
        yield (
            f"listener rules with priority {', '.join(rules)} come before the candidate rules and ask for a login. If "
            f"they match {CANDIDATE_ROUTE_HEADER} requests, give the candidate rules a lower number"
        )


def _listener_rules(on: Inspection) -> Iterator[str]:
    """Yield why `pulumi up` could not create the rules of cohorts, or the first ones on a listener of others."""
    settings, deployed = on.settings, on.deployed
    if not deployed and settings.listener is None:
        return  # a load balancer of its own has no other rules
    rule = on.ask(lambda: on.ports.load_balancer.rule()) if deployed else None
    if deployed and (rule is None or settings.cohort_names <= rule.cohorts.keys()):
        return
    found = on.ask(lambda: on.ports.load_balancer.listener_rules())
    if found is not None:
        yield from rule_violations(settings, found, deployed=() if rule is None else rule.cohorts, first=not deployed)


def _checks(on: Inspection) -> Iterator[str]:
    for name in on.plan.checks:
        on.ask(lambda name=name: on.ports.checks[name].prepare())
    yield from ()


CONDITIONS: Final = (
    Condition(name="credentials", find=_credentials),
    Condition(name="permissions", find=_permissions, when=When.BEFORE),
    Condition(name="stack", find=_stack, when=When.BEFORE),
    Condition(name="releases", find=_releases, when=When.BEFORE),
    Condition(name="traffic", find=_traffic, when=When.DEPLOYED),
    Condition(name="steps", find=_steps),
    Condition(name="way back", find=_way_back),
    Condition(name="drill", find=_drill, when=When.DEPLOYED),
    Condition(name="listener rules", find=_listener_rules),
    Condition(name="places", find=_places),
    Condition(name="node pools", find=_node_pools),
    Condition(name="addresses", find=_addresses),
    Condition(name="zones", find=_zones),
    Condition(name="quota", find=_quota),
    Condition(name="reservation", find=_reservation),
    Condition(name="volume key", find=_volume_key),
    Condition(name="VPC CNI", find=_vpc_cni),
    Condition(name="load balancer controller", find=_controller, when=When.BEFORE),
    Condition(name="device plugin", find=_device_plugin, when=When.BEFORE),
    Condition(name="resource types", find=_resource_types),
    Condition(name="secrets and claims", find=_references),
    Condition(name="cost", find=_cost),
    Condition(name="Prometheus", find=_prometheus),
    Condition(name="preview", find=_preview, when=When.DEPLOYED),
    Condition(name="pods and metrics", find=_later_questions, when=When.DEPLOYED),
    Condition(name="candidate route", find=_candidate_route, when=When.DEPLOYED),
    Condition(name="checks", find=_checks, when=When.DEPLOYED),
)
"""The conditions in the order in which they are looked at. Each is described by the function that looks at it."""
