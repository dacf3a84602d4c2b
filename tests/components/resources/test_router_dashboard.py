"""The dashboard as the program declares it, against what the gates read."""

import json
from datetime import UTC, datetime
from typing import Any

from components.config.sections.router_settings import LISTENER
from components.domain.balancer.balancer_metrics import color_dimensions
from components.domain.naming import COLORS, Color
from rollout.adapters.aws.cloudwatch import CloudWatchMetrics
from tests.components.domain.balancer.test_balancer_dashboard import metrics
from tests.components.example import release, run_program
from tests.components.registrations import Registrations

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


def body(declared: Registrations) -> dict[str, Any]:
    return json.loads(declared["Dashboard", "llm"].inputs["dashboardBody"])


class Asked:
    """A CloudWatch that has no data, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.queries: list[dict[str, Any]] = []

    def get_paginator(self, _: str) -> "Asked":
        return self

    def paginate(self, **asked: Any) -> list[Any]:
        self.queries += asked["MetricDataQueries"]
        return []


def asked_by_the_gates() -> list[tuple[str, str, dict[str, str]]]:
    """The metrics that the gates read: name, statistic and dimensions."""
    client: Any = Asked()
    groups: dict[Color, str] = {color: f"targetgroup/llm-{color}/1" for color in COLORS}

    def dimensions(color: Color) -> dict[str, str]:
        return color_dimensions("app/llm/1", groups, color)

    CloudWatchMetrics(client, dimensions, period_seconds=60).periods(NOW, NOW.replace(minute=10))
    stats = [query["MetricStat"] for query in client.queries]
    return [
        (
            one["Metric"]["MetricName"],
            one["Stat"],
            {dimension["Name"]: dimension["Value"] for dimension in one["Metric"]["Dimensions"]},
        )
        for one in stats
    ]


def test_a_service_has_none_unless_it_asks_for_it() -> None:
    assert run_program().of_type("Dashboard") == {}


def test_a_dashboard_shows_the_metrics_that_the_gates_read() -> None:
    gates = {"target_group_errors": {"limit_percent": 2.5}, "target_group_latency": {"limit_seconds": 30}}
    declared = run_program(dashboard=True, rollout={"gates": gates})
    dashboard = declared["Dashboard", "llm"]
    assert dashboard.parent == ("WeightedRouter", "llm")
    assert dashboard.inputs["dashboardName"] == "vllm-blue-green-test-llm-us-east-1"
    found = [one for widget in body(declared)["widgets"] for one in metrics(widget["properties"])]
    gates_read = asked_by_the_gates()
    assert gates_read
    assert all(one in found for one in gates_read)
    assert all(one in gates_read for one in found)
    annotations = [widget["properties"].get("annotations") for widget in body(declared)["widgets"]]
    assert [one["horizontal"][0]["value"] for one in annotations if one] == [2.5, 30]


def test_a_dashboard_of_a_joined_load_balancer_is_about_that_one() -> None:
    listener = {"arn": LISTENER.example, "security_group_id": "sg-0e", "idle_timeout_seconds": 300, "rule_priority": 40}
    declared = run_program(dashboard=True, endpoint_url="https://llm.example.com", listener=listener)
    balancers = {
        dimensions["LoadBalancer"]
        for widget in body(declared)["widgets"]
        for _, _, dimensions in metrics(widget["properties"])
    }
    assert balancers == {"app/shared/50dc6c495c0c9188"}


def test_a_step_of_a_ramp_leaves_the_dashboard_alone() -> None:
    green = {"replicas": 2, "release": release(model_revision="beef123")}
    before, after = (run_program(dashboard=True, green=green, green_weight=weight) for weight in (1, 25))
    assert before["Dashboard", "llm"].inputs == after["Dashboard", "llm"].inputs
