"""Capacity: both colours fit at full size, and whoever gets requests has the replicas for them."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pulumi_policy import Severity
from pydantic import Field

from components.config.reservation import BLOCK_LEAD
from components.domain.capacity import ReplicaShape, gpu_types_like, misfit_fix, misfits, replicas_for_weight
from components.domain.gpu_instances import INSTANCE_TYPES, GpuInstance
from components.domain.guards import is_kept_warm
from components.domain.naming import COLORS, RELEASE_KEY, RESERVATION_ENDS_KEY, Color
from components.domain.traffic import ColorState
from policies import clock
from policies.nodes import NodeGroup, Pool, groups_of, pods_of, pools_of, replicas_of, shortage
from policies.pods import Pods
from policies.policy import Finding, Options, resource_policy, service_policy, wrong
from policies.resources import LISTENER_RULE, Resource, table
from policies.rule import traffic_of
from policies.service import Service


class MaximumOptions(Options):
    """What the maximum of a pool must hold."""

    spare_nodes: Annotated[
        int, Field(ge=0, le=100, description="Nodes that each pool must be able to grow by beyond full size.")
    ] = 0


class WeightOptions(Options):
    """What a weight needs."""

    replicas_percent: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description="How many replicas the idle colour needs for all traffic, in percent of the active colour's; "
            "below 100 for releases that need fewer.",
        ),
    ] = 100


@service_policy(
    "capacity-replica-fits-node",
    description="A replica's GPUs, CPU and memory must fit one node of its colour's node group.",
    fix="Choose a larger instance_type, or a smaller replica.",
)
def replica_fits_node(service: Service, _: Options) -> Iterator[Finding]:
    """A pod that fits no node stays pending for ever, and with it the whole colour."""
    for pool in pools_of(service):
        pods = [(one, shape) for color in pool.colors for one in pods_of(service, color) if (shape := one.shape)]
        for group in pool.groups if pods else ():
            for name in group.instance_types or ():
                if name not in INSTANCE_TYPES:
                    must = "types with whole NVIDIA GPUs whose size is known"
                    yield _finding(group.resource, "instanceTypes", name, must, gpu_types_like(name))
                else:
                    yield from _misfits(INSTANCE_TYPES[name], pods)


def _misfits(instance: GpuInstance, pods: Sequence[tuple[Pods, ReplicaShape]]) -> Iterator[Finding]:
    for one, shape in pods:
        asked = {"GPUs": shape.gpus, "millicpus": shape.millicpus, "MiB of memory": shape.memory_mib}
        for what, offered in misfits(instance, shape).items():
            must = f"at most {offered}, what a {instance.name} node offers one"
            fix = misfit_fix(instance, shape)
            yield _finding(one.deployment, f"{what} of a replica", asked[what], must, fix)


@service_policy(
    "capacity-maximum-holds-both-colors",
    description="The maximum size of each node group must hold its colour at full size, that of a shared one both.",
    fix="Raise the node group's maximum; the program derives it from replicas and spare_nodes.",
    options=MaximumOptions,
)
def maximum_holds_both_colors(service: Service, options: MaximumOptions) -> Iterator[Finding]:
    """Green deploys beside a blue that serves: without room for both there is no rollout, or no way back."""
    for pool in pools_of(service):
        # What a parked colour will be is not known, but it will be something.
        replicas = sum(max(replicas_of(service, color), 1) for color in pool.colors)
        spare = options.spare_nodes
        if short := shortage(service, pool, "maxSize", replicas=replicas, spare_nodes=spare):
            must = f"at least {short.least_nodes}: {_whose(replicas, pool)}, spare nodes: {spare}"
            fix = "Raise the maximum; from stack config it follows by itself, with spare_nodes."
            yield _finding(short.group.resource, "scalingConfig.maxSize", short.nodes, must, fix)


@service_policy(
    "capacity-desired-holds-running-colors",
    description="The desired size of each node group must hold the replicas that run on it; that of a shared one both "
    "colours, parked or not.",
    fix="Set the colour's provisioned to true, or raise the node group's desired size.",
)
def desired_holds_running_colors(service: Service, _: Options) -> Iterator[Finding]:
    """Replicas without a node do not run, and a node that goes takes the replicas on it along."""
    for pool in pools_of(service):
        if any(group.is_resized_by_others for group in pool.groups):
            continue
        # A shared group that shrinks for a parked colour may end nodes of the one that serves.
        least = 1 if len(pool.colors) > 1 else 0
        replicas = sum(max(replicas_of(service, color), least) for color in pool.colors)
        if short := shortage(service, pool, "desiredSize", replicas=replicas):
            must = f"at least {short.least_nodes}: {_whose(replicas, pool)}"
            fix = "Set provisioned of the colour to true, or raise the desired size."
            yield _finding(short.group.resource, "scalingConfig.desiredSize", short.nodes, must, fix)


def _whose(replicas: int, pool: Pool) -> str:
    return f"room for {replicas} replicas of {' and '.join(pool.colors)}"


@service_policy(
    "capacity-node-group-per-color",
    description="Each colour must have a node group of its own, or share one without a reservation.",
    fix="Give each colour a node group, tagged with its colour; put a reservation only into one of them.",
)
def node_group_per_color(service: Service, _: Options) -> Iterator[Finding]:
    """Nodes of one colour are no room for the other, and a reservation that ends must not take both colours' nodes."""
    groups = groups_of(service)
    for group in groups:
        if group.color is None and (group.is_reserved or group.reservation_ends):
            fix = "Set node_groups to per_color, and the reservation for one colour."
            must = "plain On-Demand: its end would take both colours' nodes"
            yield _finding(group.resource, "the capacity of a group that both colours share", "reserved", must, fix)
    if groups and service.rule is not None:
        found = {color for pool in pools_of(service) for color in pool.colors}
        for color in COLORS:
            if color not in found:
                fix = f"Add a node group that is tagged and labelled with {color}, or with no colour for both."
                yield _finding(service.rule, f"the node group of {color}", None, "there for full size", fix)


