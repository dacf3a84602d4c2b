"""The report: one HTML page that shows every request's outcome while the weight moved."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape

from rehearsal.load.records import Record, percentile
from rehearsal.report.journal import at, of_kind
from rehearsal.report.result import Evidence

_TEMPLATE = "report.html.jinja"
_WIDTH, _HEIGHT = 1080, 200
_WINDOW_SECONDS = 5.0
_COLORS = ("blue", "green")
_NOTABLE = {"promoted": "promoted", "parked": "parked", "nodes_released": "nodes released"}

Point = tuple[float, float]


def write_report(path: Path, result: dict[str, Any], problems: Sequence[str], evidence: Evidence) -> None:
    """Write the page, a self-contained file.

    Args:
        path: the file to write.
        result: the content of ``result.json``.
        problems: why the rehearsal failed; empty when it passed.
        evidence: the recorded requests, rule changes and journal.
    """
    folder = FileSystemLoader(Path(__file__).parent)
    template = Environment(loader=folder, autoescape=select_autoescape(default=True)).get_template(_TEMPLATE)
    path.write_text(
        template.render(result=result, problems=problems, chart=_Chart(evidence) if evidence.requests else None)
    )


class _Chart:
    """The timeline in SVG coordinates: x is the time since the traffic began, y grows downwards."""

    width, height = _WIDTH, _HEIGHT

    def __init__(self, evidence: Evidence) -> None:
        requests = evidence.requests
        self._begin = min(request.started_at for request in requests)
        self.seconds = max(1.0, max(request.ended_at for request in requests) - self._begin)
        rates = {
            color: self._per_second(request for request in requests if request.color == color) for color in _COLORS
        }
        self.top_rate = max(
            1, *(rates["blue"][second] + rates["green"][second] for second in range(int(self.seconds) + 1))
        )
        self.areas = self._stacked(rates)
        self.weight_line = self._weight_line(evidence)
        self.first_token_lines = {color: self._first_token_lines(requests, color) for color in _COLORS}
        self.failed = [self._x(request.started_at) for request in requests if request.failed]
        self.scenarios = [
            (name.replace("_", " "), self._x(window.started_at), self._x(window.ended_at))
            for name, window in evidence.windows.items()
        ]
        self.marks = self._marks(evidence)
        self.ticks = [(self._x(self._begin + second), second) for second in range(0, int(self.seconds) + 1, 30)]

    def _x(self, moment: float) -> float:
        return round((moment - self._begin) / self.seconds * _WIDTH, 1)

    def _per_second(self, requests: Iterable[Record]) -> Counter[int]:
        return Counter(int(request.started_at - self._begin) for request in requests)

    def _stacked(self, rates: dict[str, Counter[int]]) -> dict[str, str]:
        seconds = range(int(self.seconds) + 1)
        below: list[Point] = [(self._x(self._begin + second), 0.0) for second in seconds]
        areas: dict[str, str] = {}
        for color in _COLORS:
            above = [(x, total + rates[color][second]) for second, (x, total) in zip(seconds, below, strict=True)]
            areas[color] = _points((x, self._rate_y(rate)) for x, rate in [*above, *reversed(below)])
            below = above
        return areas

    def _rate_y(self, rate: float) -> float:
        return _HEIGHT * (1 - rate / self.top_rate)

    def _weight_line(self, evidence: Evidence) -> str:
        """Draw the weight that requests follow as steps. 0 % is at the bottom."""
        points: list[Point] = []
        weight = 0
        for change in evidence.rule_changes:
            if change.applied:
                x = max(0.0, self._x(change.at))
                points += [(x, weight), (x, change.weights["green"])]
                weight = change.weights["green"]
        return _points(
            (x, _HEIGHT * (1 - value / 100))
            for x, value in [(0.0, points[0][1] if points else 0), *points, (_WIDTH, weight)]
        )

    def _first_token_lines(self, requests: Sequence[Record], color: str) -> list[str]:
        """Draw the 95th percentile of the time to first token. The top is one second. There is no line where a colour
        had no traffic."""
        windows: dict[int, list[float]] = {}
        for request in requests:
            if request.color == color and request.ttft_seconds is not None:
                window = int((request.started_at - self._begin) / _WINDOW_SECONDS)
                windows.setdefault(window, []).append(request.ttft_seconds)
        lines: list[list[Point]] = []
        for window, times in sorted(windows.items()):
            x = self._x(self._begin + (window + 0.5) * _WINDOW_SECONDS)
            if window - 1 not in windows:
                lines.append([])
            lines[-1].append((x, _HEIGHT * (1 - min(1.0, percentile(times, 95) or 0.0))))
        # SVG does not draw a line of one point; a line from a point to itself is a dot.
        return [_points(line if len(line) > 1 else line * 2) for line in lines]

    def _marks(self, evidence: Evidence) -> list[tuple[float, str]]:
        marks = [
            (self._x(at(record)), label)
            for kind, label in _NOTABLE.items()
            for record in of_kind(evidence.journal, kind)
        ]
        marks += [
            (self._x(at(record)), "rollback") for record in of_kind(evidence.journal, "decision", action="rollback")
        ]
        return sorted(marks)


def _points(points: Iterable[Point]) -> str:
    return " ".join(f"{x:g},{round(y, 1):g}" for x, y in points)
