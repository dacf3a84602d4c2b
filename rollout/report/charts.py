"""The charts of a report: for each one the lines, their points and their limit. Pure; the page draws them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from components.domain.naming import Color, other_color
from rollout.model.verdict import Evidence
from rollout.report.explanation import evidence_share
from rollout.report.facts import Hold, Reading, Report

Point = tuple[float, float | None]
"""Seconds since the run began, and the value. None ends a line."""
Role = Literal["blue", "green", "limit", "asked", "other"]

LATENCIES: Final = {
    "ttft_p95": "Time to first token, p95",
    "inter_token_p95": "Time between tokens, p95",
    "end_to_end_p95": "Time of whole requests, p95",
}


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart."""

    name: str
    role: Role
    points: tuple[Point, ...]
    stepped: bool = False
    """Whether a value holds until the next point."""
    scattered: bool = False
    """Whether there is nothing between the points."""
    wide: bool = False
    """Whether the line is wide and pale, so that another one with the same values can be seen on it."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A moment that all charts show."""

    at_seconds: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart. The x axis is the time since the run began, in seconds."""

    title: str
    unit: str
    series: tuple[Series, ...]
    top: float | None = None
    """The end of the y axis. None to fit the values."""

    @property
    def summary(self) -> str:
        """The chart in one sentence, for those who do not see it."""
        parts = [
            f"{one.name} from {min(values):.4g} to {max(values):.4g} {self.unit}".rstrip()
            for one in self.series
            if (values := [value for _, value in one.points if value is not None])
        ]
        return f"{self.title}: {'; '.join(parts)}"


def charts(report: Report) -> Iterator[Chart]:
    """Yield the charts that have data."""
    found = [
        _weights(report),
        _rates(report),
        _shares(report, "error_rate", "Failed requests", "failed", "error_rate_percent"),
        _shares(report, "abandoned", "Abandoned requests", "abandoned", "abandoned_percent"),
        *(_latency(report, gate, title) for gate, title in LATENCIES.items()),
        _evidence(report),
    ]
    for chart in found:
        series = tuple(one for one in chart.series if any(value is not None for _, value in one.points))
        # A limit alone says nothing about the colours.
        if any(one.role != "limit" for one in series):
            yield Chart(title=chart.title, unit=chart.unit, series=series, top=chart.top)


def marks(report: Report) -> Iterator[Mark]:
    """Yield the changes of the weights, the promotion and the rollback."""
    for change in report.weights:
        if change.cohort:
            yield Mark(at_seconds=_since(report, change.asked_at), text=change.cohort)
        elif change.candidate_percent:
            yield Mark(at_seconds=_since(report, change.asked_at), text=f"{change.candidate_percent} %")
    if report.decision is not None:
        yield Mark(at_seconds=_since(report, report.decision.decided_at), text=report.decision.action)


def _since(report: Report, moment: datetime) -> float:
    return round((moment - report.began_at).total_seconds(), 3)


def _weights(report: Report) -> Chart:
    asked: list[Point] = []
    observed: list[Point] = []
    for change in report.weights:
        asked.append((_since(report, change.asked_at), float(change.candidate_percent)))
        if change.in_effect_at is not None and change.observed_percent is not None:
            observed.append((_since(report, change.in_effect_at), change.observed_percent))
    if asked:
        asked = [(0.0, 0.0), *asked]
        if report.ended_at is not None:
            asked.append((_since(report, report.ended_at), asked[-1][1]))
    color = _candidate(report)
    return Chart(
        title=f"Share of new requests on {color}",
        unit="%",
        series=(
            Series(name="asked", role="asked", points=tuple(asked), stepped=True),
            Series(name="counted by the load balancer", role=color, points=tuple(observed), scattered=True),
        ),
        top=100,
    )


def _candidate(report: Report) -> Color:
    return report.candidate or "green"


def _gate_points(
    report: Report, gate: str, values: Sequence[Callable[[Hold, int, Sequence[Reading]], float | None]]
) -> list[tuple[Point, ...]]:
    """Return a line for each value. A line is interrupted between two holds: nobody measured there."""
    lines: list[list[Point]] = [[] for _ in values]
    for hold in report.holds:
        readings = next((one.readings for one in hold.gates if one.name == gate), ())
        if not readings:
            continue
        for line, value in zip(lines, values, strict=True):
            line += [(_since(report, one.at), value(hold, place, readings)) for place, one in enumerate(readings)]
            line.append((_since(report, readings[-1].at) + 0.001, None))
    return [tuple(line) for line in lines]


def _figure(name: str) -> Callable[[Hold, int, Sequence[Reading]], float | None]:
    return lambda _hold, place, readings: number(readings[place].evidence, name)


def number(evidence: Evidence, name: str) -> float | None:
    """Return a figure of a verdict. None when it has none."""
    value = evidence.get(name)
    return float(value) if isinstance(value, int | float) else None


_RATE_WINDOW: Final = timedelta(seconds=60)
"""A rate is that of this time before. Counts grow by scrapes, so between two polls they may stand still, or leap."""


def _per_second(name: str) -> Callable[[Hold, int, Sequence[Reading]], float | None]:
    """Return the growth of a count that begins at 0 for each hold."""

    def rate(hold: Hold, place: int, readings: Sequence[Reading]) -> float | None:
        at, now = readings[place].at, number(readings[place].evidence, name)
        before_at, before = hold.counted_from, 0.0
        for earlier in readings[:place]:
            count = number(earlier.evidence, name)
            if count is not None and earlier.at <= at - _RATE_WINDOW:
                before_at, before = earlier.at, count
        seconds = (at - before_at).total_seconds()
        return None if now is None or seconds <= 0 else round(max(0.0, now - before) / seconds, 3)

    return rate


def _rates(report: Report) -> Chart:
    color = _candidate(report)
    mine, other = _gate_points(report, "error_rate", [_per_second("requests"), _per_second("active_requests")])
    return Chart(
        title="Requests per second",
        unit="requests/s",
        series=_both(color, mine, other),
    )


def _both(color: Color, mine: tuple[Point, ...], other: tuple[Point, ...]) -> tuple[Series, Series]:
    outgoing = other_color(color)
    return (
        Series(name=outgoing, role=outgoing, points=other, wide=True),
        Series(name=color, role=color, points=mine),
    )


def _shares(report: Report, gate: str, title: str, counted: str, rate: str) -> Chart:
    color = _candidate(report)

    def active(_hold: Hold, place: int, readings: Sequence[Reading]) -> float | None:
        evidence = readings[place].evidence
        requests, hits = number(evidence, "active_requests"), number(evidence, f"active_{counted}")
        return round(100 * hits / requests, 3) if requests and hits is not None else None

    mine, other, limit = _gate_points(report, gate, [_figure(rate), active, _figure("limit_percent")])
    return Chart(
        title=title,
        unit="%",
        series=(
            *_both(color, mine, other),
            Series(name="limit", role="limit", points=limit),
        ),
    )


def _latency(report: Report, gate: str, title: str) -> Chart:
    color = _candidate(report)
    values = [_figure("p95_seconds"), _figure("active_p95_seconds"), _figure("limit_seconds")]
    mine, other, limit = _gate_points(report, gate, values)
    return Chart(
        title=title,
        unit="s",
        series=(
            *_both(color, mine, other),
            Series(name="limit", role="limit", points=limit),
        ),
    )


def _evidence(report: Report) -> Chart:
    names = list(dict.fromkeys(gate.name for hold in report.holds for gate in hold.gates))

    def percent(_hold: Hold, place: int, readings: Sequence[Reading]) -> float | None:
        share = evidence_share(readings[place].evidence)
        return None if share is None else round(100 * min(share, 1.2), 1)

    series = tuple(Series(name=name, role="other", points=_gate_points(report, name, [percent])[0]) for name in names)
    ends = [point for one in series for point, _ in one.points]
    limit = ((min(ends), 100.0), (max(ends), 100.0)) if ends else ()
    return Chart(
        title="Evidence against the candidate, by gate",
        unit="% of what fails it",
        series=(*series, Series(name="fails", role="limit", points=limit)),
        top=125,
    )
