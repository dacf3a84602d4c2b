"""The dashboard's JSON, as CloudWatch reads it.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

import re
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.balancer.balancer_dashboard import DashboardLimits, Watched, dashboard_body, dashboard_name
from components.domain.balancer.balancer_metrics import BALANCER_ERRORS, COLOR_METRICS, NAMESPACE
from components.domain.naming import COLORS

WATCHED = Watched(
    service="chat",
    region="eu-central-1",
    load_balancer="app/chat/1",
    target_groups={color: f"targetgroup/chat-{color}/1" for color in COLORS},
    limits=DashboardLimits(error_percent=1.5, p95_seconds=20),
)
WIDGETS: list[dict[str, Any]] = dashboard_body(WATCHED)["widgets"]
SHOWN: list[dict[str, Any]] = [widget["properties"] for widget in WIDGETS]


def metrics(properties: dict[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    """The metrics of a widget: name, statistic and dimensions."""
    found: list[tuple[str, str, dict[str, str]]] = []
    for line in properties["metrics"]:
        if len(line) > 1:
            namespace, name, *flat, options = line
            assert namespace == NAMESPACE
            found.append((name, options["stat"], dict(zip(flat[::2], flat[1::2], strict=True))))
    return found


def shown(title: str) -> dict[str, Any]:
    (found,) = [one for one in SHOWN if title in one["title"]]
    return found


def test_it_shows_what_the_gates_judge_and_nothing_else() -> None:
    whole = {"LoadBalancer": "app/chat/1"}
    of_colors = [
        (*metric, {**whole, "TargetGroup": WATCHED.target_groups[color]})
        for metric in COLOR_METRICS
        for color in COLORS
    ]
    found = [one for properties in SHOWN for one in metrics(properties)]
    wanted = [*of_colors, (*BALANCER_ERRORS, whole)]
    assert all(one in found for one in wanted)
    assert all(one in wanted for one in found)


def test_widgets_are_in_the_grid_and_beside_each_other() -> None:
    places = [(one["x"], one["y"], one["width"], one["height"]) for one in WIDGETS]
    for x, _, width, _ in places:
        assert 0 <= x <= 24 - width
    for (x, y, width, height), (other_x, other_y, _, _) in combinations(places, 2):
        assert abs(x - other_x) >= width or abs(y - other_y) >= height


@pytest.mark.parametrize("properties", SHOWN, ids=lambda one: one["title"])
def test_a_widget_is_one_that_cloudwatch_draws(properties: dict[str, Any]) -> None:
    assert properties["region"] == "eu-central-1"
    assert properties["title"].startswith("chat: ")
    assert properties["view"] == "timeSeries"
    options = [line[-1] for line in properties["metrics"]]
    ids = [one["id"] for one in options if "id" in one]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]\w*", one) for one in ids)
    for one in options:
        if "expression" in one:
            assert set(re.findall(r"\b[a-z]\w*", one["expression"])) <= set(ids)
    visible = [one["label"] for one in options if one.get("visible", True)]
    assert visible in (["blue", "green"], ["both colours"])


def test_limits_are_those_of_the_gates() -> None:
    lines = {
        title: [(line["label"], line["value"]) for line in properties["annotations"]["horizontal"]]
        for properties in SHOWN
        if "annotations" in properties
        for title in [properties["title"]]
    }
    assert lines == {
        "chat: 5xx answers and failed connections (%)": [("limit of the gate target_group_errors", 1.5)],
        "chat: Time until an answer begins, p95 (s)": [("limit of the gate target_group_latency", 20)],
    }


def test_a_share_is_of_both_colours_requests() -> None:
    expressions = [line[0]["expression"] for line in shown("Share of requests")["metrics"] if len(line) == 1]
    assert expressions == ["100 * blue / SUM([blue, green])", "100 * green / SUM([blue, green])"]


@given(st.from_regex(r"[A-Za-z0-9_.-]{1,100}", fullmatch=True))
def test_a_name_is_one_that_cloudwatch_takes(stack: str) -> None:
    name = dashboard_name(stack, "chat", "eu-central-1")
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name)
    assert name.startswith("vllm-blue-green-")
