"""Cohorts in the config: their rules must fit on a load balancer, before the weighted one, and take no client twice."""

from typing import Any

import pytest
from pydantic import ValidationError

from components.config.reading.explain import explain
from components.config.service_settings import ServiceSettings
from tests.components.example import release

FRIENDS: dict[str, Any] = {"name": "friends", "priority": 20, "header": "X-Tenant", "values": ["acme"]}
PARTNERS: dict[str, Any] = {"name": "partners", "priority": 21, "header": "x-tenant", "values": ["umbrella-*"]}
ALL = {"candidate_percent": 100, "hold_seconds": 60}
LISTENER: dict[str, Any] = {
    "arn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/shared/50dc6c495c0c9188/f2f7dc8efc522ab2",
    "security_group_id": "sg-0a1b2c3d4e5f60718",
    "idle_timeout_seconds": 300,
    "rule_priority": 200,
    "host": "chat.example.com",
}


def step(cohort: str) -> dict[str, Any]:
    return {"cohort": cohort, "hold_seconds": 60}


def parsed(cohorts: list[dict[str, Any]], steps: list[dict[str, Any]] | None = None, **keys: Any) -> ServiceSettings:
    ramp = [step(one["name"]) for one in cohorts] + [ALL] if steps is None else steps
    colors = {"blue": {"release": release()}, "green": {"release": release(model_revision="beef123")}}
    values = {"instance_type": "g6e.2xlarge", **colors, **keys, "rollout": {"cohorts": cohorts, "steps": ramp}}
    return ServiceSettings.model_validate(values)


def refused(cohorts: list[dict[str, Any]], steps: list[dict[str, Any]] | None = None, **keys: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        parsed(cohorts, steps, **keys)
    return [violation.line() for violation in explain(caught.value, ServiceSettings)]


def test_cohorts_are_on_the_active_colour_unless_the_config_says_otherwise() -> None:
    settings = parsed([FRIENDS, PARTNERS], cohorts_on_candidate=["partners"])
    assert settings.cohort_colors == {"friends": "blue", "partners": "green"}
    assert settings.traffic.cohorts_on("green") == ("partners",)
    assert settings.traffic.serves("green")
    assert settings.traffic.tags()["vllm-blue-green/cohorts"] == "friends:blue partners:green"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {"priority": 100},
            "rollout.cohorts[0].priority: must be below 100, the weighted rule's, and not 10, 11, the candidate "
            "routes' (got 100).",
        ),
        (
            {"priority": 10},
            "rollout.cohorts[0].priority: must be below 100, the weighted rule's, and not 10, 11, the candidate "
            "routes' (got 10).",
        ),
        (
            {"values": ["a", "b", "c", "d", "e"]},
            "rollout.cohorts[0].values: must be at most 4: with path, a rule has at most 5 values in its conditions "
            "(got 5). Use a wildcard, or make two cohorts of it.",
        ),
        (
            {"values": ["*a*", "?b?", "*c"]},
            "rollout.cohorts[0].values: must have at most 4 wildcards (* and ?) together: with its path, a rule has at "
            "most 5 (got 5). Make two cohorts of it.",
        ),
        ({"values": []}, "rollout.cohorts[0].values"),
        ({"header": "Host"}, "rollout.cohorts[0].header"),
        (
            {"header": "x-*"},
            "rollout.cohorts[0].header: must be a header's name: at most 40 characters, without spaces, colons and "
            'wildcards, e.g. x-tenant (got "x-*"). Write the whole name',
        ),
    ],
)
def test_a_rule_that_no_load_balancer_takes_is_refused(changed: dict[str, Any], says: str) -> None:
    (line,) = refused([{**FRIENDS, **changed}])
    assert line.startswith(says)


def test_the_limits_themselves_are_fine() -> None:
    assert parsed([{**FRIENDS, "priority": 99, "values": ["*a", "?b", "*c", "?d"]}])


