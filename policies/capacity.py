"""Capacity: both colours fit at full size, and a colour that gets requests has enough replicas."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pulumi_policy import Severity
from pydantic import Field

from components.config.sections.reservation import BLOCK_LEAD
from components.domain.balancer.traffic import ColorState, Traffic
from components.domain.capacity.capacity import ReplicaShape, gpu_types_like, misfit_fix, misfits, replicas_for_weight
from components.domain.capacity.ladder import SharedCapacity
from components.domain.guards import is_kept_warm
from components.domain.naming import (
    COLORS,
    DO_NOT_DISRUPT_KEY,
    GPU_RESOURCE,
    RELEASE_KEY,
    RESERVATION_ENDS_KEY,
    Color,
)
from components.domain.nodes.gpu_instances import INSTANCE_TYPES, GpuInstance
from components.domain.nodes.node_pools import keeps_all_nodes
from policies import clock
from policies.nodes import (
    NodeGroup,
    Pool,
    groups_of,
    most_replicas_of,
    node_pools_of,
    pods_of,
    pools_of,
    replicas_of,
    shortage,
)
from policies.pods import Pods
from policies.policy import Finding, Options, resource_policy, service_policy, wrong
from policies.resources import LISTENER_RULE, Resource, table
from policies.rule import keep_until_text, traffic_of
from policies.service import Service


class MaximumOptions(Options):
    """How large a pool's maximum must be."""

    spare_nodes: Annotated[
        int, Field(ge=0, le=100, description="Nodes that each pool's maximum must allow beyond full size.")
    ] = 0


class WeightOptions(Options):
    """How many replicas a weight needs."""

    replicas_percent: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description="Replicas that the idle colour needs for all traffic, in percent of the active colour's "
            "replicas. Set it below 100 for releases that need fewer. In headroom_mode surge, max_utilization_percent "
            "decides instead.",
        ),
    ] = 100


@service_policy(
    "capacity-replica-fits-node",
    description="A replica's GPU, CPU and memory requests must fit one node of its colour's node group or node pool.",
    fix="Choose a larger instance_type, or a smaller replica.",
)
def replica_fits_node(service: Service, _: Options) -> Iterator[Finding]:
    """A pod that fits no node stays pending forever, so the colour never becomes ready."""
    for pool in pools_of(service):
        pods = [(one, shape) for color in pool.colors for one in pods_of(service, color) if (shape := one.shape)]
        for group in pool.groups if pods else ():
            for name in group.instance_types or ():
                if name not in INSTANCE_TYPES:
                    must = "a known type with whole NVIDIA GPUs"
                    yield _finding(group.resource, "instanceTypes", name, must, gpu_types_like(name))
                else:
                    yield from _misfits(INSTANCE_TYPES[name], pods)
    for node_pool in node_pools_of(service):
        pods = [(one, shape) for color in node_pool.colors for one in pods_of(service, color) if (shape := one.shape)]
        for name in node_pool.instance_types:
            yield from _misfits(INSTANCE_TYPES[name], pods) if name in INSTANCE_TYPES else ()


def _misfits(instance: GpuInstance, pods: Sequence[tuple[Pods, ReplicaShape]]) -> Iterator[Finding]:
    for one, shape in pods:
        asked = {"GPUs": shape.gpus, "millicpus": shape.millicpus, "MiB of memory": shape.memory_mib}
        for what, offered in misfits(instance, shape).items():
            must = f"at most {offered}, which a {instance.name} node offers one replica"
            fix = misfit_fix(instance, shape)
            yield _finding(one.deployment, f"{what} of a replica", asked[what], must, fix)


@service_policy(
    "capacity-maximum-holds-both-colors",
    description="Each node group's maximum size must have room for its colour at full size; a shared group's maximum, "
    "for both colours.",
    fix="Raise the node group's maximum; the program derives it from replicas and spare_nodes.",
    options=MaximumOptions,
)
def maximum_holds_both_colors(service: Service, options: MaximumOptions) -> Iterator[Finding]:
    """A rollout deploys green while blue serves. Without room for both, there is no rollout, or no rollback."""
    for pool in pools_of(service):
        # The future size of a parked colour is unknown, but it is at least one replica.
        replicas = sum(max(most_replicas_of(service, color), 1) for color in pool.colors)
        spare = options.spare_nodes
        if short := shortage(service, pool, "maxSize", replicas=replicas, spare_nodes=spare):
            must = f"at least {short.least_nodes}: {_needed_room(replicas, pool)}, spare nodes: {spare}"
            fix = "Raise the maximum; the program derives it from replicas and spare_nodes."
            yield _finding(short.group.resource, "scalingConfig.maxSize", short.nodes, must, fix)


