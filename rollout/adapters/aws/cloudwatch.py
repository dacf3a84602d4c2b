"""The load balancer's counts per target group, from CloudWatch.

Attestation uses these counts, not the pods' own, for two reasons. The load balancer's metric does not include health
checks, but the pods' counters include the readiness probe's synthetic inference. And pods also count requests that
bypass the load balancer. The price is a delay: AWS publishes periods of 60 s, some time after their end, so an
attestation takes three to four minutes.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html

Only complete periods are returned: one that is still being published shows too few requests or errors, or none. AWS
does not say when a period is complete. These rules say so:

- Its end is ``PUBLICATION_PERIODS`` ago. Others who read these metrics have found the newest ones to change still
  (https://github.com/Netflix/atlas/pull/1300, https://github.com/grafana/alloy/pull/6518).
- Requests have been published for it or for a later period, on any colour. Metrics are published in the order of their
  periods, but one metric's may come later than another's.
- If no requests have been published, nobody may have sent any. That is taken to be so ``SILENT_PERIODS`` after its end,
  if the numbers of healthy targets are published, which do not depend on requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from components.domain.balancer.balancer_metrics import (
    BALANCER_ERRORS,
    COLOR_METRICS,
    CONNECTION_ERRORS,
    HEALTHY_HOSTS,
    NAMESPACE,
    P95_SECONDS,
    REQUESTS,
    SERVER_ERRORS,
    BalancerMetric,
    balancer_dimensions,
)
from components.domain.naming import COLORS, Color
from rollout.model.verdict import TargetGroupCounts
from rollout.statistics.measurements import Period, PeriodRequests

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

PUBLICATION_PERIODS: Final = 2
"""For this many periods after its end, a period's figures may still change."""
SILENT_PERIODS: Final = 5
"""This many periods after a period's end, requests are published if there were any."""

_Series = tuple[BalancerMetric, Color | None]
"""A metric of a colour's target group, or of the whole load balancer."""
_Values = Mapping[_Series, float]


class CloudWatchMetrics:
    """Requests, 5xx answers and response times of one service's target groups."""

    def __init__(
        self,
        client: CloudWatchClient,
        dimensions: Callable[[Color], dict[str, str]],
        *,
        period_seconds: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read metrics with this period; ``dimensions`` returns the CloudWatch dimensions of a colour."""
        self._client = client
        self._dimensions = dimensions
        self._period_seconds = period_seconds
        self._now = now

    def counts(self, color: Color, start: datetime, end: datetime) -> TargetGroupCounts | None:
        """Return a colour's counts over a window. None when nothing was counted."""
        periods = self.periods(start, end)[color]
        requests = sum(period.requests for period in periods)
        if not requests:
            return None
        return TargetGroupCounts(requests=requests, server_errors=sum(period.server_errors for period in periods))

    def periods(self, start: datetime, end: datetime) -> Mapping[Color, Sequence[Period]]:
        """Return both colours' figures for each complete period, in one call. Both have the same periods.

        The window begins at the first whole period after ``start``, so nothing from before ``start`` counts. An absent
        count of errors means zero: CloudWatch publishes no value for zero.
        """
        first = self._first_period(start)
        if first >= int(end.timestamp()):  # CloudWatch takes whole seconds only
            return dict.fromkeys(COLORS, ())
        wanted = (*_of_colors(COLOR_METRICS), (BALANCER_ERRORS, None))
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
        """Return the complete periods of a window, oldest first."""
        first = self._first_period(start)
        if first >= int(end.timestamp()):
            return ()
        found = self._read(_of_colors((REQUESTS, HEALTHY_HOSTS)), datetime.fromtimestamp(first, UTC), end)
        return [
            PeriodRequests(
                start=at,
                end=at + timedelta(seconds=self._period_seconds),
                requests={color: round(values.get((REQUESTS, color), 0)) for color in COLORS},
            )
            for at, values in found.items()
        ]

    def _first_period(self, start: datetime) -> int:
        return math.ceil(start.timestamp() / self._period_seconds) * self._period_seconds

    def _read(self, wanted: Sequence[_Series], start: datetime, end: datetime) -> Mapping[datetime, _Values]:
        """Return the values of the complete periods of a window, by the start of each, oldest first."""
        asked_at = self._now()  # the answer may take long, and shows nothing that is published meanwhile
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
        return {at: values for at, values in sorted(found.items()) if self._is_complete(at, found, asked_at)}

    def _is_complete(self, at: datetime, found: Mapping[datetime, _Values], asked_at: datetime) -> bool:
        length = timedelta(seconds=self._period_seconds)
        ended = (asked_at - at) / length - 1
        if ended < PUBLICATION_PERIODS:
            return False
        if any((REQUESTS, color) in values for later, values in found.items() if later >= at for color in COLORS):
            return True
        return ended >= SILENT_PERIODS and any((HEALTHY_HOSTS, color) in found[at] for color in COLORS)

    def _query(self, number: str, metric: BalancerMetric, color: Color | None) -> MetricDataQueryTypeDef:
        dimensions = self._dimensions(COLORS[0] if color is None else color)
        if color is None:
            dimensions = balancer_dimensions(dimensions["LoadBalancer"])
        return {
            "Id": number,
            "MetricStat": {
                "Metric": {
                    "Namespace": NAMESPACE,
                    "MetricName": metric.name,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                },
                "Period": self._period_seconds,
                "Stat": metric.statistic,
            },
        }


def _of_colors(metrics: Sequence[BalancerMetric]) -> tuple[_Series, ...]:
    return tuple((metric, color) for metric in metrics for color in COLORS)
