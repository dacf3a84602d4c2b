"""The reader of node groups: whose pods they take, what their nodes are, and how many replicas there is room for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any, Final

from components.domain.capacity import CapacityError, ReplicaShape, instance_type, replicas_per_node
from components.domain.naming import COLOR_KEY, COLORS, RESERVATION_ENDS_KEY, Color
from policies.pods import Pods
from policies.resources import DEPLOYMENT, LAUNCH_TEMPLATE, NODE_GROUP, Resource, at, items, table, whole
from policies.service import Service

EKS_DEFAULT_TYPE: Final = "t3.medium"
"""What EKS takes where neither the node group nor its launch template says anything."""


class NodeGroup:
    """One node group, with the launch template that says what its nodes are made from."""

    def __init__(self, resource: Resource, template: Resource | None) -> None:
        """Read a node group; the template is none where the stack does not have it."""
        self.resource = resource
        self._template: Mapping[str, Any] = {} if template is None else template.props
        self._has_template = template is not None

    @cached_property
    def color(self) -> Color | None:
        """The colour whose pods find these nodes; none: those of both do."""
        labelled = table(self.resource.get("labels")).get(COLOR_KEY)
        named: list[Color] = [color for color in COLORS if color == labelled]
        return named[0] if named else self.resource.color

    @cached_property
    def instance_types(self) -> Sequence[str] | None:
        """The types that a node may be of; none where the stack does not say."""
        if named := [str(name) for name in items(self.resource.get("instanceTypes"))]:
            return named
        if self.resource.get("launchTemplate") is not None and not self._has_template:
            return None
        return [str(self._template.get("instanceType") or EKS_DEFAULT_TYPE)]

    def nodes(self, size: str) -> int:
        """Return one of its sizes, ``maxSize`` say, in nodes."""
        return whole(self.resource.get(f"scalingConfig.{size}")) or 0

    @property
    def is_resized_by_others(self) -> bool:
        """Whether the program leaves the desired size to somebody else, such as an autoscaler."""
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
        """Whether its nodes need a reservation to start in."""
        asked = table(self._template.get("capacityReservationSpecification"))
        only = asked.get("capacityReservationPreference") == "capacity-reservations-only"
        # The reservation itself may not be there yet, and is not read.
        return self.is_in_block or only or len(table(asked.get("capacityReservationTarget"))) > 0

    @property
    def reservation_ends(self) -> str:
        """What its tag says of the reservation's end; empty: nothing."""
        return str(self.resource.marks.get(RESERVATION_ENDS_KEY) or "")

    def places(self, shapes: Sequence[ReplicaShape]) -> int | None:
        """Return how many replicas a node holds, of the shape that fits best; none where that cannot be known."""
        types = self.instance_types
        try:
            known = [instance_type(name) for name in types or ()]
            counts = [min(replicas_per_node(one, shape) for one in known) for shape in shapes if known]
        except CapacityError:
            return None
        return max(counts, default=None)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The node groups that take the same pods: one colour's, or both colours'."""

    colors: Sequence[Color]
    groups: Sequence[NodeGroup]


def groups_of(service: Service) -> list[NodeGroup]:
    """Return the node groups of a service."""
    templates = list(service.of(LAUNCH_TEMPLATE))
    return [NodeGroup(resource, _template_of(resource, templates)) for resource in service.of(NODE_GROUP)]


def pools_of(service: Service) -> list[Pool]:
    """Return where each colour's pods go: to nodes of its own where it has any, else to those that are for both."""
    groups = groups_of(service)
    shared = [group for group in groups if group.color is None]
    own: dict[Color, list[NodeGroup]] = {
        color: found for color in COLORS if (found := [group for group in groups if group.color == color])
    }
    pools = [Pool(colors=(color,), groups=found) for color, found in own.items()]
    others: list[Color] = [color for color in COLORS if color not in own]
    return [*pools, Pool(colors=others, groups=shared)] if shared else pools


def pods_of(service: Service, color: Color) -> list[Pods]:
    """Return a colour's pods, those of each of its Deployments that runs vLLM."""
    return [pods for deployment in service.of(DEPLOYMENT, color) if (pods := Pods(deployment)).container]


def replicas_of(service: Service, color: Color) -> int:
    """Return how many replicas of a colour are to run; none while it is parked."""
    return sum(pods.replicas for pods in pods_of(service, color))


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """A node group that is too small, and the number of nodes that would do."""

    group: NodeGroup
    nodes: int
    least_nodes: int


def shortage(service: Service, pool: Pool, size: str, *, replicas: int, spare_nodes: int = 0) -> Shortage | None:
    """Tell whether a pool of this size has too few nodes; none also where nobody can tell how many replicas fit."""
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
    """Find a group's launch template without its id, which is not known before it exists."""
    if group.get("launchTemplate") is None:
        return None
    alike = [one for one in templates if one.name == group.name] or [
        one for one in templates if one.color == group.color
    ]
    return alike[0] if len(alike) == 1 else None
