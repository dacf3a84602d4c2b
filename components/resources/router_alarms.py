"""The alarms of a service: what its users would notice, per colour and for its own load balancer.

CloudWatch has no data where nothing happened: no 5xx, no requests, no registered targets. So no data never rings an
alarm: a parked colour has none of all that, and must not ring for as long as it is parked. A colour that should serve
and has no targets is answered for by the load balancer itself, with 503.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_aws import cloudwatch

from components.config.router_settings import AlarmSettings
from components.domain.naming import COLORS, Color, aws_tags, color_name

NAMESPACE: Final = "AWS/ApplicationELB"
# The load balancers' metrics come once a minute.
PERIOD_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class RouterAlarmsArgs:
    """Whose metrics are watched, by CloudWatch's names for them, and what is too much."""

    service: str
    load_balancer: pulumi.Input[str]
    target_groups: Mapping[Color, pulumi.Input[str]]
    owns_load_balancer: bool
    settings: AlarmSettings
    max_stream_seconds: int


class RouterAlarms:
    """Three alarms per colour, and one for a load balancer of the service's own; children of ``parent``."""

    def __init__(self, name: str, args: RouterAlarmsArgs, parent: pulumi.Resource) -> None:
        """Declare them."""
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=parent)
        for color in COLORS:
            self._watch_errors(color)
            self._watch_health(color)
            self._watch_response_time(color)
        if args.owns_load_balancer:
            self._watch_load_balancer()

    def _dimensions(self, color: Color) -> dict[str, pulumi.Input[str]]:
        return {"LoadBalancer": self._args.load_balancer, "TargetGroup": self._args.target_groups[color]}

    def _watch_errors(self, color: Color) -> None:
        """Judge the share, not the count: a count that is right at night rings all day."""

        def count(key: str, metric: str) -> cloudwatch.MetricAlarmMetricQueryArgs:
            return cloudwatch.MetricAlarmMetricQueryArgs(
                id=key,
                return_data=False,
                metric=cloudwatch.MetricAlarmMetricQueryMetricArgs(
                    namespace=NAMESPACE,
                    metric_name=metric,
                    dimensions=self._dimensions(color),
                    period=PERIOD_SECONDS,
                    stat="Sum",
                ),
            )

        limit = self._args.settings.error_rate_limit_percent
        self._alarm(
            f"{color_name(self._name, color)}-errors",
            f"{color} of {self._args.service} answers more than {limit:g} % of requests with 5xx",
            limit,
            color,
            metric_queries=[
                cloudwatch.MetricAlarmMetricQueryArgs(
                    id="error_rate",
                    label="5xx answers (%)",
                    # A minute with requests and without errors has no datapoint of errors, and is a good one.
                    expression="100 * FILL(errors, 0) / requests",
                    return_data=True,
                ),
                count("errors", "HTTPCode_Target_5XX_Count"),
                count("requests", "RequestCount"),
            ],
        )

    def _watch_health(self, color: Color) -> None:
        self._alarm(
            f"{color_name(self._name, color)}-unhealthy",
            f"{color} of {self._args.service} has targets that fail their health checks",
            0,
            color,
            metric_name="UnHealthyHostCount",
            namespace=NAMESPACE,
            dimensions=self._dimensions(color),
            period=PERIOD_SECONDS,
            statistic="Maximum",
        )

    def _watch_response_time(self, color: Color) -> None:
        limit = self._args.settings.response_time_limit(self._args.max_stream_seconds)
        self._alarm(
            f"{color_name(self._name, color)}-response-time",
            f"{color} of {self._args.service} takes more than {limit:g} s to begin its answers (95th percentile)",
            limit,
            color,
            metric_name="TargetResponseTime",
            namespace=NAMESPACE,
            dimensions=self._dimensions(color),
            period=PERIOD_SECONDS,
            extended_statistic="p95",
            # CloudWatch would want hundreds of requests a minute for this percentile, which a model may never see.
            evaluate_low_sample_count_percentiles="evaluate",
        )

    def _watch_load_balancer(self) -> None:
        """Count what the load balancer answered itself: no target, none that answers, one that hung up."""
        limit = self._args.settings.load_balancer_errors_limit_per_minute
        self._alarm(
            f"{self._name}-load-balancer-errors",
            f"The load balancer of {self._args.service} itself answers more than {limit} requests a minute with 5xx",
            limit,
            None,
            metric_name="HTTPCode_ELB_5XX_Count",
            namespace=NAMESPACE,
            dimensions={"LoadBalancer": self._args.load_balancer},
            period=PERIOD_SECONDS,
            statistic="Sum",
        )

    def _alarm(self, name: str, description: str, limit: float, color: Color | None, **what: Any) -> None:
        settings = self._args.settings
        cloudwatch.MetricAlarm(
            name,
            alarm_description=description,
            comparison_operator="GreaterThanThreshold",
            threshold=limit,
            evaluation_periods=settings.window_minutes,
            datapoints_to_alarm=settings.datapoints_to_alarm,
            treat_missing_data="notBreaching",
            alarm_actions=list(settings.topic_arns),
            ok_actions=list(settings.topic_arns),
            tags=aws_tags(pulumi.get_stack(), self._args.service, "alarm", color),
            opts=self._child,
            **what,
        )
