"""Load balancers and target groups as immutable objects: what the API requested at one moment."""

from dataclasses import dataclass
from typing import NamedTuple


class TargetKey(NamedTuple):
    """A registered target. One address on two ports is two targets."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A target group's health check. `port` is None when it is the traffic port."""

    path: str
    port: int | None
    interval_seconds: float
    timeout_seconds: float
    healthy_threshold: int
    unhealthy_threshold: int
    good_statuses: tuple[tuple[int, int], ...]

    def accepts(self, status: int) -> bool:
        return any(low <= status <= high for low, high in self.good_statuses)


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """One target group with its registered targets."""

    arn: str
    name: str
    color: str | None
    algorithm: str
    deregistration_delay_seconds: int
    health_check: HealthCheck
    targets: tuple[TargetKey, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule; any of `values` may match. `name` is the header of an http-header condition."""

    field: str
    values: tuple[str, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """Forward to target groups by weight; `stickiness_seconds` is None when group stickiness is off."""

    weights: tuple[tuple[str, int], ...]
    stickiness_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class FixedResponse:
    status: int
    content_type: str
    body: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect. Parts may contain the placeholders #{protocol}, #{host}, #{port}, #{path} and #{query}."""

    status: int
    protocol: str
    host: str
    port: str
    path: str
    query: str


Action = Forward | FixedResponse | Redirect


@dataclass(frozen=True, slots=True)
class Rule:
    """A listener rule; `priority` is None for the default rule. `kind` names its role in the access log."""

    arn: str
    kind: str
    priority: int | None
    conditions: tuple[Condition, ...]
    action: Action


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener with its rules in the order of evaluation, the default rule last."""

    arn: str
    protocol: str
    port: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    arn: str
    name: str
    dns_name: str
    idle_timeout_seconds: int
    drop_invalid_header_fields: bool
    listeners: tuple[Listener, ...]

    @property
    def serving(self) -> Listener | None:
        """The listener that the data plane's one port serves: the one that has rules, or the HTTPS one."""
        return max(self.listeners, key=lambda one: (len(one.rules), one.protocol == "HTTPS"), default=None)


@dataclass(frozen=True, slots=True)
class Topology:
    load_balancers: tuple[LoadBalancer, ...] = ()
    target_groups: tuple[TargetGroup, ...] = ()


def rules_of(load_balancers: tuple[LoadBalancer, ...]) -> dict[str, Rule]:
    """Return all rules by ARN."""
    return {rule.arn: rule for balancer in load_balancers for listener in balancer.listeners for rule in listener.rules}


def groups_in_use(load_balancers: tuple[LoadBalancer, ...]) -> dict[str, str]:
    """Return the target groups that a rule names at any weight, each with its load balancer's ARN."""
    return {
        arn: balancer.arn
        for balancer in load_balancers
        for listener in balancer.listeners
        for rule in listener.rules
        if isinstance(rule.action, Forward)
        for arn, _ in rule.action.weights
    }


def metric_dimension(arn: str) -> str:
    """Return the part of an ARN that CloudWatch uses: `targetgroup/name/id`, or `app/name/id` for a load balancer."""
    return arn.rsplit(":", 1)[1].removeprefix("loadbalancer/")
