"""The load balancer's counts per target group, from CloudWatch.

Attestation uses these counts, not the pods' own, for three reasons. First, the load balancer counts a request when it
chooses a target. A pod counts it when the answer ends, so the pods show the former weight for as long as a stream
lasts. Second, the load balancer's metric does not include health checks, but the pods' counters include the readiness
probe's synthetic inference. Third, pods also count requests that bypass the load balancer. The price is a delay: AWS
publishes periods of 60 s, some time after their end, so an attestation takes at least two to three minutes.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from components.domain.naming import COLORS, Color
from rollout.model.verdict import TargetGroupCounts
from rollout.statistics.measurements import Period, PeriodRequests

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

NAMESPACE: Final = "AWS/ApplicationELB"
REQUESTS: Final = ("RequestCount", "Sum")
SERVER_ERRORS: Final = ("HTTPCode_Target_5XX_Count", "Sum")
# No target answered these, so none is among the 5xx answers of the targets.
CONNECTION_ERRORS: Final = ("TargetConnectionErrorCount", "Sum")
BALANCER_ERRORS: Final = ("HTTPCode_ELB_5XX_Count", "Sum")
"""502: a target refuses, resets or garbles; 503: no target; 504: a target is silent. Counted by load balancer only.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html"""
P95_SECONDS: Final = ("TargetResponseTime", "p95")
HOSTS: Final = ("HealthyHostCount", "Maximum")
"""Published with or without requests, so it separates a period without requests from one not published yet."""
PUBLICATION_PERIODS: Final = 1
"""For this many periods after a period's end, one colour's count may be published before the other's."""

Statistic = tuple[str, str]
"""A metric's name and its CloudWatch statistic."""
_Series = tuple[Statistic, Color | None]
"""A statistic of a colour's target group, or of the whole load balancer."""
_Values = Mapping[_Series, float]


class CloudWatchMetrics:
    """Requests, 5xx answers and response times of one service's target groups."""

    def __init__(
        self, client: CloudWatchClient, dimensions: Callable[[Color], dict[str, str]], *, period_seconds: int
    ) -> None:
        """Read metrics with this period; ``dimensions`` returns the CloudWatch dimensions of a colour."""
        self._client = client
        self._dimensions = dimensions
        self._period_seconds = period_seconds

    def counts(self, color: Color, start: datetime, end: datetime) -> TargetGroupCounts | None:
        """Return a colour's counts over a window. None when nothing was counted."""
        periods = self.periods(start, end)[color]
        requests = sum(period.requests for period in periods)
        if not requests:
            return None
        return TargetGroupCounts(requests=requests, server_errors=sum(period.server_errors for period in periods))

    def periods(self, start: datetime, end: datetime) -> Mapping[Color, Sequence[Period]]:
        """Return both colours' figures for each period, in one call. Both have the same periods.

        The window begins at the first whole period after ``start``, so nothing from before ``start`` counts. An absent
        count of errors means zero: CloudWatch publishes no value for zero.
        """
        first = self._first_period(start)
        if first >= int(end.timestamp()):  # CloudWatch takes whole seconds only
            return dict.fromkeys(COLORS, ())
        statistics = (REQUESTS, SERVER_ERRORS, CONNECTION_ERRORS, P95_SECONDS)
        wanted = (*_of_colors(statistics), (BALANCER_ERRORS, None))
        found = self._read(wanted, datetime.fromtimestamp(first, UTC), end)
        return {
            color: tuple(
                Period(
                    requests=round(values.get((REQUESTS, color), 0.0)),
                    server_errors=round(values.get((SERVER_ERRORS, color), 0.0)),
                    connection_errors=round(values.get((CONNECTION_ERRORS, color), 0.0)),
                    balancer_errors=round(values.get((BALANCER_ERRORS, None), 0.0)),
                    p95_seconds=values.get((P95_SECONDS, color)),
                )
                for values in found.values()
            )
            for color in COLORS
        }

    def by_period(self, start: datetime, end: datetime) -> Sequence[PeriodRequests]:
        """Return the whole periods of a window that have been published, oldest first."""
        length = self._period_seconds
        first = self._first_period(start)
        last = (math.floor(end.timestamp() / length) - PUBLICATION_PERIODS) * length
        if first >= last:
            return ()
        wanted = _of_colors((REQUESTS, HOSTS))
        found = self._read(wanted, datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC))
        return [
            PeriodRequests(
                start=at,
                end=at + timedelta(seconds=length),
                requests={color: round(values.get((REQUESTS, color), 0)) for color in COLORS},
            )
            for at, values in found.items()
        ]

    def _first_period(self, start: datetime) -> int:
        return math.ceil(start.timestamp() / self._period_seconds) * self._period_seconds

    def _read(self, wanted: Sequence[_Series], start: datetime, end: datetime) -> Mapping[datetime, _Values]:
        """Return the published values of a window, by the start of each period, oldest first."""
        series = {f"m{number}": one for number, one in enumerate(wanted)}
        pages = self._client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[self._query(number, *one) for number, one in series.items()],
            StartTime=start,
            EndTime=end,
        )
        found: dict[datetime, dict[_Series, float]] = {}
        for page in pages:
            for result in page["MetricDataResults"]:
                for at, value in zip(result.get("Timestamps", ()), result.get("Values", ()), strict=True):
                    found.setdefault(at, {})[series[result.get("Id", "")]] = value
        return dict(sorted(found.items()))

    def _query(self, number: str, statistic: Statistic, color: Color | None) -> MetricDataQueryTypeDef:
        name, how = statistic
        dimensions = self._dimensions(COLORS[0] if color is None else color)
        if color is None:
            dimensions = {key: value for key, value in dimensions.items() if key != "TargetGroup"}
        return {
            "Id": number,
            "MetricStat": {
                "Metric": {
                    "Namespace": NAMESPACE,
                    "MetricName": name,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                },
                "Period": self._period_seconds,
                "Stat": how,
            },
        }


def _of_colors(statistics: Sequence[Statistic]) -> tuple[_Series, ...]:
    return tuple((statistic, color) for statistic in statistics for color in COLORS)
