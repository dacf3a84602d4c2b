"""The alarms of a service: failures that users would notice, per colour and for the service's own load balancer.

CloudWatch has no data when nothing happens: no 5xx, no requests, no registered targets
(https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html). So missing
data never fires an alarm: a parked colour has no data, and must not fire while it is parked. If a colour should serve
but has no targets, the load balancer itself answers 503, and its own alarm counts that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import cloudwatch

from components.config.sections.router_settings import AlarmSettings
from components.domain.balancer.balancer_metrics import (
    BALANCER_ERRORS,
    NAMESPACE,
    P95_SECONDS,
    PERIOD_SECONDS,
    REQUESTS,
    SERVER_ERRORS,
    UNHEALTHY_HOSTS,
    BalancerMetric,
    balancer_dimensions,
    color_dimensions,
)
from components.domain.naming import COLORS, Color, aws_tags, color_name


@dataclass(frozen=True, kw_only=True)
class RouterAlarmsArgs:
    """The watched load balancer and target groups, by their CloudWatch dimensions, and the limits."""

    service: str
    load_balancer: pulumi.Input[str]
    target_groups: Mapping[Color, pulumi.Input[str]]
    owns_load_balancer: bool
    settings: AlarmSettings
    max_stream_seconds: int


class RouterAlarms:
    """Three alarms per colour, and one for the service's own load balancer; all children of ``parent``."""

    def __init__(self, name: str, args: RouterAlarmsArgs, parent: pulumi.Resource) -> None:
        """Declare the alarms."""
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
        return color_dimensions(self._args.load_balancer, self._args.target_groups, color)

    def _watch_errors(self, color: Color) -> None:
        """Watch the share of errors, not the count: a count limit that suits the night would fire all day."""

        def count(key: str, metric: BalancerMetric) -> cloudwatch.MetricAlarmMetricQueryArgs:
            return cloudwatch.MetricAlarmMetricQueryArgs(
                id=key,
                return_data=False,
                metric=cloudwatch.MetricAlarmMetricQueryMetricArgs(
                    namespace=NAMESPACE,
                    metric_name=metric.name,
                    dimensions=self._dimensions(color),
                    period=PERIOD_SECONDS,
                    stat=metric.statistic,
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
                    # A minute without errors has no error datapoint, so FILL counts it as 0.
                    expression="100 * FILL(errors, 0) / requests",
                    return_data=True,
                ),
                count("errors", SERVER_ERRORS),
                count("requests", REQUESTS),
            ],
        )

    def _watch_health(self, color: Color) -> None:
        self._alarm(
            f"{color_name(self._name, color)}-unhealthy",
            f"{color} of {self._args.service} has targets that fail their health checks",
            0,
            color,
            metric_name=UNHEALTHY_HOSTS.name,
            namespace=NAMESPACE,
            dimensions=self._dimensions(color),
            period=PERIOD_SECONDS,
            statistic=UNHEALTHY_HOSTS.statistic,
        )

    def _watch_response_time(self, color: Color) -> None:
        limit = self._args.settings.response_time_limit(self._args.max_stream_seconds)
        self._alarm(
            f"{color_name(self._name, color)}-response-time",
            f"{color} of {self._args.service} takes more than {limit:g} s to begin its answers (95th percentile)",
            limit,
            color,
            metric_name=P95_SECONDS.name,
            namespace=NAMESPACE,
            dimensions=self._dimensions(color),
            period=PERIOD_SECONDS,
            extended_statistic=P95_SECONDS.statistic,
            # Otherwise CloudWatch ignores minutes with few requests, and a model may never get enough of them.
            # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
            evaluate_low_sample_count_percentiles="evaluate",
        )

    def _watch_load_balancer(self) -> None:
        """Count the errors of the load balancer itself: no target, no answer, or a closed connection."""
        limit = self._args.settings.load_balancer_errors_limit_per_minute
        self._alarm(
            f"{self._name}-load-balancer-errors",
            f"The load balancer of {self._args.service} itself answers more than {limit} requests a minute with 5xx",
            limit,
            None,
            metric_name=BALANCER_ERRORS.name,
            namespace=NAMESPACE,
            dimensions=balancer_dimensions(self._args.load_balancer),
            period=PERIOD_SECONDS,
            statistic=BALANCER_ERRORS.statistic,
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
