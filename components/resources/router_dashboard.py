"""The CloudWatch dashboard of a service: what its load balancer counts of both colours."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch

from components.domain.balancer.balancer_dashboard import DashboardLimits, Watched, dashboard_body, dashboard_name
from components.domain.naming import COLORS, Color


@dataclass(frozen=True, kw_only=True)
class RouterDashboardArgs:
    """The shown load balancer and target groups, by their CloudWatch dimensions, their region, and the limits."""

    service: str
    region: pulumi.Input[str]
    load_balancer: pulumi.Input[str]
    target_groups: Mapping[Color, pulumi.Input[str]]
    limits: DashboardLimits


class RouterDashboard:
    """One dashboard, a child of ``parent``."""

    def __init__(self, name: str, args: RouterDashboardArgs, parent: pulumi.Resource) -> None:
        """Declare it."""
        stack = pulumi.get_stack()

        def body(known: list[str]) -> str:
            region, load_balancer, *groups = known
            watched = Watched(
                service=args.service,
                region=region,
                load_balancer=load_balancer,
                target_groups=dict(zip(COLORS, groups, strict=True)),
                limits=args.limits,
            )
            return json.dumps(dashboard_body(watched))

        groups = [args.target_groups[color] for color in COLORS]
        region = pulumi.Output.from_input(args.region)
        cloudwatch.Dashboard(
            name,
            dashboard_name=region.apply(lambda known: dashboard_name(stack, args.service, known)),
            dashboard_body=pulumi.Output.all(region, args.load_balancer, *groups).apply(body),
            opts=pulumi.ResourceOptions(parent=parent),
        )
