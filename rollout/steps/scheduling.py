"""Checks that every replica of a candidate fits: on the free space of the current nodes, or on new nodes.

Pure. A server-side dry run does not help, because it does not run the scheduler: it admits a pod that fits nowhere.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from components.config.settings import ServiceSettings
from components.domain.capacity.capacity import (
    DAEMONSET_MEMORY_MIB,
    DAEMONSET_MILLICPUS,
    nodes_for,
    replicas_for_weight,
)
from components.domain.naming import COLORS, Color, pool_labels
from rollout.model.node_pools import NodePool
from rollout.model.nodes import BoundPod, Node, Resources
from rollout.model.plan import Plan


def replica_of(settings: ServiceSettings, color: Color) -> Resources:
    """Return the resources that one replica of a colour requests."""
    shape = settings.shape(color)
    return Resources(gpus=shape.gpus, millicpus=shape.millicpus, memory_mib=shape.memory_mib, pods=1)


def nodes_to_come(settings: ServiceSettings, candidate: Color) -> int:
    """Return how many nodes EKS or an autoscaler will start for the candidate."""
    replicas, instance, shape = replicas_to_come(settings, candidate), settings.instance, settings.shape(candidate)
    if settings.declares_nodes:
        up = settings.nodes_stay_up or settings.color(candidate).nodes_wanted
        return 0 if up else nodes_for(replicas, instance, shape)
    if not settings.nodes_follow_pods or (settings.node_pool is not None and settings.color(candidate).serves):
        return 0
    if not settings.shares_nodes or candidate == settings.active_color:
        return nodes_for(replicas, instance, shape)
    shape, serving = settings.largest_shape, settings.color(settings.active_color).wanted_replicas
    return nodes_for(serving + replicas, instance, shape) - nodes_for(serving, instance, shape)


def brings_nodes(pool: NodePool, settings: ServiceSettings, color: Color) -> bool:
    """Return whether a node pool of the cluster may bring nodes for a colour's pods."""
    if settings.existing_nodes is None or settings.node_pool is not None:
        return color in pool.colors
    return pool.may_take(settings.existing_nodes.node_selector, settings.tolerations)


def growing_nodes(settings: ServiceSettings, service: str, pods: Iterable[BoundPod]) -> int:
    """Return how many nodes the active colour may still ask for while an autoscaler resizes it, up to its ceiling."""
    if settings.autoscaling is None or not settings.nodes_follow_pods:
        return 0
    active, shape = settings.color(settings.active_color), settings.shape(settings.active_color)
    running = active.replicas - _unbound(settings, service, pods)
    return nodes_for(active.replicas, settings.instance, shape) - nodes_for(running, settings.instance, shape)


def whose_nodes(settings: ServiceSettings, colors: Sequence[Color], growing: int) -> str:
    """Return in words for whom new nodes are."""
    active = [f"{settings.active_color} at max_replicas"] if growing else []
    return " and ".join([*colors, *active])


def pool_violations(
    settings: ServiceSettings, color: Color, pools: Sequence[NodePool], coming: int, growing: int = 0
) -> Iterator[str]:
    """Yield a violation if no node pool may bring the nodes that a colour lacks, or their limits are too low.

    A pool that the program declares has the right limit, and may not be there yet.

    Args:
        settings: the service's settings.
        color: the colour.
        pools: the cluster's node pools.
        coming: how many nodes it lacks.
        growing: how many the active colour may ask for besides.
    """
    if settings.existing_nodes is None or settings.node_pool is not None or not coming:
        return
    selector = _selector(settings.existing_nodes.node_selector)
    usable = [pool for pool in pools if brings_nodes(pool, settings, color)]
    if not usable:
        yield (
            f"existing_nodes: no NodePool of the cluster ({', '.join(pool.name for pool in pools) or 'there is none'}) "
            f"brings nodes labelled {selector}, with taints that the pods tolerate. Give a NodePool these labels, or "
            "correct node_selector and tolerations"
        )
        return
    coming += growing
    free, needed = [pool.free_gpus for pool in usable], coming * settings.instance.gpus
    if None not in free and (left := sum(gpus or 0 for gpus in free)) < needed:
        yield (
            f"existing_nodes: {coming} new nodes for {whose_nodes(settings, [color], growing)} have {needed} GPUs, but "
            "the limits of the NodePools "
            f"{', '.join(pool.name for pool in usable)} leave {left}. Raise spec.limits of one"
        )


