"""The way of a request: load balancer, listener, a target group per colour, and the rules that choose between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, lb, vpc

from components import route_secret
from components.drain_chain import DrainChain
from components.naming import (
    CANDIDATE_ROUTE_HEADER,
    COLORS,
    PORT,
    PROJECT,
    Color,
    Role,
    aws_tags,
    color_name,
)
from components.traffic import Traffic

# Only the API is reachable: vLLM serves more than that without asking for a key (/metrics, /invocations, /pause).
API_PATHS = "/v1/*"
CANDIDATE_PRIORITIES: Mapping[Color, int] = {"blue": 10, "green": 11}
WEIGHTED_PRIORITY = 100
# ALB wants a valid duration even where stickiness is off.
_UNUSED_STICKINESS_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class WeightedRouterArgs:
    """Where the load balancer stands, who may reach it, and how it treats requests and targets."""

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


class WeightedRouter(pulumi.ComponentResource):
    """Splits new requests between the colours; both target groups always stay in the rule, whatever their weights."""

    TYPE = "vllm-blue-green:index:WeightedRouter"

    security_group: ec2.SecurityGroup
    load_balancer: lb.LoadBalancer
    listener: lb.Listener
    target_groups: dict[Color, lb.TargetGroup]
    candidate_rules: dict[Color, lb.ListenerRule]
    weighted_rule: lb.ListenerRule
    endpoint: pulumi.Output[str]

    def __init__(self, name: str, args: WeightedRouterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, {}, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self._guarded_child = pulumi.ResourceOptions(parent=self, protect=args.protect)
        self.security_group = self._create_security_group()
        self.load_balancer = self._create_load_balancer()
        self.listener = self._create_listener()
        self.target_groups = {color: self._create_target_group(color) for color in COLORS}
        secret = pulumi.Output.secret(args.candidate_route_secret).apply(_checked_secret)
        self.candidate_rules = {color: self._create_candidate_rule(color, secret) for color in COLORS}
        self.weighted_rule = self._create_weighted_rule()
        scheme = "http" if args.certificate_arn is None else "https"
        self.endpoint = pulumi.Output.concat(scheme, "://", self.load_balancer.dns_name)
        self.register_outputs({"endpoint": self.endpoint, "weighted_rule_arn": self.weighted_rule.arn})

    @property
    def _port(self) -> int:
        return 80 if self._args.certificate_arn is None else 443

    def _tags(self, role: Role, color: Color | None = None) -> dict[str, str]:
        return aws_tags(pulumi.get_stack(), self._args.service, role, color)

    def _create_security_group(self) -> ec2.SecurityGroup:
        """Let clients reach the listener, and the load balancer the pods' port: nothing else, in either direction."""
        group = ec2.SecurityGroup(
            self._name,
            description=f"Load balancer of {self._args.service}",
            vpc_id=self._args.vpc_id,
            tags=self._tags("load-balancer"),
            opts=self._child,
        )
        for position, cidr in enumerate(self._args.client_cidrs):
            vpc.SecurityGroupIngressRule(
                f"{self._name}-clients-{position}",
                security_group_id=group.id,
                description="Clients to the listener",
                ip_protocol="tcp",
                from_port=self._port,
                to_port=self._port,
                cidr_ipv4=None if ":" in cidr else cidr,
                cidr_ipv6=cidr if ":" in cidr else None,
                opts=self._child,
            )
        vpc.SecurityGroupEgressRule(
            f"{self._name}-pods",
            security_group_id=group.id,
            description="Requests and health checks to the pods",
            ip_protocol="tcp",
            from_port=PORT,
            to_port=PORT,
            referenced_security_group_id=self._args.pod_security_group_id,
            opts=self._child,
        )
        return group

    def _create_load_balancer(self) -> lb.LoadBalancer:
        return lb.LoadBalancer(
            self._name,
            load_balancer_type="application",
            internal=not self._args.internet_facing,
            subnets=self._args.subnet_ids,
            security_groups=[self.security_group.id],
            idle_timeout=self._args.drain_chain.idle_timeout_seconds,
            drop_invalid_header_fields=True,
            enable_deletion_protection=self._args.protect,
            tags=self._tags("load-balancer"),
            opts=self._guarded_child,
        )

    def _create_listener(self) -> lb.Listener:
        certificate_arn = self._args.certificate_arn
        return lb.Listener(
            self._name,
            load_balancer_arn=self.load_balancer.arn,
            port=self._port,
            protocol="HTTP" if certificate_arn is None else "HTTPS",
            certificate_arn=certificate_arn,
            ssl_policy=None if certificate_arn is None else "ELBSecurityPolicy-TLS13-1-2-2021-06",
            default_actions=[
                lb.ListenerDefaultActionArgs(
                    type="fixed-response",
                    fixed_response=lb.ListenerDefaultActionFixedResponseArgs(
                        status_code="404", content_type="text/plain", message_body="No such path"
                    ),
                )
            ],
            tags=self._tags("listener"),
            opts=self._guarded_child,
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

    def _create_candidate_rule(self, color: Color, secret: pulumi.Output[str]) -> lb.ListenerRule:
        """Reach one colour at any weight: how smoke tests and evaluations get to a candidate without traffic."""
        return lb.ListenerRule(
            f"{color_name(self._name, color)}-candidate",
            listener_arn=self.listener.arn,
            priority=CANDIDATE_PRIORITIES[color],
            conditions=[
                lb.ListenerRuleConditionArgs(
                    http_header=lb.ListenerRuleConditionHttpHeaderArgs(
                        http_header_name=CANDIDATE_ROUTE_HEADER,
                        values=[pulumi.Output.concat(color, "-", secret)],
                    )
                ),
                _api_paths(),
            ],
            actions=[lb.ListenerRuleActionArgs(type="forward", target_group_arn=self.target_groups[color].arn)],
            tags=self._tags("candidate-rule", color),
            opts=self._child,
        )

    def _create_weighted_rule(self) -> lb.ListenerRule:
        traffic = self._args.traffic
        return lb.ListenerRule(
            self._name,
            listener_arn=self.listener.arn,
            priority=WEIGHTED_PRIORITY,
            conditions=[_api_paths()],
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


def _api_paths() -> lb.ListenerRuleConditionArgs:
    return lb.ListenerRuleConditionArgs(
        path_pattern=lb.ListenerRuleConditionPathPatternArgs(values=[API_PATHS]),
    )


def _checked_secret(secret: str) -> str:
    if fault := route_secret.value_fault(secret):
        raise pulumi.RunError(fault.line(f"{PROJECT}:"))
    return secret
