"""The requests that the load balancer sent to each colour, period by period, from CloudWatch.

This is the evidence of attestation, rather than what the pods count, for three reasons. The load balancer counts a
request when it chooses a target; a pod counts it when the answer has ended, so for as long as a stream lasts the pods
go on telling of the former weight. The load balancer's own health checks are not in the metric, while the readiness
probe's synthetic inference is in the pods' counters. And pods count whoever reaches them, past the load balancer too.
The price is a delay: AWS publishes periods of 60 s, some time after their end, so that an attestation takes two to
three minutes at least.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from components.naming import COLORS, Color
from rollout.ports import PeriodRequests

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDataQueryTypeDef

NAMESPACE: Final = "AWS/ApplicationELB"
REQUESTS: Final = "RequestCount"
HOSTS: Final = "HealthyHostCount"
"""Published whether or not there are requests, so it tells a period without any from one that is not published yet."""
PUBLICATION_PERIODS: Final = 1
"""For so many periods after its end, one colour's count may be there and the other's not."""


class RequestCounts:
    """One service's requests by colour."""

    def __init__(
        self, client: CloudWatchClient, dimensions: Callable[[Color], dict[str, str]], *, period_seconds: int
    ) -> None:
        """Read metrics of ``period_seconds`` with the dimensions that ``dimensions`` gives for a colour."""
        self._client = client
        self._dimensions = dimensions
        self._period_seconds = period_seconds

    def by_period(self, start: datetime, end: datetime) -> Sequence[PeriodRequests]:
        """Return the whole periods of a window that are published by now, oldest first."""
        length = self._period_seconds
        first = math.ceil(start.timestamp() / length) * length
        last = (math.floor(end.timestamp() / length) - PUBLICATION_PERIODS) * length
        if first >= last:
            return ()
        counted: defaultdict[datetime, dict[tuple[str, Color], float]] = defaultdict(dict)
        pages = self._client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[self._query(name, color) for name in (REQUESTS, HOSTS) for color in COLORS],
            StartTime=datetime.fromtimestamp(first, UTC),
            EndTime=datetime.fromtimestamp(last, UTC),
            ScanBy="TimestampAscending",
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                name, color = self._series[result.get("Id", "")]
                for at, value in zip(result.get("Timestamps", ()), result.get("Values", ()), strict=True):
                    counted[at][name, color] = value
        return [
            PeriodRequests(
                start=at,
                end=at + timedelta(seconds=length),
                requests={color: round(values.get((REQUESTS, color), 0)) for color in COLORS},
            )
            for at, values in sorted(counted.items())
        ]

    @property
    def _series(self) -> dict[str, tuple[str, Color]]:
        return {_id(name, color): (name, color) for name in (REQUESTS, HOSTS) for color in COLORS}

    def _query(self, name: str, color: Color) -> MetricDataQueryTypeDef:
        dimensions: list[DimensionTypeDef] = [
            {"Name": key, "Value": value} for key, value in self._dimensions(color).items()
        ]
        return {
            "Id": _id(name, color),
            "MetricStat": {
                "Metric": {"Namespace": NAMESPACE, "MetricName": name, "Dimensions": dimensions},
                "Period": self._period_seconds,
                "Stat": "Sum" if name == REQUESTS else "Maximum",
            },
        }


def _id(name: str, color: Color) -> str:
    return f"{name[0].lower()}{name[1:]}_{color}"
