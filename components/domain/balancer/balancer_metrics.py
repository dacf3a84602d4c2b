"""What the load balancer counts, in CloudWatch's words: for the gates, the alarms and the dashboard. Pure.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

from components.domain.naming import Color

NAMESPACE: Final = "AWS/ApplicationELB"
PERIOD_SECONDS: Final = 60
"""CloudWatch gets a load balancer's metrics once a minute."""

_T = TypeVar("_T")


class BalancerMetric(NamedTuple):
    """A metric and how CloudWatch sums its values up."""

    name: str
    statistic: str


REQUESTS: Final = BalancerMetric("RequestCount", "Sum")
SERVER_ERRORS: Final = BalancerMetric("HTTPCode_Target_5XX_Count", "Sum")
CONNECTION_ERRORS: Final = BalancerMetric("TargetConnectionErrorCount", "Sum")
"""No target answered these, so none is among the 5xx answers of the targets."""
BALANCER_ERRORS: Final = BalancerMetric("HTTPCode_ELB_5XX_Count", "Sum")
"""502: a target refuses, resets or garbles; 503: no target; 504: a target is silent. Counted by load balancer only.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html"""
P95_SECONDS: Final = BalancerMetric("TargetResponseTime", "p95")
HEALTHY_HOSTS: Final = BalancerMetric("HealthyHostCount", "Maximum")
"""Published with or without requests, so it separates a period without requests from one not published yet."""
UNHEALTHY_HOSTS: Final = BalancerMetric("UnHealthyHostCount", "Maximum")

COLOR_METRICS: Final = (REQUESTS, HEALTHY_HOSTS, SERVER_ERRORS, CONNECTION_ERRORS, P95_SECONDS)
"""What the gates judge of a colour."""


def balancer_dimensions(load_balancer: _T) -> dict[str, _T]:
    """Return the dimensions of a metric of the whole load balancer."""
    return {"LoadBalancer": load_balancer}


def color_dimensions(load_balancer: _T, target_groups: Mapping[Color, _T], color: Color) -> dict[str, _T]:
    """Return the dimensions of a metric of a colour's target group."""
    return {"TargetGroup": target_groups[color], **balancer_dimensions(load_balancer)}
