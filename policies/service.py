"""The resources of one service, found by their tags and labels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from components.domain.balancer.traffic import Traffic
from components.domain.naming import Color
from policies.resources import LISTENER_RULE, Resource
from policies.rule import is_weighted_rule, traffic


@dataclass
class Service:
    """A service and all resources whose tags or labels name it."""

    name: str
    resources: list[Resource] = field(default_factory=list[Resource])

    def of(self, type_: str, color: Color | None = None) -> Iterator[Resource]:
        """Yield the resources of a type; with a colour, those of that colour alone."""
        return (one for one in self.resources if one.type == type_ and (color is None or one.color == color))

    @cached_property
    def rule(self) -> Resource | None:
        """The weighted rule."""
        return next((one for one in self.of(LISTENER_RULE) if is_weighted_rule(one)), None)

    @cached_property
    def traffic(self) -> Traffic | None:
        """The weighted rule's weights and tags; None when there is no rule, or it cannot be read."""
        return None if self.rule is None else traffic(self.rule)


def services_of(resources: Iterable[Resource]) -> list[Service]:
    """Group a stack's resources by the service in their tags or labels; resources without one are left out."""
    services: dict[str, Service] = {}
    for resource in resources:
        name = resource.service
        if name is not None:
            services.setdefault(name, Service(name)).resources.append(resource)
    return list(services.values())
