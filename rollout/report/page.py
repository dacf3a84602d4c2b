"""The page of a report: one HTML file that needs no network, with its charts, its script and its data inside."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any, Final, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from ruamel.yaml import YAML

from components.domain.moments import format_rfc3339
from rollout.model.records import Kind
from rollout.report.charts import Chart, Mark, charts, marks
from rollout.report.explanation import Explanation, cost_rows, duration, evidence_share, gate_meanings, slice_figures
from rollout.report.facts import Event, Report
from rollout.report.lines import Tone

FOLDER: Final = Path(__file__).parent
_OTHER_INKS: Final = 5
_ROWS: Final = 40


@dataclass(frozen=True, kw_only=True)
class Assets:
    """What the page carries besides its text."""

    style: Markup
    script: Markup
    chart_style: Markup
    chart_script: Markup


@dataclass(frozen=True, kw_only=True)
class Ink:
    """How a line of a chart looks."""

    name: str
    ink: str
    dashed: bool


def render(report: Report, explanation: Explanation, data: str) -> str:
    """Return the page of a run. ``data`` is its JSON, which programs find in the element ``report``."""
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            report=report,
            explanation=explanation,
            charts=list(charts(report)),
            marks=list(marks(report)),
            data=script_json(data),
        )
    )


@lru_cache(maxsize=8)
def environment(*folders: Path) -> Environment:
    """Return the templates of this folder, and of ``folders`` before it, for pages that are made of the same parts."""
    templates = Environment(
        loader=FileSystemLoader([*folders, FOLDER]),
        autoescape=select_autoescape(("jinja",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cast(dict[str, Any], templates.globals)["assets"] = _assets()
    cast(dict[str, Any], templates.tests)["minor"] = _is_minor
    cast(dict[str, Any], templates.filters).update(
        {
            "chart_data": _chart_data,
            "cost_rows": cost_rows,
            "duration": duration,
            "evidence_share": evidence_share,
            "gate_meanings": gate_meanings,
            "length_seconds": _length_seconds,
            "lines": inks,
            "moment": format_rfc3339,
            "rows": _rows,
            "slice_figures": slice_figures,
            "words": _words,
            "yaml": _yaml,
        }
    )
    return templates


def script_json(text: str) -> Markup:
    """Return JSON that can stand inside a script element."""
    return Markup(text.replace("<", "\\u003c"))


def _assets() -> Assets:
    def read(name: str) -> Markup:
        return Markup((FOLDER / name).read_text(encoding="utf-8"))

    return Assets(
        style=read("page.css"),
        script=read("page.js"),
        chart_style=read("uplot/uPlot.min.css"),
        chart_script=read("uplot/uPlot.iife.min.js"),
    )


def inks(chart: Chart) -> list[Ink]:
    """Return how the lines of a chart look. Colours are never the only difference: limits and requests are dashed."""
    others = count()
    return [
        Ink(
            name=one.name,
            ink=one.role if one.role != "other" else f"other-{next(others) % _OTHER_INKS + 1}",
            dashed=one.role in ("limit", "asked"),
        )
        for one in chart.series
    ]


def _chart_data(chart: Chart, marked: Sequence[Mark], seconds: float) -> str:
    drawn = [
        {
            **asdict(one),
            "ink": ink.ink,
            "dashed": ink.dashed,
        }
        for one, ink in zip(chart.series, inks(chart), strict=True)
    ]
    return json.dumps(
        {
            "chart": {"unit": chart.unit, "top": chart.top, "series": drawn},
            "marks": [asdict(one) for one in marked],
            "seconds": seconds,
        }
    )


def _length_seconds(report: Report) -> float:
    last = report.ended_at or (report.timeline[-1].at if report.timeline else report.began_at)
    return max(1.0, (last - report.began_at).total_seconds())


def _rows(chart: Chart) -> Iterator[list[float | None]]:
    """Yield rows of time and values, at most ``_ROWS`` and evenly spaced among those that there are."""
    values: list[Mapping[float, float]] = [
        {at: value for at, value in one.points if value is not None} for one in chart.series
    ]
    times = sorted(set().union(*values))
    step = max(1, -(-len(times) // _ROWS))
    for at in times[::step]:
        yield [at, *(one.get(at) for one in values)]


def _is_minor(event: Event) -> bool:
    return event.kind in (Kind.NOTE, Kind.BASELINE, Kind.KEEPING) or (
        event.kind is Kind.VERDICT and event.tone is not Tone.BAD
    )


def _words(text: str) -> str:
    return text.replace("_", " ")


def _yaml(value: Any) -> str:
    text = StringIO()
    writer = YAML()
    writer.default_flow_style = False
    writer.dump({name: one for name, one in value.items() if one not in (None, {}, [], "")}, text)
    return text.getvalue()
