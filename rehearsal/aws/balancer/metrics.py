"""Counts what the load balancers do: totals for the admin port, data points for CloudWatch."""

import asyncio
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from moto.cloudwatch.models import CloudWatchBackend

from rehearsal.aws.balancer.plane import TIMER_RESOLUTION_SECONDS, DataPlane
from rehearsal.aws.moto.moto_patches import Distribution
from rehearsal.aws.topology import metric_dimension

NAMESPACE = "AWS/ApplicationELB"
KEPT_SECONDS = 3 * 3600
"""How long CloudWatch keeps data points of less than a minute."""

Dimensions = tuple[tuple[str, str], ...]
Metric = tuple[str, Dimensions]
Points = dict[Metric, list[float]]


@dataclass
class GroupTotals:
    """A target group's totals since the start."""

    requests: int = 0
    by_rule: Counter[str] = field(default_factory=Counter[str])
    by_status: Counter[str] = field(default_factory=Counter[str])
    connection_errors: int = 0
    last_request_started_at: float | None = None
    """When the weighted rule last sent a request; probes through the candidate route do not count."""


class Metrics:
    """The counters of one account, by the period in which something happened."""

    def __init__(self, period_seconds: int) -> None:
        self.groups: defaultdict[str, GroupTotals] = defaultdict(GroupTotals)
        self._period_seconds = period_seconds
        self._counts: defaultdict[float, Counter[Metric]] = defaultdict(Counter[Metric])
        self._values: defaultdict[float, defaultdict[Metric, list[float]]] = defaultdict(lambda: defaultdict(list))

    def request(self, group_arn: str, rule: str, started_at: float) -> None:
        """Count a request for which a target was chosen, in the totals."""
        totals = self.groups[group_arn]
        totals.requests += 1
        totals.by_rule[rule] += 1
        if rule == "weighted":
            totals.last_request_started_at = started_at

    def request_counted(self, group_arn: str, balancer_arn: str) -> None:
        """Count the same request for CloudWatch."""
        self._count("RequestCount", group_arn, balancer_arn)

    def target_answered(self, group_arn: str, balancer_arn: str, status: int, seconds: float) -> None:
        """Record a target's response: its status and the seconds until its headers."""
        self.groups[group_arn].by_status[f"{status // 100}xx"] += 1
        self._count(f"HTTPCode_Target_{status // 100}XX_Count", group_arn, balancer_arn)
        for dimensions in _of_both(group_arn, balancer_arn):
            self._values[self._period()]["TargetResponseTime", dimensions].append(seconds)

    def connection_failed(self, group_arn: str, balancer_arn: str) -> None:
        """Count a failed connection to a target. The load balancer's own 502 or 504 counts apart."""
        self.groups[group_arn].connection_errors += 1
        self._count("TargetConnectionErrorCount", group_arn, balancer_arn)

    def balancer_failed(self, balancer_arn: str, status: int) -> None:
        """Count a 5xx answer of the load balancer itself, which AWS does not count by target group.

        https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
        """
        counts = self._counts[self._period()]
        counts["HTTPCode_ELB_5XX_Count", _of_balancer(balancer_arn)] += 1
        counts[f"HTTPCode_ELB_{status}_Count", _of_balancer(balancer_arn)] += 1

    def _count(self, name: str, group_arn: str, balancer_arn: str) -> None:
        for dimensions in _of_both(group_arn, balancer_arn):
            self._counts[self._period()][name, dimensions] += 1

    def take(self, period_start: float) -> Points:
        """Return and forget what happened in a period. A metric without events is absent, not zero."""
        counts = self._counts.pop(period_start, Counter[Metric]())
        return {key: [float(count)] for key, count in counts.items()} | dict(self._values.pop(period_start, {}))

    def _period(self) -> float:
        return start_of_period(time.time(), self._period_seconds)


def start_of_period(at: float, period_seconds: int) -> float:
    return at // period_seconds * period_seconds


def _of_group(group_arn: str, balancer_arn: str) -> Dimensions:
    return (("TargetGroup", metric_dimension(group_arn)), *_of_balancer(balancer_arn))


def _of_both(group_arn: str, balancer_arn: str) -> tuple[Dimensions, Dimensions]:
    return _of_group(group_arn, balancer_arn), _of_balancer(balancer_arn)


def _of_balancer(balancer_arn: str) -> Dimensions:
    return (("LoadBalancer", metric_dimension(balancer_arn)),)


def host_counts(plane: DataPlane) -> Points:
    """Count healthy and unhealthy targets of each group that has targets and is in use."""
    points: Points = {}
    for arn, balancer_arn in plane.balancer_of_group.items():
        pool = plane.pools.get(arn)
        states = Counter(target.health.state for target in pool.registered) if pool else None
        if states:
            dimensions = _of_group(arn, balancer_arn)
            points["HealthyHostCount", dimensions] = [float(states["healthy"])]
            points["UnHealthyHostCount", dimensions] = [float(states["unhealthy"])]
    return points


async def publish_forever(metrics: Metrics, plane: DataPlane, backend: CloudWatchBackend, period_seconds: int) -> None:
    """Put a data point for each metric, stamped with the period's start: at its end, or later by the metric's delay."""
    loop = asyncio.get_running_loop()
    period_start = start_of_period(time.time(), period_seconds)
    while True:
        await asyncio.sleep(period_start + period_seconds - time.time() + TIMER_RESOLUTION_SECONDS)
        at = datetime.fromtimestamp(period_start, UTC).replace(tzinfo=None)  # moto compares naive UTC times
        for (name, dimensions), values in (metrics.take(period_start) | host_counts(plane)).items():
            named = [{"Name": key, "Value": value} for key, value in dimensions]
            point = Distribution(NAMESPACE, name, named, at, values)
            delay_seconds = plane.faults.publication_delay_seconds.get(name, 0.0)
            loop.call_later(delay_seconds, backend.metric_data.append, cast(Distribution, point))
        _forget_old(backend, period_start - KEPT_SECONDS)
        period_start += period_seconds


def _forget_old(backend: CloudWatchBackend, before: float) -> None:
    limit = datetime.fromtimestamp(before, UTC).replace(tzinfo=None)
    old = next((i for i, one in enumerate(backend.metric_data) if one.timestamp >= limit), 0)
    del backend.metric_data[:old]
