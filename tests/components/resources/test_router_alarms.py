"""When alarms fire, and that a parked or new colour never fires one."""

from typing import Any

import pytest

from components.config.sections.router_settings import LISTENER, TOPIC, AlarmSettings
from components.domain.naming import COLORS, Color
from tests.components.example import release, run_program
from tests.components.registrations import Registrations

KINDS = ("errors", "unhealthy", "response-time")
OF_COLORS = {f"llm-{color}-{kind}" for color in COLORS for kind in KINDS}


@pytest.fixture(scope="module")
def declared() -> Registrations:
    return run_program()


def _alarm(declared: Registrations, name: str) -> dict[str, Any]:
    return declared["MetricAlarm", name].inputs


def test_each_colour_has_three_and_our_own_load_balancer_one(declared: Registrations) -> None:
    assert set(declared.of_type("MetricAlarm")) == OF_COLORS | {"llm-load-balancer-errors"}
    assert all(alarm.parent == ("WeightedRouter", "llm") for alarm in declared.of_type("MetricAlarm").values())


def test_a_joined_load_balancer_is_its_owners_to_watch() -> None:
    listener = {"security_group_id": "sg-0e", "idle_timeout_seconds": 300, "rule_priority": 40}
    joined = run_program(endpoint_url="https://llm.example.com", listener={"arn": LISTENER.example, **listener})
    assert set(joined.of_type("MetricAlarm")) == OF_COLORS
    dimensions = _alarm(joined, "llm-blue-unhealthy")["dimensions"]
    assert dimensions == {"LoadBalancer": "app/shared/50dc6c495c0c9188", "TargetGroup": "targetgroup/llm-blue/1"}


@pytest.mark.parametrize("color", COLORS)
def test_an_alarm_watches_its_colour_behind_our_load_balancer(declared: Registrations, color: Color) -> None:
    wanted = {"LoadBalancer": "app/llm/1", "TargetGroup": f"targetgroup/llm-{color}/1"}
    assert _alarm(declared, f"llm-{color}-unhealthy")["dimensions"] == wanted
    assert _alarm(declared, f"llm-{color}-response-time")["dimensions"] == wanted
    queries = _alarm(declared, f"llm-{color}-errors")["metricQueries"]
    assert [query["metric"]["dimensions"] for query in queries if "metric" in query] == [wanted, wanted]
    assert _alarm(declared, "llm-load-balancer-errors")["dimensions"] == {"LoadBalancer": "app/llm/1"}


def test_no_data_never_rings(declared: Registrations) -> None:
    for name, alarm in declared.of_type("MetricAlarm").items():
        assert alarm.inputs["treatMissingData"] == "notBreaching", name


def test_errors_are_judged_by_their_share_of_the_requests(declared: Registrations) -> None:
    alarm = _alarm(declared, "llm-green-errors")
    (rate, *counts) = alarm["metricQueries"]
    assert rate["expression"] == "100 * FILL(errors, 0) / requests"
    assert rate["returnData"] is True
    assert {query["id"]: (query["metric"]["metricName"], query["metric"]["stat"]) for query in counts} == {
        "errors": ("HTTPCode_Target_5XX_Count", "Sum"),
        "requests": ("RequestCount", "Sum"),
    }
    assert not any(query["returnData"] for query in counts)
    assert (alarm["comparisonOperator"], alarm["threshold"]) == ("GreaterThanThreshold", 1.0)


def test_a_single_target_that_stays_unhealthy_is_enough(declared: Registrations) -> None:
    alarm = _alarm(declared, "llm-blue-unhealthy")
    assert (alarm["metricName"], alarm["statistic"]) == ("UnHealthyHostCount", "Maximum")
    assert (alarm["comparisonOperator"], alarm["threshold"]) == ("GreaterThanThreshold", 0)


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({}, 60),
        ({"max_stream_seconds": 300}, 150),
        ({"alarms": {"response_time_p95_limit_seconds": 2.5}}, 2.5),
    ],
)
def test_the_response_time_limit_follows_the_longest_stream_by_default(changes: dict[str, Any], limit: float) -> None:
    alarm = _alarm(run_program(**changes), "llm-blue-response-time")
    assert (alarm["metricName"], alarm["extendedStatistic"]) == ("TargetResponseTime", "p95")
    assert (alarm["comparisonOperator"], alarm["threshold"]) == ("GreaterThanThreshold", limit)
    assert alarm["evaluateLowSampleCountPercentiles"] == "evaluate"


def test_limits_window_and_topics_are_as_set() -> None:
    alarms = {
        "topic_arns": [TOPIC.example],
        "window_minutes": 10,
        "error_rate_limit_percent": 4,
        "load_balancer_errors_limit_per_minute": 7,
    }
    declared = run_program(alarms=alarms)
    for alarm in declared.of_type("MetricAlarm").values():
        assert (alarm.inputs["evaluationPeriods"], alarm.inputs["datapointsToAlarm"]) == (10, 6)
        assert alarm.inputs["alarmActions"] == alarm.inputs["okActions"] == [TOPIC.example]
    assert _alarm(declared, "llm-blue-errors")["threshold"] == 4
    assert _alarm(declared, "llm-load-balancer-errors")["threshold"] == 7


@pytest.mark.parametrize(("minutes", "needed"), [(1, 1), (2, 2), (3, 2), (5, 3), (60, 31)])
def test_an_alarm_needs_most_of_its_window(minutes: int, needed: int) -> None:
    assert AlarmSettings(window_minutes=minutes).datapoints_to_alarm == needed


def test_no_alarm_changes_with_the_traffic(declared: Registrations) -> None:
    moved = run_program(green={"replicas": 2, "release": release(model_revision="beef123")}, green_weight=25)
    for name, alarm in declared.of_type("MetricAlarm").items():
        assert moved["MetricAlarm", name].inputs == alarm.inputs
