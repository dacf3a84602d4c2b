"""The load balancer's own counts per target group, from CloudWatch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from components.naming import COLORS, Color
from rollout.measurements import Period
from rollout.verdicts import TargetGroupCounts

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDataQueryTypeDef

METRICS: Final = {
    "requests": ("RequestCount", "Sum"),
    "server_errors": ("HTTPCode_Target_5XX_Count", "Sum"),
    "p95_seconds": ("TargetResponseTime", "p95"),
}
NAMESPACE: Final = "AWS/ApplicationELB"


class CloudWatchCounts:
    """Requests, 5xx answers and response times of the colours' targets."""

    def __init__(
        self, client: CloudWatchClient, dimensions: Callable[[Color], dict[str, str]], *, period_seconds: int
    ) -> None:
        """Read metrics of ``period_seconds`` with the dimensions that ``dimensions`` gives for a colour."""
        self._client = client
        self._dimensions = dimensions
        self._period_seconds = period_seconds

    def counts(self, color: Color, start: datetime, end: datetime) -> TargetGroupCounts | None:
        """Return a colour's counts over a window; none when nothing was counted."""
        periods = self.periods(start, end)[color]
        requests = sum(period.requests for period in periods)
        if not requests:
            return None
        return TargetGroupCounts(requests=requests, server_errors=sum(period.server_errors for period in periods))

    def periods(self, start: datetime, end: datetime) -> Mapping[Color, tuple[Period, ...]]:
        """Return both colours' figures by period, the same periods for both, in one call.

        The window begins at the first whole period after ``start``, so that nothing from before counts. An absent 5xx
        metric is zero only where requests were counted: CloudWatch stays silent about both zero and no data.
        """
        first = math.ceil(start.timestamp() / self._period_seconds) * self._period_seconds
        if first >= int(end.timestamp()):  # CloudWatch knows whole seconds only
            return dict.fromkeys(COLORS, ())
        queries: list[MetricDataQueryTypeDef] = [
            {
                "Id": f"{color}_{key}",
                "MetricStat": {
                    "Metric": {"Namespace": NAMESPACE, "MetricName": name, "Dimensions": self._named(color)},
                    "Period": self._period_seconds,
                    "Stat": statistic,
                },
            }
            for color in COLORS
            for key, (name, statistic) in METRICS.items()
        ]
        found: dict[str, dict[datetime, float]] = {query["Id"]: {} for query in queries}
        pages = self._client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries, StartTime=datetime.fromtimestamp(first, UTC), EndTime=end
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                values = zip(result.get("Timestamps", []), result.get("Values", []), strict=True)
                found[result.get("Id", "")].update(values)
        instants = sorted({at for values in found.values() for at in values})
        return {
            color: tuple(
                Period(
                    requests=round(found[f"{color}_requests"].get(at, 0.0)),
                    server_errors=round(found[f"{color}_server_errors"].get(at, 0.0)),
                    p95_seconds=found[f"{color}_p95_seconds"].get(at),
                )
                for at in instants
            )
            for color in COLORS
        }

    def _named(self, color: Color) -> list[DimensionTypeDef]:
        return [{"Name": name, "Value": value} for name, value in self._dimensions(color).items()]
