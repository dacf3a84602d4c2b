"""Reads moto's load balancing backend into a Topology."""

from collections.abc import Mapping, Sequence
from typing import Any

from moto.elbv2.models import ELBv2Backend, FakeAction, FakeListener, FakeLoadBalancer, FakeRule, FakeTargetGroup

from rehearsal.aws.topology import (
    Action,
    Condition,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    LoadBalancer,
    Redirect,
    Rule,
    TargetGroup,
    TargetKey,
    Topology,
)

COLOR_TAG = "vllm-blue-green/color"
ROLE_TAG = "vllm-blue-green/role"


def read_topology(backend: ELBv2Backend) -> Topology:
    """Read all load balancers and target groups. The caller must keep other threads from changing them meanwhile."""
    return Topology(
        load_balancers=tuple(_load_balancer(backend, one) for one in backend.load_balancers.values()),
        target_groups=tuple(_target_group(backend, one) for one in backend.target_groups.values()),
    )


def _tags(backend: ELBv2Backend, arn: str) -> Mapping[str, str]:
    return backend.tagging_service.get_tag_dict_for_resource(arn)


def _target_group(backend: ELBv2Backend, group: FakeTargetGroup) -> TargetGroup:
    port = str(group.health_check_port)
    return TargetGroup(
        arn=group.arn,
        name=group.name,
        color=_tags(backend, group.arn).get(COLOR_TAG),
        algorithm=str(group.attributes["load_balancing.algorithm.type"]),
        deregistration_delay_seconds=int(group.attributes["deregistration_delay.timeout_seconds"]),
        health_check=HealthCheck(
            path=group.health_check_path or "/",
            port=int(port) if port.isdigit() else None,
            interval_seconds=int(group.health_check_interval_seconds),
            timeout_seconds=int(group.health_check_timeout_seconds),
            healthy_threshold=int(group.healthy_threshold_count),
            unhealthy_threshold=int(group.unhealthy_threshold_count),
            good_statuses=_status_ranges(str(group.matcher["HttpCode"])),
        ),
        targets=tuple(TargetKey(one["Id"], int(one["Port"])) for one in group.targets.values()),
    )


def _status_ranges(matcher: str) -> tuple[tuple[int, int], ...]:
    """Return `200,202` or `200-299` as pairs of bounds."""
    bounds = [part.split("-") for part in matcher.split(",") if part]
    return tuple((int(pair[0]), int(pair[-1])) for pair in bounds)


def _load_balancer(backend: ELBv2Backend, balancer: FakeLoadBalancer) -> LoadBalancer:
    attributes = balancer.attrs
    invalid_fields = attributes.get("routing.http.drop_invalid_header_fields.enabled", "false")
    return LoadBalancer(
        arn=balancer.arn,
        name=balancer.name,
        dns_name=balancer.dns_name.lower(),
        idle_timeout_seconds=int(attributes.get("idle_timeout.timeout_seconds", 60)),
        drop_invalid_header_fields=str(invalid_fields).lower() == "true",
        listeners=tuple(
            _listener(backend, one) for one in balancer.listeners.values() if one.protocol in ("HTTP", "HTTPS")
        ),
    )


def _listener(backend: ELBv2Backend, listener: FakeListener) -> Listener:
    rules = [_rule(backend, rule) for rule in listener.rules.values()]
    rules.sort(key=lambda rule: (rule.priority is None, rule.priority or 0))
    return Listener(arn=listener.arn, protocol=listener.protocol, port=int(listener.port), rules=tuple(rules))


def _rule(backend: ELBv2Backend, rule: FakeRule) -> Rule:
    conditions = tuple(_condition(one) for one in rule.conditions)
    action = _action(rule.actions)
    role = _tags(backend, rule.arn).get(ROLE_TAG)
    return Rule(
        arn=rule.arn,
        kind=role.removesuffix("-rule") if role else _kind(conditions, action),
        priority=None if rule.is_default else int(rule.priority),
        conditions=conditions,
        action=action,
    )


def _kind(conditions: tuple[Condition, ...], action: Action) -> str:
    """Return the role of a rule without a role tag, derived from its conditions and action."""
    match action:
        case FixedResponse():
            return "fixed"
        case Redirect():
            return "redirect"
        case Forward(weights):
            by_header = any(one.field == "http-header" for one in conditions)
            return "candidate" if by_header and len(weights) == 1 else "weighted"


def _condition(condition: Mapping[str, Any]) -> Condition:
    field: str = condition["Field"]
    match field:
        case "http-header":
            config = condition["HttpHeaderConfig"]
            return Condition(field, tuple(config["Values"]), name=config["HttpHeaderName"])
        case "query-string":
            pairs: list[dict[str, str]] = condition["QueryStringConfig"]["Values"]
            return Condition(field, tuple(f"{pair.get('Key', '')}={pair['Value']}" for pair in pairs))
        case "path-pattern":
            return Condition(field, _values(condition, "PathPatternConfig"))
        case "host-header":
            return Condition(field, _values(condition, "HostHeaderConfig"))
        case "http-request-method":
            return Condition(field, _values(condition, "HttpRequestMethodConfig"))
        case _:
            return Condition(field, _values(condition, "SourceIpConfig"))


def _values(condition: Mapping[str, Any], config: str) -> tuple[str, ...]:
    return tuple(condition[config]["Values"] if config in condition else condition["Values"])


def _action(actions: Sequence[FakeAction]) -> Action:
    """Return the action that ends a rule; the rehearsal ignores authentication actions before it."""
    data = max(actions, key=lambda action: int(action.data.get("Order", 0))).data
    match data["Type"]:
        case "fixed-response":
            fixed = data["FixedResponseConfig"]
            return FixedResponse(
                status=int(fixed["StatusCode"]),
                content_type=fixed.get("ContentType", "text/plain"),
                body=fixed.get("MessageBody", ""),
            )
        case "redirect":
            redirect = data["RedirectConfig"]
            return Redirect(
                status=int(redirect["StatusCode"].removeprefix("HTTP_")),
                protocol=redirect.get("Protocol", "#{protocol}"),
                host=redirect.get("Host", "#{host}"),
                port=redirect.get("Port", "#{port}"),
                path=redirect.get("Path", "/#{path}"),
                query=redirect.get("Query", "#{query}"),
            )
        case _:
            return _forward(data)


def _forward(data: Mapping[str, Any]) -> Forward:
    config: Mapping[str, Any] = data.get("ForwardConfig", {})
    groups: Sequence[Mapping[str, Any]] = config.get("TargetGroups", ())
    if not groups:
        return Forward(((data["TargetGroupArn"], 1),))
    stickiness: Mapping[str, Any] = config.get("TargetGroupStickinessConfig", {})
    enabled = str(stickiness.get("Enabled", False)).lower() == "true"
    return Forward(
        weights=tuple((one["TargetGroupArn"], int(one.get("Weight", 1))) for one in groups),
        stickiness_seconds=int(stickiness["DurationSeconds"]) if enabled else None,
    )
