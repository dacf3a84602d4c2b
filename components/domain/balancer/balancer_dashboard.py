"""A dashboard of what the load balancer counts: both colours on one axis, and the gates' limits. Pure.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from components.domain.balancer.balancer_metrics import (
    BALANCER_ERRORS,
    CONNECTION_ERRORS,
    HEALTHY_HOSTS,
    NAMESPACE,
    P95_SECONDS,
    PERIOD_SECONDS,
    REQUESTS,
    SERVER_ERRORS,
    BalancerMetric,
    balancer_dimensions,
    color_dimensions,
)
from components.domain.naming import COLORS, PROJECT, Color

_COLUMNS: Final = 2
_WIDTH: Final = 12  # the grid has 24 columns
_HEIGHT: Final = 6
_HEX: Final[Mapping[Color, str]] = {"blue": "#1f77b4", "green": "#2ca02c"}
_LIMIT_HEX: Final = "#d62728"

_Line = list[Any]
"""An entry of a widget's ``metrics``: a metric with its dimensions, or an expression."""


@dataclass(frozen=True, kw_only=True)
class DashboardLimits:
    """The limits of the gates that judge what the load balancer counts."""

    error_percent: float
    """Of a colour's requests: 5xx answers and failed connections."""
    p95_seconds: float
    """Of the time until a target begins its answer."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a dashboard shows: the load balancer and target groups by their CloudWatch dimensions."""

    service: str
    region: str
    load_balancer: str
    target_groups: Mapping[Color, str]
    limits: DashboardLimits


def dashboard_name(stack: str, service: str, region: str) -> str:
    """Return the dashboard's name. An account has one list of dashboards for all regions.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
    """
    return re.sub(r"[^A-Za-z0-9_-]", "-", f"{PROJECT}-{stack}-{service}-{region}")


def dashboard_body(watched: Watched) -> dict[str, Any]:
    """Return the dashboard."""
    widgets = (
        _widget(watched, "Requests a minute", _of_colors(watched, REQUESTS)),
        _widget(watched, "Share of requests (%)", _shares(watched), most=100),
        _widget(
            watched,
            "5xx answers and failed connections (%)",
            _error_rates(watched),
            limit=watched.limits.error_percent,
            gate="target_group_errors",
        ),
        _widget(
            watched,
            "Time until an answer begins, p95 (s)",
            _of_colors(watched, P95_SECONDS),
            limit=watched.limits.p95_seconds,
            gate="target_group_latency",
        ),
        _widget(watched, "Healthy targets", _of_colors(watched, HEALTHY_HOSTS)),
        _widget(
            watched,
            "5xx answers of the load balancer itself, a minute",
            [_line(BALANCER_ERRORS, balancer_dimensions(watched.load_balancer), label="both colours")],
        ),
    )
    placed = [
        {
            "type": "metric",
            "x": place % _COLUMNS * _WIDTH,
            "y": place // _COLUMNS * _HEIGHT,
            "width": _WIDTH,
            "height": _HEIGHT,
            "properties": properties,
        }
        for place, properties in enumerate(widgets)
    ]
    return {"start": "-PT3H", "periodOverride": "inherit", "widgets": placed}


def _widget(
    watched: Watched,
    title: str,
    lines: Iterable[_Line],
    *,
    most: float | None = None,
    limit: float | None = None,
    gate: str = "",
) -> dict[str, Any]:
    axis = {"min": 0} if most is None else {"min": 0, "max": most}
    shown = {"color": _LIMIT_HEX, "label": f"limit of the gate {gate}", "value": limit}
    return {
        "title": f"{watched.service}: {title}",
        "view": "timeSeries",
        "stacked": False,
        "region": watched.region,
        "period": PERIOD_SECONDS,
        "metrics": list(lines),
        "yAxis": {"left": {**axis, "showUnits": False}},
        **({} if limit is None else {"annotations": {"horizontal": [shown]}}),
    }


def _line(metric: BalancerMetric, dimensions: Mapping[str, str], **options: Any) -> _Line:
    flat = [part for dimension in dimensions.items() for part in dimension]
    return [NAMESPACE, metric.name, *flat, {"stat": metric.statistic, **options}]


def _of_color(watched: Watched, metric: BalancerMetric, of: Color, **options: Any) -> _Line:
    return _line(metric, color_dimensions(watched.load_balancer, watched.target_groups, of), **options)


def _of_colors(watched: Watched, metric: BalancerMetric) -> list[_Line]:
    return [_of_color(watched, metric, color, label=color, color=_HEX[color]) for color in COLORS]


def _shares(watched: Watched) -> list[_Line]:
    """Return what the weights did: each colour's share of the requests that were counted."""
    # A colour without requests has no datapoints. A sum over an array leaves them out; `+` would then give none at all.
    return [
        *(_expression(f"100 * {color} / SUM([{', '.join(COLORS)}])", color) for color in COLORS),
        *(_of_color(watched, REQUESTS, color, id=color, visible=False) for color in COLORS),
    ]


def _error_rates(watched: Watched) -> list[_Line]:
    # A minute without errors has no datapoint, so FILL counts it as 0.
    counted = {"requests": REQUESTS, "errors": SERVER_ERRORS, "refused": CONNECTION_ERRORS}
    return [
        *(
            _expression(f"100 * (FILL({color}_errors, 0) + FILL({color}_refused, 0)) / {color}_requests", color)
            for color in COLORS
        ),
        *(
            _of_color(watched, metric, color, id=f"{color}_{name}", visible=False)
            for color in COLORS
            for name, metric in counted.items()
        ),
    ]


def _expression(expression: str, color: Color) -> _Line:
    return [{"expression": expression, "id": f"{color}_percent", "label": color, "color": _HEX[color]}]
