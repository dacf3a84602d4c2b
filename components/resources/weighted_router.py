"""The path of a request: load balancer, listener, one target group per colour, and the rules between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_aws import lb

from components.config.reading import route_secret
from components.config.sections.cohort_settings import CohortSettings
from components.config.sections.router_settings import AccessLogs, AlarmSettings, ListenerSettings
from components.domain.balancer.balancer_dashboard import DashboardLimits
from components.domain.balancer.listener_rules import OWN_PRIORITIES
from components.domain.balancer.load_balancer_arns import load_balancer_dimension
from components.domain.balancer.traffic import Traffic
from components.domain.naming import (
    CANDIDATE_ROUTE_HEADER,
    COHORT_KEY,
    COLORS,
    PORT,
    PROJECT,
    Color,
    Role,
    aws_tags,
    color_name,
)
from components.domain.pods.drain_chain import DrainChain
from components.resources.own_load_balancer import OwnLoadBalancer, OwnLoadBalancerArgs
from components.resources.router_alarms import RouterAlarms, RouterAlarmsArgs
from components.resources.router_dashboard import RouterDashboard, RouterDashboardArgs

# Clients reach only the API: vLLM serves other paths (/metrics, /invocations, /pause) without requiring a key.
# https://docs.vllm.ai/en/latest/usage/security/
API_PATHS = "/v1/*"
# The API requires a valid duration even when stickiness is off.
# https://github.com/pulumi/pulumi-aws/issues/1824
_UNUSED_STICKINESS_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class WeightedRouterArgs:
    """The load balancer's network, its clients, and how it treats requests and targets.

    With a ``listener`` to join, no load balancer is created, and its arguments are ignored.
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
    cohorts: Sequence[CohortSettings] = ()
    access_logs: AccessLogs | None = None
    alarms: AlarmSettings = field(default_factory=AlarmSettings)
    dashboard: DashboardLimits | None = None
    """The limits that a dashboard shows. None without a dashboard."""


class WeightedRouter(pulumi.ComponentResource):
    """Split new requests between the colours. Both target groups always stay in the rule, even at weight 0."""

    TYPE = "vllm-blue-green:index:WeightedRouter"

    own: OwnLoadBalancer | None
    """The service's own load balancer and listener; None when it joins an existing listener."""
    load_balancer_security_group_id: pulumi.Output[str]
    target_groups: dict[Color, lb.TargetGroup]
    candidate_rules: dict[Color, lb.ListenerRule]
    weighted_rule: lb.ListenerRule
    cohort_rules: dict[str, lb.ListenerRule]
    """By cohort."""
    endpoint: pulumi.Output[str] | None
    """URL of the service's own load balancer; None when it joins an existing listener."""

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
            self._priorities = OWN_PRIORITIES
        else:
            self.own = self.endpoint = None
            self.load_balancer_security_group_id = pulumi.Output.from_input(args.listener.security_group_id)
            self._listener_arn = pulumi.Output.from_input(args.listener.arn)
            load_balancer = pulumi.Output.from_input(load_balancer_dimension(args.listener.load_balancer_arn))
            self._priorities = args.listener.priorities
        self.target_groups = {color: self._create_target_group(color) for color in COLORS}
        secret = pulumi.Output.secret(args.candidate_route_secret).apply(_checked_secret)
        self.candidate_rules = {color: self._create_candidate_rule(color, secret) for color in COLORS}
        self.weighted_rule = self._create_weighted_rule()
        self.cohort_rules = {cohort.name: self._create_cohort_rule(cohort) for cohort in args.cohorts}
        self._create_alarms(load_balancer)
        if args.dashboard is not None:
            self._create_dashboard(load_balancer, args.dashboard)
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

    def _create_dashboard(self, load_balancer: pulumi.Output[str], limits: DashboardLimits) -> None:
        RouterDashboard(
            self._name,
            RouterDashboardArgs(
                service=self._args.service,
                region=self.target_groups["blue"].region,
                load_balancer=load_balancer,
                target_groups={color: group.arn_suffix for color, group in self.target_groups.items()},
                limits=limits,
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
            # One generation may take a hundred times as long as another, so round robin would overload some pods.
            load_balancing_algorithm_type="least_outstanding_requests",
            # Slow start cannot be combined with that algorithm, and has no effect in a group that was empty.
            # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
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
            # A sticky cookie overrides the weights, so a rollback would have to wait until it expires.
            stickiness=lb.TargetGroupStickinessArgs(type="lb_cookie", enabled=False),
            tags=self._tags("target-group", color),
            opts=self._guarded_child,
        )

    def _addressed(self) -> list[lb.ListenerRuleConditionArgs]:
        """Return the conditions of every rule of the service: the API's paths and, if set, its host."""
        paths = lb.ListenerRuleConditionArgs(
            path_pattern=lb.ListenerRuleConditionPathPatternArgs(values=[API_PATHS]),
        )
        host = None if self._args.listener is None else self._args.listener.host
        if host is None:
            return [paths]
        hosts = lb.ListenerRuleConditionHostHeaderArgs(values=[host])
        return [paths, lb.ListenerRuleConditionArgs(host_header=hosts)]

    def _create_candidate_rule(self, color: Color, secret: pulumi.Output[str]) -> lb.ListenerRule:
        """Create the rule that reaches one colour at any weight, for the checks of a candidate without traffic."""
        return lb.ListenerRule(
            f"{color_name(self._name, color)}-candidate",
            listener_arn=self._listener_arn,
            priority=self._priorities.candidate[color],
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
            priority=self._priorities.weighted,
            conditions=self._addressed(),
            actions=[self._forward(traffic.weights)],
            tags={**self._tags("weighted-rule"), **traffic.tags()},
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect, hooks=self._args.guards),
        )

    def _create_cohort_rule(self, cohort: CohortSettings) -> lb.ListenerRule:
        """Create the rule that sends a cohort's requests to one colour, whatever the weights."""
        goes_to = self._args.traffic.cohorts[cohort.name]
        return lb.ListenerRule(
            f"{self._name}-cohort-{cohort.name}",
            listener_arn=self._listener_arn,
            priority=cohort.priority,
            conditions=[
                lb.ListenerRuleConditionArgs(
                    http_header=lb.ListenerRuleConditionHttpHeaderArgs(
                        http_header_name=cohort.header, values=list(cohort.values)
                    )
                ),
                *self._addressed(),
            ],
            actions=[self._forward({color: 100 if color == goes_to else 0 for color in COLORS})],
            tags={**self._tags("cohort-rule"), COHORT_KEY: cohort.name},
            # The guard of the weighted rule, whose tag names every cohort's colour, is asked before this rule changes.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.weighted_rule]),
        )

    def _forward(self, weights: Mapping[Color, int]) -> lb.ListenerRuleActionArgs:
        return lb.ListenerRuleActionArgs(
            type="forward",
            forward=lb.ListenerRuleActionForwardArgs(
                # Both stay in the rule, even at weight 0: a target group in no rule is not health-checked.
                target_groups=[
                    lb.ListenerRuleActionForwardTargetGroupArgs(
                        arn=self.target_groups[color].arn, weight=weights[color]
                    )
                    for color in COLORS
                ],
                stickiness=lb.ListenerRuleActionForwardStickinessArgs(
                    enabled=False, duration=_UNUSED_STICKINESS_SECONDS
                ),
            ),
        )


def _checked_secret(secret: str) -> str:
    if violation := route_secret.value_violation(secret):
        raise pulumi.RunError(violation.line(f"{PROJECT}:"))
    return secret