@service_policy(
    "capacity-reservation-end-known",
    description="A node group whose nodes run in a reservation must say in a tag when that ends.",
    fix="Set reservation.ends of the colour.",
    severity=Severity.MEDIUM,
)
def reservation_end_known(service: Service, _: Options) -> Iterator[Finding]:
    """Nobody else remembers it: not the launch template, not the node group, not the scripts."""
    for group in groups_of(service):
        if group.is_reserved and clock.moment(group.reservation_ends) is None:
            must = "an RFC 3339 time with its zone"
            fix = f"Set reservation.ends of the colour, which becomes the tag {RESERVATION_ENDS_KEY}."
            yield _finding(group.resource, "the end of its reservation", group.reservation_ends, must, fix)


@service_policy(
    "capacity-reservation-outlasts-promise",
    description="A Capacity Block must hold its nodes for as long as the idle colour is promised to stay warm.",
    fix="Take a block that ends later, or shorten rollout.keep_warm_seconds.",
    severity=Severity.CRITICAL,
)
def reservation_outlasts_promise(service: Service, _: Options) -> Iterator[Finding]:
    """EKS takes a block's nodes away before it ends; those of other reservations live on as plain On-Demand ones."""
    traffic = service.traffic
    if traffic is None or not is_kept_warm(traffic, clock.now()):
        return
    until = clock.moment(traffic.keep_until)
    for group in groups_of(service):
        ends = clock.moment(group.reservation_ends) if group.is_in_block and group.nodes("desiredSize") else None
        if until is not None and ends is not None and ends - BLOCK_LEAD < until:
            must = f"40 minutes after keep_until {traffic.keep_until} at least"
            fix = "Take a block that ends later for that colour: reservation.ends."
            yield _finding(group.resource, "the end of its reservation", group.reservation_ends, must, fix)


@service_policy(
    "capacity-serving-nodes-stay",
    description="Nodes of a colour that gets requests must be replaced one after the other, new ones first, and never "
    "by force.",
    fix="Update nodes with the strategy DEFAULT and without force; exchange nodes of the idle colour instead.",
)
def serving_nodes_stay(service: Service, _: Options) -> Iterator[Finding]:
    """MINIMAL ends a node before there is a new one; force passes over disruption budgets."""
    traffic = service.traffic
    if traffic is None:
        return
    for pool in pools_of(service):
        if not any(traffic.weights[color] and replicas_of(service, color) for color in pool.colors):
            continue
        for group in pool.groups:
            yield from _rough_updates(group)


