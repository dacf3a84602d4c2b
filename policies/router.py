"""The reader of a service's way in: target groups, load balancers and listeners, and the conditions of rules."""

from collections.abc import Iterator, Mapping
from typing import Any

from components.domain.naming import CANDIDATE_ROUTE_HEADER, Color
from policies.resources import (
    LISTENER,
    LISTENER_RULE,
    LOAD_BALANCER,
    TARGET_GROUP,
    Resource,
    at,
    is_on,
    table,
    tables,
)
from policies.rule import color_in, shares
from policies.service import Service


def target_group_color(resource: Resource) -> Color | None:
    """Return the colour of a target group, from its tag or its name; none for anything else."""
    if resource.type != TARGET_GROUP:
        return None
    return (
        resource.color
        or color_in(str(resource.get("name")), resource.service)
        or color_in(resource.name, resource.service)
    )


def leads_to_pods(forwarder: Resource) -> bool:
    """Tell a rule or a listener that forwards to a colour's target group."""
    return any(share.color for share in shares(forwarder))


def is_application(load_balancer: Resource) -> bool:
    """Tell an Application Load Balancer, AWS's default, from one that knows nothing of HTTP."""
    return load_balancer.get("loadBalancerType") in (None, "application")


def is_internet_facing(load_balancer: Resource) -> bool:
    """Tell whether it gets public addresses, which it does unless told otherwise."""
    return not is_on(load_balancer.get("internal"))


def is_encrypted(listener: Resource) -> bool:
    """Tell whether clients speak TLS to it; AWS takes plain HTTP where nothing is said."""
    return listener.get("protocol") in ("HTTPS", "TLS")


def only_redirects(listener: Resource) -> bool:
    """Tell whether its default is to send clients to HTTPS; a redirect keeps the protocol unless it names one."""
    actions = list(tables(listener.get("defaultActions")))
    return bool(actions) and all(at(action, "redirect.protocol") == "HTTPS" for action in actions)


def listeners_by_balancer(service: Service) -> list[tuple[Resource | None, list[Resource]]]:
    """Return the service's load balancers with their listeners; none for one that is not the stack's own."""
    balancers, listeners = list(service.of(LOAD_BALANCER)), list(service.of(LISTENER))
    if len(balancers) <= 1:
        # Without asking for an ARN, which nobody knows before the load balancer is made.
        return [(next(iter(balancers), None), listeners)]
    return [
        (balancer, [listener for listener in listeners if listener.get("loadBalancerArn") == balancer.get("arn")])
        for balancer in balancers
    ]


def path_conditions(rule: Resource) -> Iterator[Mapping[str, Any]]:
    """Yield the path patterns of a rule's conditions, of which a request must meet every one."""
    return (table(one) for one in _conditions(rule, "pathPattern") if one is not None)


def candidate_header(rule: Resource) -> Mapping[str, Any] | None:
    """Return a rule's condition on the candidate routes' header; what it says is secret."""
    headers = (table(one) for one in _conditions(rule, "httpHeader") if one is not None)
    return next((one for one in headers if str(one.get("httpHeaderName")).lower() == CANDIDATE_ROUTE_HEADER), None)


def candidate_routes(service: Service, color: Color) -> Iterator[Resource]:
    """Yield the rules that are there to reach one colour at any weight."""
    for rule in service.of(LISTENER_RULE):
        if rule.role == "candidate-rule":
            if rule.color == color:
                yield rule
        elif rule.role is None and candidate_header(rule) and {share.color for share in shares(rule)} == {color}:
            yield rule


def _conditions(rule: Resource, kind: str) -> Iterator[Any]:
    return (condition.get(kind) for condition in tables(rule.get("conditions")))
