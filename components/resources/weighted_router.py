"""The way of a request: load balancer, listener, a target group per colour, and the rules that choose between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_aws import lb

from components.config import route_secret
from components.config.router_settings import AccessLogs, AlarmSettings, ListenerSettings
from components.domain.drain_chain import DrainChain
from components.domain.load_balancer_arns import load_balancer_dimension
from components.domain.naming import (
    CANDIDATE_ROUTE_HEADER,
    COLORS,
    PORT,
    PROJECT,
    Color,
    Role,
    aws_tags,
    color_name,
)
from components.domain.traffic import Traffic
from components.resources.own_load_balancer import OwnLoadBalancer, OwnLoadBalancerArgs
from components.resources.router_alarms import RouterAlarms, RouterAlarmsArgs

# Only the API is reachable: vLLM serves more than that without asking for a key (/metrics, /invocations, /pause).
API_PATHS = "/v1/*"
CANDIDATE_PRIORITIES: Mapping[Color, int] = {"blue": 10, "green": 11}
WEIGHTED_PRIORITY = 100
# ALB wants a valid duration even where stickiness is off.
_UNUSED_STICKINESS_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class WeightedRouterArgs:
    """Where the load balancer stands, who may reach it, and how it treats requests and targets.

    With a ``listener`` to join there is no load balancer to make, and what describes one is not looked at.
    """

    service: str
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    pod_security_group_id: pulumi.Input[str]
    client_cidrs: Sequence[str]
    internet_facing: bool
    certificate_arn: pulumi.Input[str] | None
    candidate_route_secret: pulumi.Input[str]
    drain_chain: DrainChain
    health_check_interval_seconds: int
    traffic: Traffic
    protect: bool
    guards: pulumi.ResourceHookBinding | None = None
    listener: ListenerSettings | None = None
    access_logs: AccessLogs | None = None
    alarms: AlarmSettings = field(default_factory=AlarmSettings)


class WeightedRouter(pulumi.ComponentResource):
    """Splits new requests between the colours; both target groups always stay in the rule, whatever their weights."""

    TYPE = "vllm-blue-green:index:WeightedRouter"

    own: OwnLoadBalancer | None
    """Load balancer and listener; none where another's listener is joined."""
    load_balancer_security_group_id: pulumi.Output[str]
    target_groups: dict[Color, lb.TargetGroup]
    candidate_rules: dict[Color, lb.ListenerRule]
    weighted_rule: lb.ListenerRule
    endpoint: pulumi.Output[str] | None
    """How clients reach a load balancer of our own; none where another's listener is joined."""

    def __init__(self, name: str, args: WeightedRouterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, {}, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self._guarded_child = pulumi.ResourceOptions(parent=self, protect=args.protect)
        if args.listener is None:
            self.own = self._create_load_balancer()
            self.endpoint = self.own.endpoint
            self.load_balancer_security_group_id = self.own.security_group.id
            self._listener_arn = self.own.listener.arn
            load_balancer = self.own.load_balancer.arn_suffix
            self._candidate_priorities, self._weighted_priority = CANDIDATE_PRIORITIES, WEIGHTED_PRIORITY
        else:
            self.own = self.endpoint = None
            self.load_balancer_security_group_id = pulumi.Output.from_input(args.listener.security_group_id)
            self._listener_arn = pulumi.Output.from_input(args.listener.arn)
            load_balancer = pulumi.Output.from_input(load_balancer_dimension(args.listener.load_balancer_arn))
            self._candidate_priorities = args.listener.candidate_priorities
            self._weighted_priority = args.listener.rule_priority
        self.target_groups = {color: self._create_target_group(color) for color in COLORS}
        secret = pulumi.Output.secret(args.candidate_route_secret).apply(_checked_secret)
        self.candidate_rules = {color: self._create_candidate_rule(color, secret) for color in COLORS}
        self.weighted_rule = self._create_weighted_rule()
        self._create_alarms(load_balancer)
        self.register_outputs({"endpoint": self.endpoint, "weighted_rule_arn": self.weighted_rule.arn})

    def _tags(self, role: Role, color: Color | None = None) -> dict[str, str]:
        return aws_tags(pulumi.get_stack(), self._args.service, role, color)

    def _create_load_balancer(self) -> OwnLoadBalancer:
        args = self._args
        return OwnLoadBalancer(
            self._name,
            OwnLoadBalancerArgs(
                service=args.service,
                vpc_id=args.vpc_id,
                subnet_ids=args.subnet_ids,
                pod_security_group_id=args.pod_security_group_id,
                client_cidrs=args.client_cidrs,
                internet_facing=args.internet_facing,
                certificate_arn=args.certificate_arn,
                access_logs=args.access_logs,
                idle_timeout_seconds=args.drain_chain.idle_timeout_seconds,
                protect=args.protect,
            ),
            parent=self,
        )

    def _create_alarms(self, load_balancer: pulumi.Output[str]) -> None:
        RouterAlarms(
            self._name,
            RouterAlarmsArgs(
                service=self._args.service,
                load_balancer=load_balancer,
                target_groups={color: group.arn_suffix for color, group in self.target_groups.items()},
                owns_load_balancer=self.own is not None,
                settings=self._args.alarms,
                max_stream_seconds=self._args.drain_chain.shutdown_timeout_seconds,
            ),
            parent=self,
        )

    def _create_target_group(self, color: Color) -> lb.TargetGroup:
        interval = self._args.health_check_interval_seconds
        return lb.TargetGroup(
            color_name(self._name, color),
            vpc_id=self._args.vpc_id,
            target_type="ip",
            protocol="HTTP",
            protocol_version="HTTP1",
            port=PORT,
            deregistration_delay=self._args.drain_chain.deregistration_delay_seconds,
            # One generation may take a hundred times as long as another, so taking turns would pile them up.
            load_balancing_algorithm_type="least_outstanding_requests",
            # It does not go with that algorithm, and does nothing for a group that was empty: pods warm up themselves.
            slow_start=0,
            health_check=lb.TargetGroupHealthCheckArgs(
                path="/health",
                protocol="HTTP",
                port="traffic-port",
                matcher="200",
                interval=interval,
                timeout=min(5, interval - 1),
                healthy_threshold=2,
                unhealthy_threshold=3,
            ),
            # A cookie would outrank the weights, and a rollback would wait until it expires.
            stickiness=lb.TargetGroupStickinessArgs(type="lb_cookie", enabled=False),
            tags=self._tags("target-group", color),
            opts=self._guarded_child,
        )

    def _addressed(self) -> list[lb.ListenerRuleConditionArgs]:
        """Return the conditions that every rule of the service has: the API's paths and, if asked, its host."""
        paths = lb.ListenerRuleConditionArgs(
            path_pattern=lb.ListenerRuleConditionPathPatternArgs(values=[API_PATHS]),
        )
        host = None if self._args.listener is None else self._args.listener.host
        if host is None:
            return [paths]
        hosts = lb.ListenerRuleConditionHostHeaderArgs(values=[host])
        return [paths, lb.ListenerRuleConditionArgs(host_header=hosts)]

    def _create_candidate_rule(self, color: Color, secret: pulumi.Output[str]) -> lb.ListenerRule:
        """Reach one colour at any weight: how smoke tests and evaluations get to a candidate without traffic."""
        return lb.ListenerRule(
            f"{color_name(self._name, color)}-candidate",
            listener_arn=self._listener_arn,
            priority=self._candidate_priorities[color],
            conditions=[
                lb.ListenerRuleConditionArgs(
                    http_header=lb.ListenerRuleConditionHttpHeaderArgs(
                        http_header_name=CANDIDATE_ROUTE_HEADER,
                        values=[pulumi.Output.concat(color, "-", secret)],
                    )
                ),
                *self._addressed(),
            ],
            actions=[lb.ListenerRuleActionArgs(type="forward", target_group_arn=self.target_groups[color].arn)],
            tags=self._tags("candidate-rule", color),
            opts=self._child,
        )

    def _create_weighted_rule(self) -> lb.ListenerRule:
        traffic = self._args.traffic
        return lb.ListenerRule(
            self._name,
            listener_arn=self._listener_arn,
            priority=self._weighted_priority,
            conditions=self._addressed(),
            actions=[
                lb.ListenerRuleActionArgs(
                    type="forward",
                    forward=lb.ListenerRuleActionForwardArgs(
                        # Both, even at weight 0: a target group outside every rule gets no health checks.
                        target_groups=[
                            lb.ListenerRuleActionForwardTargetGroupArgs(
                                arn=self.target_groups[color].arn, weight=traffic.weights[color]
                            )
                            for color in COLORS
                        ],
                        stickiness=lb.ListenerRuleActionForwardStickinessArgs(
                            enabled=False, duration=_UNUSED_STICKINESS_SECONDS
                        ),
                    ),
                )
            ],
            tags={**self._tags("weighted-rule"), **traffic.tags()},
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect, hooks=self._args.guards),
        )


def _checked_secret(secret: str) -> str:
    if violation := route_secret.value_violation(secret):
        raise pulumi.RunError(violation.line(f"{PROJECT}:"))
    return secret