def test_on_a_joined_listener_the_host_takes_a_value_and_the_priorities_are_its_own() -> None:
    keys: dict[str, Any] = {"listener": LISTENER, "endpoint_url": "https://chat.example.com"}
    assert parsed([{**FRIENDS, "priority": 197, "values": ["a", "b", "c"]}], **keys)
    priority, values = refused([{**FRIENDS, "priority": 198, "values": ["a", "b", "c", "d"]}], **keys)
    assert "must be below 200, the weighted rule's, and not 198, 199" in priority
    assert "must be at most 3: with path and host" in values


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"name": "friends"}, "rollout.cohorts[1].name: must not be that of another cohort, friends"),
        ({"priority": 20}, "rollout.cohorts[1].priority: must not be that of another cohort, friends (got 20)."),
        ({"values": ["x", "ACM?"]}, "rollout.cohorts[1].values[1]: must not match what acme of the cohort friends"),
    ],
)
def test_two_cohorts_have_nothing_in_common(other: dict[str, Any], says: str) -> None:
    assert any(line.startswith(says) for line in refused([FRIENDS, {**PARTNERS, **other}]))


def test_the_same_value_of_another_header_is_another_client() -> None:
    assert parsed([FRIENDS, {**PARTNERS, "header": "x-team", "values": ["acme"]}])


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([ALL], "rollout.cohorts[0].name: must have a step that sends it to the candidate"),
        ([step("friend"), step("friends"), ALL], "rollout.steps[0].cohort: must name a cohort of rollout.cohorts"),
        ([step("friends"), step("friends"), ALL], "rollout.steps[1].cohort: must name a cohort of rollout.cohorts"),
        (
            [{"candidate_percent": 1, "hold_seconds": 60}, step("friends"), ALL],
            "rollout.steps[1].cohort: must come before the steps with candidate_percent",
        ),
        (
            [ALL, step("friends")],
            "rollout.steps: must end with the step of candidate_percent 100; cohorts have their steps before all of "
            'the weights (got ["100 % for 60 s", "cohort friends for 60 s"]).',
        ),
        ([step("friends")], "rollout.steps: must end with the step of candidate_percent 100"),
        ([{"hold_seconds": 60}, ALL], "rollout.steps[0].candidate_percent: is not set. A step has this or cohort"),
        (
            [{**step("friends"), "candidate_percent": 5}, ALL],
            "rollout.steps[0].candidate_percent: must not have candidate_percent, too",
        ),
    ],
)
def test_each_cohort_has_one_step_before_the_weights(steps: list[dict[str, Any]], says: str) -> None:
    lines = refused([FRIENDS], steps)
    assert lines[0].startswith(says), lines


@pytest.mark.parametrize(
    "keys",
    [
        {"headroom_mode": "surge", "node_groups": "shared", "surge_replicas": 1},
        {
            "autoscaling": {
                "min_replicas": 1,
                "max_replicas": 4,
                "target": 5,
                "prometheus_url": "http://prometheus:9090",
            }
        },
    ],
)
def test_where_replicas_follow_the_load_a_cohort_is_refused_by_name(keys: dict[str, Any]) -> None:
    (line,) = refused([FRIENDS], **keys)
    assert line.startswith("rollout.cohorts: must not be set with ")
    assert "how much of the load a cohort brings is not known" in line


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            {"cohorts_on_candidate": ["friend"]},
            "cohorts_on_candidate[0]: must name cohorts of rollout.cohorts (friends)",
        ),
        ({"cohorts_on_candidate": ["friends", "friends"]}, "cohorts_on_candidate[1]: must name cohorts"),
        (
            {"cohorts_on_candidate": ["friends"], "green": {}},
            "cohorts_on_candidate: must be empty while green runs no replicas",
        ),
        (
            {"green_weight": 100, "blue": {"release": release(), "parked": True}},
            "blue.parked: must be false while friends are on blue, the active colour",
        ),
    ],
)
def test_a_cohort_is_on_a_colour_that_runs(keys: dict[str, Any], says: str) -> None:
    (line,) = refused([FRIENDS], **keys)
    assert line.startswith(says)


def test_there_are_no_more_cohorts_than_the_tag_of_the_weighted_rule_has_room_for() -> None:
    cohorts = [
        {**FRIENDS, "name": f"c{number:015}", "priority": 20 + number, "values": [f"tenant-{number}"]}
        for number in range(11)
    ]
    (line,) = refused(cohorts)
    assert line.startswith("rollout.cohorts: must be at most 10")
    tag = parsed(cohorts[:10], cohorts_on_candidate=[one["name"] for one in cohorts[:10]]).traffic.tags()
    assert len(tag["vllm-blue-green/cohorts"]) <= 256
