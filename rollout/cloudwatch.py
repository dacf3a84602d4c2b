"""The load balancer's own counts per target group, from CloudWatch."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from components.naming import Color
from rollout.verdicts import TargetGroupCounts

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDataQueryTypeDef

METRICS: Final = {"requests": "RequestCount", "server_errors": "HTTPCode_Target_5XX_Count"}


class CloudWatchCounts:
    """Requests and 5xx answers of a colour's targets."""

    def __init__(
        self, client: CloudWatchClient, dimensions: Callable[[Color], dict[str, str]], *, period_seconds: int
    ) -> None:
        """Read metrics of ``period_seconds`` with the dimensions that ``dimensions`` gives for a colour."""
        self._client = client
        self._dimensions = dimensions
        self._period_seconds = period_seconds

    def counts(self, color: Color, start: datetime, end: datetime) -> TargetGroupCounts | None:
        """Return a colour's counts over a window; none when nothing was counted.

        The window begins at the first whole period after ``start``, so that nothing from before counts. An absent 5xx
        metric is zero only where requests were counted: CloudWatch stays silent about both zero and no data.
        """
        dimensions: list[DimensionTypeDef] = [
            {"Name": name, "Value": value} for name, value in self._dimensions(color).items()
        ]
        first = math.ceil(start.timestamp() / self._period_seconds) * self._period_seconds
        if first >= int(end.timestamp()):  # CloudWatch knows whole seconds only
            return None
        queries: list[MetricDataQueryTypeDef] = [
            {
                "Id": key,
                "MetricStat": {
                    "Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": dimensions},
                    "Period": self._period_seconds,
                    "Stat": "Sum",
                },
            }
            for key, name in METRICS.items()
        ]
        results = self._client.get_metric_data(
            MetricDataQueries=queries,
            StartTime=datetime.fromtimestamp(first, UTC),
            EndTime=end,
        )["MetricDataResults"]
        sums = {result.get("Id", ""): round(sum(result.get("Values", []))) for result in results}
        if not sums.get("requests"):
            return None
        return TargetGroupCounts(requests=sums["requests"], server_errors=sums.get("server_errors", 0))