def _rough_updates(group: NodeGroup) -> Iterator[Finding]:
    resource = group.resource
    fix = "Leave that to nodes on which nothing runs."
    if resource.get("updateConfig.updateStrategy") == "MINIMAL":
        must = "DEFAULT while requests go to its pods"
        yield _finding(resource, "updateConfig.updateStrategy", "MINIMAL", must, fix)
    if resource.get("forceUpdateVersion") is True:
        must = "false while requests go to its pods"
        yield _finding(resource, "forceUpdateVersion", True, must, fix)


@resource_policy(
    "capacity-weight-needs-replicas",
    LISTENER_RULE,
    description="A colour with a weight must have at least that share of the active colour's replicas.",
    fix="Give the idle colour as many replicas as the active one before it gets requests, or weigh it less.",
    severity=Severity.CRITICAL,
    options=WeightOptions,
)
def weight_needs_replicas(rule: Resource, options: WeightOptions) -> Iterator[str]:
    """Too few replicas queue requests until they time out."""
    judged = traffic_of(rule)
    if judged is None:
        return
    idle = judged.idle_color
    weight, has, full = judged.weights[idle], judged.colors[idle].replicas, judged.colors[judged.active_color].replicas
    needs = replicas_for_weight(weight, full, replicas_percent=options.replicas_percent)
    # That requests go to nobody at all is for the traffic policies.
    if 0 < has < needs:
        must = f"at least {needs} at weight {weight}, with {full} of {judged.active_color}"
        fix = f"Set {idle}.replicas to {full}, or green_weight so that {idle} gets less."
        yield wrong(rule, f"the number of {idle} replicas", has, must, fix)


@resource_policy(
    "capacity-active-color-runs",
    LISTENER_RULE,
    description="While the idle colour has weight, the active colour must run: it is the way back.",
    fix="Un-park the active colour, or set active_color to the colour that serves.",
    severity=Severity.CRITICAL,
)
def active_color_runs(rule: Resource, _: Options) -> Iterator[str]:
    """A rollback puts all traffic on the active colour at once, without waiting for a cold start."""
    judged = traffic_of(rule)
    if judged is None:
        return
    active, idle = judged.active_color, judged.idle_color
    # A new stack may have its weight anywhere: nobody runs, nothing can be lost.
    if judged.weights[idle] and judged.colors[idle].replicas and not judged.colors[active].replicas:
        must = f"running while {idle} has weight {judged.weights[idle]}"
        fix = f"Set {active}.parked to false, or active_color to {idle} if that is to stay."
        yield wrong(rule, f"{active}, the active colour,", judged.colors[active], must, fix)


@service_policy(
    "capacity-tags-tell-the-truth",
    description="What the weighted rule's tags say of a colour that requests go to, or may have to go back to, must be "
    "what its Deployment is.",
    fix="Let the program write the tags, or write them anew when a Deployment changes.",
)
def tags_tell_the_truth(service: Service, _: Options) -> Iterator[Finding]:
    """Policies, scripts and people who see the rule alone go by its tags.

    A rollback updates the rule alone, while its colours may be in the middle of something else: so nothing is said of
    an idle colour without weight or promise, and of an active colour that has all traffic only whether it runs.
    """
    traffic, rule = service.traffic, service.rule
    if traffic is None or rule is None or not any(pods_of(service, color) for color in COLORS):
        return
    shifted = traffic.weights[traffic.idle_color] > 0
    for color in COLORS:
        said, found = traffic.colors[color], _state(service, color)
        if color == traffic.idle_color:
            lies = said != found and (shifted or is_kept_warm(traffic, clock.now()))
        else:
            lies = said != found if shifted else bool(said.replicas) != bool(found.replicas)
        if lies:
            fix = "Let the program write the tag, and bring the Deployment in line with it."
            yield _finding(rule, f"the tag of {color}", said, f"{found}, what its Deployment is", fix)


def _state(service: Service, color: Color) -> ColorState:
    """Return what a colour is, by its Deployments."""
    labels = [table(pods.deployment.get("spec.template.metadata.labels")) for pods in pods_of(service, color)]
    releases = {str(one.get(RELEASE_KEY, "unnamed")) for one in labels}
    return ColorState(release_id=" and ".join(sorted(releases)) or None, replicas=replicas_of(service, color))


def _finding(resource: Resource, field: str, value: object, must: str, fix: str) -> Finding:
    return Finding(message=wrong(resource, field, value, must, fix), resource=resource)
