"""Compares both colours' counters over a window, block by block, and accumulates the evidence for each metric."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from components.config.sections.rollout_settings import GateSettings
from components.domain.naming import Color
from rollout.statistics.measurements import Counters, Histogram, Period, Sample, sample
from rollout.statistics.sequential import BLOCK_REQUESTS, Comparison, categories

LATENCIES = {"ttft_p95": "ttft", "inter_token_p95": "inter_token", "end_to_end_p95": "end_to_end"}
"""The latency gates on the pods' own metrics, each with its attribute of ``Sample``."""

GATES: Final = ("error_rate", "abandoned", *LATENCIES)
"""The gates on the pods' own metrics that compare the colours' requests."""


def latency(of: Sample | None, gate: str) -> Histogram | None:
    """Return the histogram that a gate judges. None when there is no sample."""
    return None if of is None else getattr(of, LATENCIES[gate])


class PodComparison:
    """Compares the counters of both colours' pods, from one look to the next.

    Each metric has its own blocks. A block ends when both colours have enough observations of the metric. When a pod
    goes away, its counts since the end of the last block are lost.
    """

    def __init__(
        self,
        start: Mapping[Color, Counters],
        candidate: Color,
        active: Color,
        limits: GateSettings,
        gates: Collection[str] = GATES,
    ) -> None:
        """Begin with the counters at the start of the window, for these gates."""
        self._gates = gates
        self._candidate: Color = candidate
        self._active: Color = active
        self._limits = limits
        self._shares = {
            "error_rate": _Metric(start, Comparison(allowed_increase=limits.error_rate.increase_limit_points / 100)),
            "abandoned": _Metric(start, Comparison(allowed_increase=limits.abandoned.increase_limit_points / 100)),
        }
        self._latencies = {gate: _Metric(start, Comparison()) for gate in LATENCIES if gate in gates}

    def look(self, now: Mapping[Color, Counters]) -> dict[str, float]:
        """Add the counts so far, and return the log evidence by gate."""
        grown: dict[int, tuple[Sample | None, Sample | None]] = {}

        def growth(metric: _Metric) -> tuple[Sample | None, Sample | None]:
            """Return both colours' growth. Blocks that began together grew alike, so each start is read once."""
            start = metric.start
            if id(start) not in grown:
                mine, other = (sample(start[color], now[color]) for color in (self._candidate, self._active))
                grown[id(start)] = mine, other
            return grown[id(start)]

        judged = {gate: metric for gate, metric in self._shares.items() if gate in self._gates}
        for gate, metric in judged.items():
            mine, other = growth(metric)
            comparable, outcomes = _OUTCOMES[gate]
            if mine is not None and other is not None and comparable(mine) and comparable(other):
                metric.comparison.add(outcomes(mine), outcomes(other))
                metric.start = now
        for gate, metric in self._latencies.items():
            taken, usual = (latency(one, gate) for one in growth(metric))
            if taken is not None and usual is not None and min(taken.count, usual.count) >= BLOCK_REQUESTS:
                metric.comparison.add(*blocks(taken, usual, getattr(self._limits, gate).ratio_limit))
                metric.start = now
        judged |= self._latencies
        return {gate: float(metric.comparison.log_evidence) for gate, metric in judged.items()}


def _enough(of: Sample) -> bool:
    return of.requests >= BLOCK_REQUESTS


def _failed(of: Sample) -> tuple[int, int]:
    return of.requests - of.failed, of.failed


def _comparable(of: Sample) -> bool:
    """Return whether a block of abandoned requests can end.

    Not while more generations have ended than exchanges. A generation ends a little earlier, and a request for several
    answers has several. Such a block goes on until the exchanges have caught up.
    """
    return of.answered is not None and of.completed <= of.answered and of.begun >= BLOCK_REQUESTS


def _abandoned(of: Sample) -> tuple[int, int]:
    abandoned = of.abandoned or 0
    return of.begun - abandoned, abandoned


_OUTCOMES: Final = {"error_rate": (_enough, _failed), "abandoned": (_comparable, _abandoned)}
"""By gate on a share: whether a block can end with a sample, and its outcomes, the good ones first."""


@dataclass
class _Metric:
    start: Mapping[Color, Counters]
    """The counters at the end of the last block."""
    comparison: Comparison


def blocks(candidate: Histogram, active: Histogram, ratio: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sort both colours' latencies into the same categories. The candidate's are first divided by the allowed ratio.

    If an observation's bucket overlaps several categories, it counts in the best of them. Two versions of the server
    may have different buckets, so the categories are the active colour's.
    """
    edges = [bound for bound in active.bounds if not math.isinf(bound)]
    scaled = [edge * ratio for edge in edges]
    return categories(candidate.bounds, candidate.counts, scaled), categories(active.bounds, active.counts, edges)


def errors_compared(candidate: Sequence[Period], active: Sequence[Period], increase: float) -> float:
    """Return the log evidence that requests to the candidate's targets fail more often than the active colour's.

    Args:
        candidate: the candidate's counts by period.
        active: the active colour's counts of the same periods.
        increase: how far the candidate's share of failures may exceed the active colour's, between 0 and 1.
    """
    comparison = Comparison(allowed_increase=increase)
    mine, other = Period(), Period()
    for one, two in zip(candidate, active, strict=True):
        mine, other = _added(mine, one), _added(other, two)
        if min(mine.requests, other.requests) >= BLOCK_REQUESTS:
            comparison.add(_outcomes(mine), _outcomes(other))
            mine, other = Period(), Period()
    return float(comparison.log_evidence)


def _added(one: Period, two: Period) -> Period:
    return Period(
        requests=one.requests + two.requests,
        server_errors=one.server_errors + two.server_errors,
        connection_errors=one.connection_errors + two.connection_errors,
    )


def _outcomes(period: Period) -> tuple[int, int]:
    # Requests count when they begin, errors when they end: at the edge of a block there may be more errors.
    failed = min(period.requests, period.failed)
    return period.requests - failed, failed
