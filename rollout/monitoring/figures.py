"""The figures that people watch: each is a recorded series with its unit and, for a gate's metric, its limit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rollout.monitoring.series import SeriesNames
from rollout.monitoring.subject import Monitored

_UNITS: Final = {"percent": " %", "s": " s"}
"""How the units of limits are written."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of each colour."""

    title: str
    series: str
    unit: str
    """Grafana's id of the unit.

    https://github.com/grafana/grafana/blob/main/packages/grafana-data/src/valueFormats/categories.ts
    """
    description: str
    factor: int = 1
    """What the series is multiplied by to get the unit of the figure and its limit."""
    limit: float | None = None
    alert: str | None = None
    """The name of the alert above the limit."""

    @property
    def limit_text(self) -> str:
        """The limit with its unit. Empty without a limit."""
        return "" if self.limit is None else f"{self.limit:.15g}{_UNITS.get(self.unit, '')}"

    def expression(self, matcher: str) -> str:
        """Return the PromQL of the figure."""
        factor = "" if self.factor == 1 else f"{self.factor} * "
        return f"{factor}{self.series}{{{matcher}}}"


def figures(subject: Monitored) -> Iterator[Figure]:
    """Return the figures in the order of the dashboard."""
    names, gates = SeriesNames(subject.window_minutes), subject.gates
    yield Figure(
        title="Requests",
        series=names.requests,
        unit="reqps",
        description="POST requests to /v1/* by the pods' counts, with readiness probes.",
    )
    yield Figure(
        title="Failed requests",
        series=names.failed_share,
        factor=100,
        unit="percent",
        description="5xx answers, and generations that ended in an error or were aborted.",
        limit=gates.error_rate.limit_percent,
        alert="VllmErrorsAboveLimit",
    )
    yield Figure(
        title="Abandoned requests",
        series=names.abandoned_share,
        factor=100,
        unit="percent",
        description="Requests whose client hung up before the answer was complete.",
        limit=gates.abandoned.limit_percent,
        alert="VllmAbandonedAboveLimit",
    )
    for title, series, limits, alert in (
        ("Time to first token, p95", names.ttft_p95, gates.ttft_p95, "VllmTimeToFirstTokenAboveLimit"),
        ("Time between tokens, p95", names.inter_token_p95, gates.inter_token_p95, "VllmInterTokenTimeAboveLimit"),
        ("End-to-end time, p95", names.end_to_end_p95, gates.end_to_end_p95, "VllmEndToEndTimeAboveLimit"),
    ):
        yield Figure(
            title=title,
            series=series,
            unit="s",
            description=f"95th percentile of the last {subject.window_minutes} minutes.",
            limit=limits.limit_seconds,
            alert=alert,
        )
    yield Figure(
        title="Waiting requests per replica",
        series=names.waiting,
        unit="short",
        description="Requests that wait for capacity, on average over the colour's pods.",
        limit=gates.queue_depth.limit_per_replica,
        alert="VllmQueueAboveLimit",
    )
    yield Figure(
        title="Ready replicas",
        series=names.replicas_ready,
        unit="short",
        description="Replicas that are ready, by kube-state-metrics. A parked colour has 0.",
    )
