"""Read node groups: whose pods they take, their nodes' instance types, and how many replicas fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any, Final

from components.domain.capacity.capacity import CapacityError, ReplicaShape, instance_type, nodes_for, replicas_per_node
from components.domain.naming import COLOR_KEY, COLORS, GPU_RESOURCE, RESERVATION_ENDS_KEY, Color
from components.domain.nodes.node_pools import required_types
from policies.pods import Pods
from policies.resources import DEPLOYMENT, LAUNCH_TEMPLATE, NODE_GROUP, NODE_POOL, Resource, at, items, table, whole
from policies.scaling import least_replicas, most_replicas
from policies.service import Service

EKS_DEFAULT_TYPE: Final = "t3.medium"
"""EKS's default when neither the node group nor its launch template names an instance type."""


class NodeGroup:
    """One node group with its launch template."""

    def __init__(self, resource: Resource, template: Resource | None) -> None:
        """Read a node group. The template is None when the stack does not contain it."""
        self.resource = resource
        self._template: Mapping[str, Any] = {} if template is None else template.props
        self._has_template = template is not None

    @cached_property
    def color(self) -> Color | None:
        """The colour whose pods run on these nodes; None when both colours' pods do."""
        labelled = table(self.resource.get("labels")).get(COLOR_KEY)
        named: list[Color] = [color for color in COLORS if color == labelled]
        return named[0] if named else self.resource.color

    @cached_property
    def instance_types(self) -> Sequence[str] | None:
        """The possible instance types of a node; None when the stack does not contain them."""
        if named := [str(name) for name in items(self.resource.get("instanceTypes"))]:
            return named
        if self.resource.get("launchTemplate") is not None and not self._has_template:
            return None
        return [str(self._template.get("instanceType") or EKS_DEFAULT_TYPE)]

    def nodes(self, size: str) -> int:
        """Return one of the group's sizes, such as ``maxSize``, in nodes."""
        return whole(self.resource.get(f"scalingConfig.{size}")) or 0

    @property
    def is_resized_by_others(self) -> bool:
        """Whether the program ignores changes of the desired size, for example by an autoscaler."""
        return any(
            path == "*" or path == "scalingConfig" or "desiredSize" in path for path in self.resource.ignore_changes
        )

    @cached_property
    def is_in_block(self) -> bool:
        """Whether its nodes run in a Capacity Block."""
        market = at(self._template, "instanceMarketOptions.marketType")
        return self.resource.get("capacityType") == "CAPACITY_BLOCK" or market == "capacity-block"

    @cached_property
    def is_reserved(self) -> bool:
        """Whether its nodes can start only in a reservation."""
        specification = table(self._template.get("capacityReservationSpecification"))
        only = specification.get("capacityReservationPreference") == "capacity-reservations-only"
        # Only the number of keys is read: the reservation's id may not be known yet.
        return self.is_in_block or only or len(table(specification.get("capacityReservationTarget"))) > 0

    @property
    def reservation_ends(self) -> str:
        """The reservation's end from the group's tag; empty when there is none."""
        return str(self.resource.marks.get(RESERVATION_ENDS_KEY) or "")

    def places(self, shapes: Sequence[ReplicaShape]) -> int | None:
        """Return how many replicas fit a node, for the shape that fits best; None when unknown."""
        types = self.instance_types
        try:
            known = [instance_type(name) for name in types or ()]
            counts = [min(replicas_per_node(one, shape) for one in known) for shape in shapes if known]
        except CapacityError:
            return None
        return max(counts, default=None)


