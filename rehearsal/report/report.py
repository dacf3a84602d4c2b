"""The report: one HTML page with every request's outcome while the weight moved, and the report of each rollout."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rehearsal.load.records import Record, percentile
from rehearsal.report.journal import Record as JournalRecord
from rehearsal.report.result import Evidence
from rollout.model.records import read_record
from rollout.report.charts import Chart, Mark, Point, Series, charts, marks
from rollout.report.explanation import explain
from rollout.report.facts import Report
from rollout.report.page import environment, script_json
from rollout.report.read import reports

_TEMPLATE = "rehearsal.html.jinja"
_WINDOW_SECONDS = 5
_COLORS = ("blue", "green")


def write_report(
    path: Path, result: dict[str, Any], problems: Sequence[str], evidence: Evidence, runs: Sequence[Report], stack: str
) -> None:
    """Write the page, a self-contained file.

    Args:
        path: the file to write.
        result: the content of ``result.json``.
        problems: why the rehearsal failed; empty when it passed.
        evidence: the recorded requests, rule changes and journal.
        runs: the product's reports of what the scripts did.
        stack: the stack, for the commands in those reports.
    """
    clients = _Clients(evidence) if evidence.requests else None
    page = environment(Path(__file__).parent).get_template(_TEMPLATE)
    path.write_text(
        page.render(
            result=result,
            problems=problems,
            charts=list(clients.charts()) if clients else [],
            marks=clients.marks() if clients else [],
            seconds=clients.seconds if clients else 1,
            runs=[(one, explain(one, stack), list(charts(one)), list(marks(one))) for one in runs],
            data=script_json(json.dumps(result, indent=2)),
        ),
        encoding="utf-8",
    )


def product_reports(journal: Iterable[JournalRecord]) -> list[Report]:
    """Return the product's reports of a journal's runs."""
    return list(reports([read_record(record) for record in journal]))


class _Clients:
    """What clients saw. x is the time in seconds since the traffic began."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._requests = evidence.requests
        self._begin = min(request.started_at for request in self._requests)
        self.seconds = max(1.0, max(request.ended_at for request in self._requests) - self._begin)

    def charts(self) -> Iterator[Chart]:
        """Yield the charts over the whole rehearsal."""
        rates = [
            Series(name=color, role=color, points=self._rate(one for one in self._requests if one.color == color))
            for color in _COLORS
        ]
        failed = self._rate(request for request in self._requests if request.failed)
        lost = Series(name="failed", role="limit", points=failed)
        yield Chart(title="Requests started, by the colour that answered", unit="requests/s", series=(*rates, lost))
        yield Chart(
            title="Weight of green that requests follow",
            unit="%",
            series=(Series(name="green", role="green", points=self._weights(), stepped=True),),
            top=100,
        )
        yield Chart(
            title=f"Time to first token, p95 over {_WINDOW_SECONDS} s",
            unit="s",
            series=tuple(Series(name=color, role=color, points=self._first_tokens(color)) for color in _COLORS),
        )

    def marks(self) -> list[Mark]:
        """Return the scenarios' beginnings."""
        return [
            Mark(at_seconds=self._x(window.started_at), text=name.replace("_", " "))
            for name, window in self._evidence.windows.items()
        ]

    def _x(self, moment: float) -> float:
        return round(moment - self._begin, 2)

    def _rate(self, requests: Iterable[Record]) -> tuple[Point, ...]:
        counts = Counter(int(request.started_at - self._begin) for request in requests)
        return tuple((second, counts[second]) for second in range(int(self.seconds) + 1))

    def _weights(self) -> tuple[Point, ...]:
        changes = [change for change in self._evidence.rule_changes if change.applied]
        before = [change.weights["green"] for change in changes if change.at <= self._begin]
        points: list[Point] = [(0, before[-1] if before else 0)]
        points += [(self._x(change.at), change.weights["green"]) for change in changes if change.at > self._begin]
        return (*points, (self.seconds, points[-1][1]))

    def _first_tokens(self, color: str) -> tuple[Point, ...]:
        """Return the percentile by window. The line ends where the colour had no traffic."""
        windows: dict[int, list[float]] = {}
        for request in self._requests:
            if request.color == color and request.ttft_seconds is not None:
                window = int((request.started_at - self._begin) / _WINDOW_SECONDS)
                windows.setdefault(window, []).append(request.ttft_seconds)
        return tuple(
            ((window + 0.5) * _WINDOW_SECONDS, percentile(windows[window], 95) if window in windows else None)
            for window in range(int(self.seconds / _WINDOW_SECONDS) + 1)
        )
