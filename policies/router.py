"""Read a service's entry point: target groups, load balancers, listeners, and the conditions of rules."""

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
    """Return the colour of a target group, from its tag or its name; None for anything else."""
    if resource.type != TARGET_GROUP:
        return None
    return (
        resource.color
        or color_in(str(resource.get("name")), resource.service)
        or color_in(resource.name, resource.service)
    )


def leads_to_pods(forwarder: Resource) -> bool:
    """Return whether a rule or a listener forwards to a colour's target group."""
    return any(share.color for share in shares(forwarder))


def is_application(load_balancer: Resource) -> bool:
    """Return whether this is an Application Load Balancer, which is AWS's default type."""
    return load_balancer.get("loadBalancerType") in (None, "application")


def is_internet_facing(load_balancer: Resource) -> bool:
    """Return whether the load balancer gets public addresses, which is AWS's default."""
    return not is_on(load_balancer.get("internal"))


def is_encrypted(listener: Resource) -> bool:
    """Return whether clients use TLS with this listener; AWS's default is plain HTTP."""
    return listener.get("protocol") in ("HTTPS", "TLS")


def only_redirects(listener: Resource) -> bool:
    """Return whether all default actions redirect to HTTPS; a redirect keeps the protocol unless it names one."""
    actions = list(tables(listener.get("defaultActions")))
    return bool(actions) and all(at(action, "redirect.protocol") == "HTTPS" for action in actions)


def listeners_by_balancer(service: Service) -> list[tuple[Resource | None, list[Resource]]]:
    """Return the service's load balancers with their listeners; None stands for a load balancer outside the stack."""
    balancers, listeners = list(service.of(LOAD_BALANCER)), list(service.of(LISTENER))
    if len(balancers) <= 1:
        # This reads no ARN, because the ARN is unknown before the load balancer exists.
        return [(next(iter(balancers), None), listeners)]
    return [
        (balancer, [listener for listener in listeners if listener.get("loadBalancerArn") == balancer.get("arn")])
        for balancer in balancers
    ]


def path_conditions(rule: Resource) -> Iterator[Mapping[str, Any]]:
    """Yield the path patterns of a rule's conditions; a request must match each of them."""
    return (table(one) for one in _conditions(rule, "pathPattern") if one is not None)


def candidate_header(rule: Resource) -> Mapping[str, Any] | None:
    """Return a rule's condition on the candidate routes' header; its values are secret."""
    headers = (table(one) for one in _conditions(rule, "httpHeader") if one is not None)
    return next((one for one in headers if str(one.get("httpHeaderName")).lower() == CANDIDATE_ROUTE_HEADER), None)


def has_header(rule: Resource) -> bool:
    """Return whether a rule takes only requests with a certain header."""
    return any(table(one).get("httpHeaderName") for one in _conditions(rule, "httpHeader"))


def candidate_routes(service: Service, color: Color) -> Iterator[Resource]:
    """Yield the rules that reach one colour at any weight."""
    for rule in service.of(LISTENER_RULE):
        if rule.role == "candidate-rule":
            if rule.color == color:
                yield rule
        elif rule.role is None and candidate_header(rule) and {share.color for share in shares(rule)} == {color}:
            yield rule


def _conditions(rule: Resource, kind: str) -> Iterator[Any]:
    return (condition.get(kind) for condition in tables(rule.get("conditions")))