def replicas_to_come(settings: ServiceSettings, color: Color) -> int:
    """Return how many replicas of a colour a deploy starts: all, unless it is idle and has only the surge places."""
    return settings.first_replicas if color == settings.idle_color else settings.color(color).replicas


def without_nodes(settings: ServiceSettings) -> ServiceSettings:
    """Return the settings of a service whose nodes are all still to come, as before its first deployment."""
    if settings.nodes_follow_pods:
        parked = {color: settings.color(color).model_copy(update={"parked": True}) for color in COLORS}
        return settings.model_copy(update=parked)
    if not settings.declares_nodes:
        return settings
    down = {
        color: settings.color(color).model_copy(
            update={"provisioned": False, "replicas": replicas_to_come(settings, color)}
        )
        for color in COLORS
    }
    return settings.model_copy(update={"headroom_mode": "on_rollout", "surge_replicas": None, **down})


def scheduling_violations(
    settings: ServiceSettings, service: str, candidate: Color, *, nodes: Sequence[Node], pods: Sequence[BoundPod]
) -> Iterator[str]:
    """Yield a violation if not every replica of both colours fits at full size."""
    if coming := lacking_nodes(settings, service, candidate, nodes=nodes, pods=pods):
        yield from _new_node_violations(settings, service, candidate, coming, nodes, pods)
    else:
        yield from _live_node_violations(settings, service, candidate, nodes, pods)


def lacking_nodes(
    settings: ServiceSettings, service: str, candidate: Color, *, nodes: Sequence[Node], pods: Sequence[BoundPod]
) -> int:
    """Return how many nodes will start for the candidate: none where an autoscaler finds room on those that are there.

    All of the candidate's nodes, or none: what is partly there is left out.
    """
    if settings.nodes_follow_pods and not any(_live_node_violations(settings, service, candidate, nodes, pods)):
        return 0
    return nodes_to_come(settings, candidate)


def weight_violations(settings: ServiceSettings, plan: Plan) -> Iterator[str]:
    """Yield a violation for the first step that sends the candidate more traffic than its replicas can take."""
    candidate, outgoing = plan.candidate, plan.outgoing
    has, full = settings.color(candidate).replicas, settings.color(outgoing).replicas
    if plan.capacity is not None or settings.capacity is not None:
        yield from () if settings.capacity is None else _ladder_violations(settings, plan)
        return
    for number, step in enumerate(plan.steps, 1):
        needs = replicas_for_weight(step.candidate_percent, full)
        if has < needs:
            yield (
                f"{candidate}.replicas: is {has}, but step {number} ({step.candidate_percent} %) needs at least "
                f"{needs} of {outgoing}'s {full}, and the policy capacity-weight-needs-replicas would refuse it. Set "
                f"{candidate}.replicas to {full}"
            )
            return


def _ladder_violations(settings: ServiceSettings, plan: Plan) -> Iterator[str]:
    """Yield a violation if a rollout would not begin below the first rung, or if its ladder is out of date."""
    outgoing = settings.color(plan.outgoing)
    if outgoing.wanted_replicas < outgoing.replicas:
        yield (
            f"{plan.outgoing}.running_replicas: is {outgoing.running_replicas}, but a rollout begins with all "
            f"{outgoing.replicas} replicas of the colour that serves. Run scripts.rollback, which brings them back"
        )
    if plan.capacity != settings.capacity:
        yield (
            f"surge_replicas: the plan is for {plan.capacity or 'all replicas of both colours'}, but the config says "
            f"{settings.capacity}; start again"
        )