@service_policy(
    "capacity-node-pool-holds-its-colors",
    description="The limit of GPUs of a Karpenter node pool must have room for its colour at full size; a shared "
    "pool's, for both colours.",
    fix="Raise limits of the node pool; the program derives it from replicas.",
)
def node_pool_holds_its_colors(service: Service, _: Options) -> Iterator[Finding]:
    """Karpenter starts no node beyond the limit, so replicas stay pending, also after the loss of a node."""
    for pool in node_pools_of(service):
        replicas = sum(max(most_replicas_of(service, color), 1) for color in pool.colors)
        shapes = [shape for color in COLORS for pods in pods_of(service, color) if (shape := pods.shape)]
        needed = pool.needed_gpus(replicas, shapes)
        if pool.most_gpus is not None and needed is not None and pool.most_gpus < needed:
            must = f"at least {needed}: nodes for {replicas} replicas of {' and '.join(pool.colors)}"
            fix = "Raise the limit; the program derives it from replicas."
            yield _finding(pool.resource, f"spec.limits.{GPU_RESOURCE}", pool.most_gpus, must, fix)


@service_policy(
    "capacity-desired-holds-running-colors",
    description="Each node group's desired size must have room for the replicas that run on it; a shared group's, for "
    "both colours, parked or not.",
    fix="Set the colour's provisioned to true, or raise the node group's desired size.",
)
def desired_holds_running_colors(service: Service, _: Options) -> Iterator[Finding]:
    """Replicas without a node do not run, and removing a node ends the replicas on it."""
    for pool in pools_of(service):
        if any(group.is_resized_by_others for group in pool.groups):
            continue
        # Shrinking a shared group for a parked colour may end nodes of the serving colour.
        least = 1 if len(pool.colors) > 1 else 0
        replicas = sum(max(most_replicas_of(service, color), least) for color in pool.colors)
        if short := shortage(service, pool, "desiredSize", replicas=replicas):
            must = f"at least {short.least_nodes}: {_needed_room(replicas, pool)}"
            fix = "Set provisioned of the colour to true, or raise the desired size."
            yield _finding(short.group.resource, "scalingConfig.desiredSize", short.nodes, must, fix)


def _needed_room(replicas: int, pool: Pool) -> str:
    return f"room for {replicas} replicas of {' and '.join(pool.colors)}"


@service_policy(
    "capacity-node-group-per-color",
    description="Each colour must have its own node group, or share one without a reservation.",
    fix="Give each colour a node group that is tagged with its colour. Use reservations only in such node groups.",
)
def node_group_per_color(service: Service, _: Options) -> Iterator[Finding]:
    """One colour's nodes do not serve the other, and the end of a reservation must not remove both colours' nodes."""
    groups = groups_of(service)
    for group in groups:
        if group.color is None and (group.is_reserved or group.reservation_ends):
            fix = "Set node_groups to per_color, and set the reservation for one colour."
            must = "plain On-Demand: the end of a reservation would remove both colours' nodes"
            yield _finding(group.resource, "the capacity of a group that both colours share", "reserved", must, fix)
    if groups and service.rule is not None:
        found = {color for pool in pools_of(service) for color in pool.colors}
        for color in COLORS:
            if color not in found:
                fix = f"Add a node group that is tagged and labelled with {color}, or with no colour for both."
                yield _finding(
                    service.rule, f"the node group of {color}", None, "declared, with room for full size", fix
                )


@service_policy(
    "capacity-reservation-end-known",
    description="A node group whose nodes run in a reservation must have a tag with the reservation's end.",
    fix="Set reservation.ends of the colour.",
    severity=Severity.MEDIUM,
)
def reservation_end_known(service: Service, _: Options) -> Iterator[Finding]:
    """The end is recorded nowhere else: not in the launch template, the node group or the scripts."""
    for group in groups_of(service):
        if group.is_reserved and clock.moment(group.reservation_ends) is None:
            must = "an RFC 3339 time with its zone"
            fix = f"Set reservation.ends of the colour, which becomes the tag {RESERVATION_ENDS_KEY}."
            yield _finding(group.resource, "the end of its reservation", group.reservation_ends, must, fix)