class KarpenterPool:
    """One node pool of Karpenter or EKS Auto Mode."""

    def __init__(self, resource: Resource) -> None:
        """Read a node pool."""
        self.resource = resource

    @property
    def colors(self) -> Sequence[Color]:
        """The colours whose pods run on its nodes: its own, or both."""
        return COLORS if self.resource.color is None else (self.resource.color,)

    @cached_property
    def instance_types(self) -> Sequence[str]:
        """The instance types that its requirements name. Empty when they name none."""
        return required_types(self.resource.get("spec.template.spec.requirements")) or ()

    @property
    def budgets(self) -> Any:
        """Its disruption budgets."""
        return self.resource.get("spec.disruption.budgets")

    @property
    def most_gpus(self) -> int | None:
        """The most GPUs of its nodes together. None when it has no such limit."""
        return whole(table(self.resource.get("spec.limits")).get(GPU_RESOURCE))

    def needed_gpus(self, replicas: int, shapes: Sequence[ReplicaShape]) -> int | None:
        """Return how many GPUs the nodes for so many replicas have. None when it is unknown."""
        try:
            known = [instance_type(name) for name in self.instance_types]
            needed = [nodes_for(replicas, one, shape) * one.gpus for one in known for shape in shapes]
        except CapacityError:
            return None
        return max(needed, default=None)


def node_pools_of(service: Service) -> list[KarpenterPool]:
    """Return the node pools of a service."""
    return [KarpenterPool(resource) for resource in service.of(NODE_POOL)]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The node groups that take the same pods: those of one colour, or of both."""

    colors: Sequence[Color]
    groups: Sequence[NodeGroup]


def groups_of(service: Service) -> list[NodeGroup]:
    """Return the node groups of a service."""
    templates = list(service.of(LAUNCH_TEMPLATE))
    return [NodeGroup(resource, _template_of(resource, templates)) for resource in service.of(NODE_GROUP)]


def pools_of(service: Service) -> list[Pool]:
    """Return the pools of each colour's pods: the colour's own groups if it has any, else the shared groups."""
    groups = groups_of(service)
    shared = [group for group in groups if group.color is None]
    own: dict[Color, list[NodeGroup]] = {
        color: found for color in COLORS if (found := [group for group in groups if group.color == color])
    }
    pools = [Pool(colors=(color,), groups=found) for color, found in own.items()]
    others: list[Color] = [color for color in COLORS if color not in own]
    return [*pools, Pool(colors=others, groups=shared)] if shared else pools


def pods_of(service: Service, color: Color) -> list[Pods]:
    """Return a colour's pods, one entry for each of its Deployments that has a container."""
    return [pods for deployment in service.of(DEPLOYMENT, color) if (pods := Pods(deployment)).container]


def replicas_of(service: Service, color: Color) -> int:
    """Return how many replicas of a colour should run, or run at least; 0 while it is parked."""
    return sum(least_replicas(service, pods) for pods in pods_of(service, color))


def most_replicas_of(service: Service, color: Color) -> int:
    """Return how many replicas of a colour may run; 0 while it is parked."""
    return sum(most_replicas(service, pods) for pods in pods_of(service, color))


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """A node group that is too small, and the number of nodes that it needs."""

    group: NodeGroup
    nodes: int
    least_nodes: int


def shortage(service: Service, pool: Pool, size: str, *, replicas: int, spare_nodes: int = 0) -> Shortage | None:
    """Return by how much a pool's ``size`` is too small; None when it is not, or when it is unknown how many fit."""
    shapes = _shapes(service, pool.colors) or _shapes(service, COLORS)
    places = [group.places(shapes) for group in pool.groups]
    known = [count for count in places if count]
    if len(known) < len(pool.groups):
        return None
    room = sum(group.nodes(size) * count for group, count in zip(pool.groups, known, strict=True))
    lacking = replicas + spare_nodes * known[0] - room
    first = pool.groups[0]
    nodes = first.nodes(size)
    return None if lacking <= 0 else Shortage(group=first, nodes=nodes, least_nodes=nodes + ceil(lacking / known[0]))


def _shapes(service: Service, colors: Sequence[Color]) -> list[ReplicaShape]:
    return [shape for color in colors for pods in pods_of(service, color) if (shape := pods.shape)]


def _template_of(group: Resource, templates: Sequence[Resource]) -> Resource | None:
    """Return a group's launch template by name or colour: its id is unknown before it exists."""
    if group.get("launchTemplate") is None:
        return None
    alike = [one for one in templates if one.name == group.name] or [
        one for one in templates if one.color == group.color
    ]
    return alike[0] if len(alike) == 1 else None
