"""Settings of the autoscaler: every combination that cannot work is named, with the fix."""

from typing import Any

import pytest

from components.config.settings import SettingsError
from components.domain.naming import COLORS
from tests.components.example import release, service_settings

AUTOSCALING: dict[str, Any] = {
    "min_replicas": 2,
    "max_replicas": 6,
    "target": 5,
    "prometheus_url": "http://prometheus.monitoring:9090",
}


def scaled(**changes: Any) -> Any:
    return service_settings(**{"autoscaling": AUTOSCALING, "blue": {"release": release()}, "green": {}, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"autoscaling": {**AUTOSCALING, "max_replicas": 1}},
            "autoscaling.max_replicas: must be at least min_replicas 2 (got 1). Or lower min_replicas.",
        ),
        (
            {"headroom_mode": "surge", "node_groups": "shared", "surge_replicas": 1},
            "autoscaling: must not be set with headroom_mode surge: both would decide how many replicas run. Remove "
            "it, or set headroom_mode to on_rollout.",
        ),
        (
            {"green": {"replicas": 4}},
            "green.replicas: must be max_replicas 6, or left out, with autoscaling (got 4)",
        ),
        (
            {"green": {"floor_replicas": 7}},
            "green.floor_replicas: must be at most max_replicas 6 (got 7)",
        ),
        (
            {"autoscaling": None, "green": {"floor_replicas": 3}},
            "green.floor_replicas: must not be set without autoscaling (got 3). Remove it.",
        ),
        (
            {"autoscaling": {**AUTOSCALING, "metric": "gpu_utilization"}},
            "autoscaling.metric: must be waiting_requests or requests",
        ),
        (
            {"autoscaling": {**AUTOSCALING, "min_replicas": 0}},
            "autoscaling.min_replicas: must be a whole number from 1",
        ),
        ({"autoscaling": {**AUTOSCALING, "target": 0}}, "autoscaling.target: must be a number"),
        (
            {"autoscaling": {**AUTOSCALING, "target": 0.0009}},
            "autoscaling.target: must be a number from 0.001 to 100000",
        ),
        (
            {"autoscaling": {**AUTOSCALING, "authentication": {"name": "x", "modes": ["bearer", "basic"]}}},
            "autoscaling.authentication.modes: must not have both basic and bearer: both set the header Authorization "
            '(got ["bearer", "basic"]). Remove one of them.',
        ),
        (
            {"autoscaling": {**AUTOSCALING, "authentication": {"name": "x", "modes": ["tls"]}}},
            "autoscaling.prometheus_url: must begin with https:// for authentication with aws_region or the mode tls",
        ),
        (
            {
                "autoscaling": {
                    **AUTOSCALING,
                    "authentication": {"name": "x", "modes": ["bearer"], "aws_region": "eu-central-1"},
                }
            },
            "autoscaling.authentication.modes: must not be set with aws_region",
        ),
        (
            {"autoscaling": {**AUTOSCALING, "headers": {"Authorization": "Bearer precious"}}},
            "autoscaling.headers.Authorization: would put a secret into plain config. Remove it",
        ),
        (
            {"autoscaling": {**AUTOSCALING, "headers": {"X-Scope-OrgID": "a", "x-scope-orgid": "b"}}},
            "autoscaling.headers.x-scope-orgid: must not be named more than once. Remove one of them.",
        ),
        (
            {"autoscaling": {**AUTOSCALING, "headers": {"Host": "mimir"}}},
            "autoscaling.headers.Host: is set by the HTTP client. Remove it.",
        ),
        (
            {"autoscaling": {**AUTOSCALING, "prometheus_url": "https://mimir/?t=precious"}},
            "autoscaling.prometheus_url: must be an http(s) URL, e.g. https://prometheus.internal "
            "(got a text that may contain a key, so "
            "it is not shown). Remove the query",
        ),
        (
            {"autoscaling": {**AUTOSCALING, "authentication": {"modes": ["bearer"]}}},
            "autoscaling.authentication.name: is required but not set",
        ),
        (
            {"autoscaling": {**AUTOSCALING, "headers": {"Authorization": "Bearer-x"}}},
            "would put a secret into plain config. Remove it, and put it into the TriggerAuthentication",
        ),
        (
            {"autoscaling": {**AUTOSCALING, "headers": {"X-Scope-OrgID": "a,b"}}},
            "autoscaling.headers.X-Scope-OrgID: must be the value of an HTTP header without commas",
        ),
        ({"autoscaling": {**AUTOSCALING, "prometheus_url": "prometheus"}}, "autoscaling.prometheus_url: must be"),
    ],
)
def test_what_does_not_fit_together_is_named_with_its_fix(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        scaled(**changes)
    assert says in str(refused.value)


def test_a_colours_full_size_is_the_ceiling_and_both_pools_hold_it() -> None:
    settings = scaled()
    assert [settings.color(color).replicas for color in COLORS] == [6, 6]
    assert [settings.pools[color].max_nodes for color in COLORS] == [6, 6]
    assert settings.pools["blue"].desired_nodes == 6
    shared = scaled(headroom_mode="always", node_groups="shared")
    assert shared.shared_pool.desired_nodes == 12


@pytest.mark.parametrize(
    ("floor", "wanted"),
    [
        pytest.param(0, 2, id="no rollout needs more than the minimum"),
        pytest.param(5, 5, id="a rollout does"),
        pytest.param(1, 2, id="the minimum was raised since"),
    ],
)
def test_the_floor_is_what_is_wanted_and_what_the_rule_says(floor: int, wanted: int) -> None:
    settings = scaled(blue={"release": release(), "floor_replicas": floor})
    assert settings.color("blue").wanted_replicas == settings.traffic.colors["blue"].replicas == wanted
    assert settings.color("green").as_tagged.replicas == 0


@pytest.mark.parametrize(
    ("metric", "pattern"),
    [("waiting_requests", "vllm[:_]num_requests_waiting"), ("requests", "vllm[:_]num_requests_(running|waiting)")],
)
def test_the_query_is_for_one_colours_pods(metric: str, pattern: str) -> None:
    scaling = scaled(autoscaling={**AUTOSCALING, "metric": metric}).autoscaling
    of_service = f'__name__=~"{pattern}", service="chat"'
    query = scaling.query("chat", "green")
    assert query == f'sum({{{of_service}, color="green"}}) or 0 * sum({{{of_service}}})'