@service_policy(
    "capacity-reservation-outlasts-promise",
    description="A Capacity Block must last until the keep-warm window of the idle colour ends.",
    fix="Take a block that ends later, or shorten rollout.keep_warm_seconds.",
    severity=Severity.CRITICAL,
)
def reservation_outlasts_promise(service: Service, _: Options) -> Iterator[Finding]:
    """EKS removes a block's nodes before the block ends. Nodes of other reservations stay as plain On-Demand nodes."""
    rule, traffic = service.rule, service.traffic
    if rule is None or traffic is None or not is_kept_warm(traffic, clock.now()):
        return
    until = clock.moment(keep_until_text(rule))
    for group in groups_of(service):
        ends = clock.moment(group.reservation_ends) if group.is_in_block and group.nodes("desiredSize") else None
        if until is not None and ends is not None and ends - BLOCK_LEAD < until:
            must = f"at least 40 minutes after keep_until {keep_until_text(rule)}"
            fix = "Use a block that ends later for that colour: reservation.ends."
            yield _finding(group.resource, "the end of its reservation", group.reservation_ends, must, fix)


@service_policy(
    "capacity-serving-nodes-stay",
    description="Nodes of a colour that gets requests must be replaced one after the other, new nodes first, and never "
    "by force.",
    fix="Use the update strategy DEFAULT without force, or replace the nodes while their colour is idle.",
)
def serving_nodes_stay(service: Service, _: Options) -> Iterator[Finding]:
    """MINIMAL ends a node before a new one starts, and force ignores disruption budgets."""
    traffic = service.traffic
    if traffic is None:
        return
    for pool in pools_of(service):
        if not any(traffic.serves(color) and replicas_of(service, color) for color in pool.colors):
            continue
        for group in pool.groups:
            yield from _rough_updates(group)


@service_policy(
    "capacity-serving-pods-stay",
    description="While a colour gets requests or is kept warm, its Karpenter node pool must keep all nodes, and its "
    "pods must stay where they are.",
    fix=f'Set a disruption budget of 0 nodes, and annotate the pods with {DO_NOT_DISRUPT_KEY}: "true".',
    severity=Severity.CRITICAL,
)
def serving_pods_stay(service: Service, _: Options) -> Iterator[Finding]:
    """Karpenter empties nodes to save money or to renew them, and each pod that moves is a cold start."""
    traffic, pools = service.traffic, node_pools_of(service)
    if traffic is None or not pools:
        return
    warm = [traffic.idle_color] if is_kept_warm(traffic, clock.now()) else []
    needed: list[Color] = [
        color for color in COLORS if (traffic.serves(color) or color in warm) and replicas_of(service, color)
    ]
    for pool in pools:
        if not keeps_all_nodes(pool.budgets) and (served := [color for color in pool.colors if color in needed]):
            must = f"one of 0 nodes, for all reasons, while {' and '.join(served)} is needed"
            yield _finding(pool.resource, "spec.disruption.budgets", pool.budgets, must, "Park the colour first.")
    for pods in (pods for color in needed for pods in pods_of(service, color)):
        if (given := pods.annotations.get(DO_NOT_DISRUPT_KEY)) != "true":
            where = f"the annotation {DO_NOT_DISRUPT_KEY} of its pods"
            yield _finding(pods.deployment, where, given, '"true"', "Let the program write it: set existing_nodes.")


def _rough_updates(group: NodeGroup) -> Iterator[Finding]:
    resource = group.resource
    fix = "Use it only for nodes on which nothing runs."
    if resource.get("updateConfig.updateStrategy") == "MINIMAL":
        must = "DEFAULT while its pods get requests"
        yield _finding(resource, "updateConfig.updateStrategy", "MINIMAL", must, fix)
    if resource.get("forceUpdateVersion") is True:
        must = "false while its pods get requests"
        yield _finding(resource, "forceUpdateVersion", True, must, fix)