def _live_node_violations(
    settings: ServiceSettings, service: str, candidate: Color, nodes: Sequence[Node], pods: Sequence[BoundPod]
) -> Iterator[str]:
    selector, tolerations = settings.node_selector(service, candidate), settings.tolerations
    ours = [node for node in nodes if node.belongs_to(selector)]
    replica = replica_of(settings, candidate)
    leaving = pool_labels(service, candidate).items()  # the current pods of the candidate's colour are parked first
    staying = [pod for pod in pods if not leaving <= pod.labels.items()]
    places = {
        node.name: (node.allocatable - _asked_on(node.name, staying)).places(replica)
        for node in ours
        if not node.closed_to(tolerations)
    }
    needed, whose = replicas_to_come(settings, candidate), f"replicas of {candidate}"
    if settings.shares_nodes and candidate != settings.active_color and (missing := _unbound(settings, service, pods)):
        whose = f"replicas ({needed} of {candidate}, and {missing} of {settings.active_color} that have no node)"
        needed += missing
    if sum(places.values()) >= needed:
        return
    details = [
        f"{node.name} is {closed}"
        if (closed := node.closed_to(tolerations))
        else _describe_node(node, places[node.name], staying)
        for node in ours
    ]
    wait = "the node group has all its nodes" if settings.declares_nodes else "there are more of these nodes"
    yield (
        f"{candidate}.replicas: {needed} {whose} need places, but the nodes labelled "
        f"{_selector(selector)} have {sum(places.values())}: {'; '.join(details) or 'there is no such node'}. Wait "
        f"until {wait}, or remove other pods from them"
    )


def _new_node_violations(
    settings: ServiceSettings,
    service: str,
    candidate: Color,
    coming: int,
    nodes: Sequence[Node],
    pods: Sequence[BoundPod],
) -> Iterator[str]:
    """Check nodes that do not exist yet, by their instance type minus the daemonsets' share on current nodes."""
    instance, replica = settings.instance, replica_of(settings, candidate)
    ours = settings.declares_nodes or settings.node_pool is not None
    alike = pool_labels(service, None) if ours else settings.node_selector(service, candidate)
    share = daemonset_share([node for node in nodes if node.belongs_to(alike)], pods)
    offered = Resources(
        gpus=instance.gpus,
        millicpus=instance.allocatable_millicpus,
        memory_mib=instance.allocatable_memory_mib,
        pods=instance.max_pods,
    )
    each, needed = (offered - share).places(replica), replicas_to_come(settings, candidate)
    if each * coming < needed:
        yield (
            f"instance_type: {coming} new nodes of {instance.name} must run {needed} replicas of {candidate}, but "
            f"each has room for {each}: daemonsets request {share.millicpus} millicpus and {share.memory_mib} MiB on "
            "every node here. Lower replica_millicpus or replica_memory_mib, or choose a larger instance_type"
        )


def daemonset_share(nodes: Sequence[Node], pods: Iterable[BoundPod]) -> Resources:
    """Return the most that daemonsets request on one of these nodes, but at least the usual amount."""
    shares = {node.name: Resources() for node in nodes}
    for pod in pods:
        if pod.of_daemonset and pod.node in shares:
            shares[pod.node] += pod.requests
    return Resources(
        gpus=max((one.gpus for one in shares.values()), default=0),
        millicpus=max([DAEMONSET_MILLICPUS, *(one.millicpus for one in shares.values())]),
        memory_mib=max([DAEMONSET_MEMORY_MIB, *(one.memory_mib for one in shares.values())]),
        pods=max((one.pods for one in shares.values()), default=0),
    )


def _unbound(settings: ServiceSettings, service: str, pods: Iterable[BoundPod]) -> int:
    """Return how many replicas of the active colour are not bound to a node yet, or may come by an autoscaler."""
    active = settings.color(settings.active_color)
    labels = pool_labels(service, settings.active_color).items()
    bound = sum(labels <= pod.labels.items() for pod in pods)
    full = active.wanted_replicas if settings.autoscaling is None else active.replicas
    return max(full - bound, 0) if active.serves else 0


def _asked_on(node: str, pods: Iterable[BoundPod]) -> Resources:
    return sum((pod.requests for pod in pods if pod.node == node), Resources())


def _describe_node(node: Node, places: int, pods: Iterable[BoundPod]) -> str:
    free = node.allocatable - _asked_on(node.name, pods)
    return (
        f"{node.name} has {places} (free: {free.gpus} GPUs, {free.millicpus} millicpus, {free.memory_mib} MiB, "
        f"{free.pods} pods)"
    )


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())