@resource_policy(
    "capacity-weight-needs-replicas",
    LISTENER_RULE,
    description="The idle colour's replicas must be at least its weight's share of the active colour's replicas, and "
    "with a cohort as many. Where both share places (headroom_mode surge), so must the active colour's, of a colour's "
    "full size.",
    fix="Give the idle colour as many replicas as the active colour before it gets requests, or lower its weight.",
    severity=Severity.CRITICAL,
    options=WeightOptions,
)
def weight_needs_replicas(rule: Resource, options: WeightOptions) -> Iterator[str]:
    """With too few replicas, requests queue until they time out."""
    traffic = traffic_of(rule)
    if traffic is None:
        return
    active, idle = traffic.active_color, traffic.idle_color
    if traffic.capacity is not None:
        yield from _overloaded(rule, traffic, traffic.capacity)
        return
    weight, has, full = traffic.weights[idle], traffic.colors[idle].replicas, traffic.colors[active].replicas
    # How much of the load a cohort brings is not known: it may be nearly all.
    cohorts = traffic.cohorts_on(idle)
    needs = replicas_for_weight(100 if cohorts else weight, full, replicas_percent=options.replicas_percent)
    # The traffic policies check a weight on a colour without replicas.
    if 0 < has < needs:
        at = " and the cohorts ".join((f"weight {weight}", *([", ".join(cohorts)] if cohorts else [])))
        must = f"at least {needs} at {at}, with {full} of {active}"
        fix = f"Set {idle}.replicas to {full}, or set green_weight so that {idle} gets less."
        yield wrong(rule, f"the number of {idle} replicas", has, must, fix)


def _overloaded(rule: Resource, traffic: Traffic, capacity: SharedCapacity) -> Iterator[str]:
    for color in COLORS:
        weight, has, needs = (
            traffic.weights[color],
            traffic.colors[color].replicas,
            capacity.needed(traffic.weights[color]),
        )
        if 0 < has < needs:
            must = f"at least {needs} at weight {weight}, with {capacity.replicas} at full size"
            fix = f"Set green_weight so that {color} gets at most {capacity.carried_percent(has)}."
            yield wrong(rule, f"the number of {color} replicas", has, must, fix)


@resource_policy(
    "capacity-active-color-runs",
    LISTENER_RULE,
    description="While the idle colour has weight or a cohort, the active colour must run, so that a rollback can go "
    "there.",
    fix="Un-park the active colour, or set active_color to the colour that serves.",
    severity=Severity.CRITICAL,
)
def active_color_runs(rule: Resource, _: Options) -> Iterator[str]:
    """A rollback sends all traffic to the active colour at once; it cannot wait for a cold start."""
    traffic = traffic_of(rule)
    if traffic is None:
        return
    active, idle = traffic.active_color, traffic.idle_color
    # On a new stack, weights do not matter: no colour runs, so no request can be lost.
    if traffic.serves(idle) and traffic.colors[idle].replicas and not traffic.colors[active].replicas:
        must = f"running while {idle} has " + " and ".join(
            (f"weight {traffic.weights[idle]}", *traffic.cohorts_on(idle))
        )
        fix = f"Set {active}.parked to false, or set active_color to {idle} if {idle} is to stay."
        yield wrong(rule, f"{active}, the active colour,", traffic.colors[active], must, fix)


@service_policy(
    "capacity-tags-tell-the-truth",
    description="The weighted rule's tag of a colour that gets requests, or may get them in a rollback, must match the "
    "colour's Deployment; with an autoscaler, its fewest replicas.",
    fix="Let the program write the tags, or update them when a Deployment changes.",
)
def tags_tell_the_truth(service: Service, _: Options) -> Iterator[Finding]:
    """Policies, scripts and people who see only the rule rely on its tags.

    A rollback updates only the rule, perhaps while a Deployment is changing. So the policy does not check an idle
    colour that has neither weight nor cohorts and is not kept warm. For an active colour with all traffic, it checks
    only whether the colour runs.
    """
    traffic, rule = service.traffic, service.rule
    if traffic is None or rule is None or not any(pods_of(service, color) for color in COLORS):
        return
    shifted = traffic.serves(traffic.idle_color)
    for color in COLORS:
        tagged, found = traffic.colors[color], _state(service, color)
        if color == traffic.idle_color:
            differs = tagged != found and (shifted or is_kept_warm(traffic, clock.now()))
        else:
            differs = tagged != found if shifted else bool(tagged.replicas) != bool(found.replicas)
        if differs:
            fix = "Let the program write the tag, and bring the Deployment in line with it."
            yield _finding(rule, f"the tag of {color}", tagged, f"{found}, as its Deployment", fix)


def _state(service: Service, color: Color) -> ColorState:
    """Return a colour's state from its Deployments."""
    labels = [table(pods.deployment.get("spec.template.metadata.labels")) for pods in pods_of(service, color)]
    releases = {str(one.get(RELEASE_KEY, "unnamed")) for one in labels}
    return ColorState(release_id=" and ".join(sorted(releases)) or None, replicas=replicas_of(service, color))


def _finding(resource: Resource, field: str, value: object, must: str, fix: str) -> Finding:
    return Finding(message=wrong(resource, field, value, must, fix), resource=resource)
