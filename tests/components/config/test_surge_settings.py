"""Settings of headroom_mode surge: every combination that cannot work is named, with the fix."""

from typing import Any

import pytest

from components.config.settings import SettingsError
from tests.components.example import release, service_settings

SURGE: dict[str, Any] = {
    "headroom_mode": "surge",
    "node_groups": "shared",
    "surge_replicas": 1,
    "blue": {"replicas": 4, "release": release()},
    "green": {"replicas": 4},
}


def surge(**changes: Any) -> Any:
    return service_settings(**{**SURGE, **changes})


def green(**changes: Any) -> dict[str, Any]:
    return {"replicas": 4, "release": release(model_revision="beef123"), **changes}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"surge_replicas": None}, "surge_replicas: is required with headroom_mode surge but not set."),
        (
            {"node_groups": "per_color"},
            "node_groups: must be shared with headroom_mode surge: each colour takes the other's places "
            '(got "per_color")',
        ),
        (
            {"green": {"replicas": 2}},
            "green.replicas: must be 4, as for blue, with headroom_mode surge: each colour takes the other's places "
            "(got 2)",
        ),
        ({"surge_replicas": 5}, "surge_replicas: must be at most replicas 4: more places are never used (got 5)"),
        (
            {"keep_warm_replicas": 2},
            "keep_warm_replicas: must be at most surge_replicas 1: there are no more places besides the new colour's "
            "(got 2)",
        ),
        (
            {"blue": {"replicas": 3, "release": release()}, "green": {"replicas": 3}, "max_utilization_percent": 100},
            "surge_replicas: must be at least 2 with max_utilization_percent 100: no weight fits after 33 %: the "
            "outgoing colour needs 3 of its 3 replicas for the rest, which leaves 1 of 4 places to the candidate, and "
            "they carry 33 % (got 1). Or raise max_utilization_percent.",
        ),
        (
            {"max_rollback_seconds": 1600},
            "max_rollback_seconds: must be at least 2280: the way back from the last step takes 2280 s (3 waves of "
            "760 s) (got 1600). Or set surge_replicas to 2.",
        ),
        (
            {"green": green()},
            "green.running_replicas: must be 1 to 1 while blue runs 4: there are 5 places (got 0). Or park green; "
            "scripts.ramp deploys onto it.",
        ),
        (
            {"green": green(running_replicas=5)},
            "green.running_replicas: must be at most replicas 4 (got 5)",
        ),
        (
            {"max_utilization_percent": 99},
            "max_utilization_percent: must be a whole number from 100 to 200, e.g. 105 (got 99)",
        ),
        (
            {"headroom_mode": "always"},
            "surge_replicas: must not be set with headroom_mode always (got 1). Remove it, or set headroom_mode to "
            "surge.",
        ),
        (
            {"headroom_mode": "always", "surge_replicas": None, "keep_warm_replicas": 1},
            "keep_warm_replicas: must not be set with headroom_mode always (got 1)",
        ),
        (
            {"headroom_mode": "always", "surge_replicas": None, "green": green(running_replicas=1)},
            "green.running_replicas: must not be set with headroom_mode always (got 1)",
        ),
        (
            {
                "green": {
                    "replicas": 4,
                    "reservation": {
                        "kind": "on_demand",
                        "id": "cr-1",
                        "subnet_id": "subnet-1",
                        "ends": "2026-12-01T08:00:00Z",
                    },
                }
            },
            "green.reservation: must not be set with headroom_mode surge",
        ),
    ],
)
def test_a_bad_combination_is_refused_by_name(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        surge(**changes)
    assert says in str(refused.value)


def test_nodes_are_for_one_colour_and_the_surge_whatever_runs() -> None:
    for one in (
        surge(),
        surge(green=green(running_replicas=1)),
        surge(blue={**SURGE["blue"], "running_replicas": 2}, green=green(running_replicas=3), green_weight=50),
        surge(blue={**SURGE["blue"], "running_replicas": 1}, green=green(), green_weight=100, active_color="green"),
    ):
        assert one.shared_pool.desired_nodes == one.shared_pool.max_nodes == 5
        assert one.headroom_usd_per_hour == pytest.approx(one.instance.usd_per_hour)


def test_a_colour_is_tagged_with_the_replicas_that_run_and_the_rule_with_the_places() -> None:
    one = surge(blue={**SURGE["blue"], "running_replicas": 2}, green=green(running_replicas=3), green_weight=50)
    assert {color: state.replicas for color, state in one.traffic.colors.items()} == {"blue": 2, "green": 3}
    assert one.traffic.tags()["vllm-blue-green/shared-capacity"] == "4+1 at 105"
    assert "vllm-blue-green/shared-capacity" not in service_settings().traffic.tags()


def test_all_replicas_run_unless_fewer_are_asked_for() -> None:
    one = surge(green=green(running_replicas=1))
    assert (one.blue.wanted_replicas, one.green.wanted_replicas, one.first_replicas) == (4, 1, 1)
    assert service_settings().first_replicas == 2


def test_a_wave_is_a_drain_and_a_start() -> None:
    assert surge().wave_seconds() == 160 + 600
    assert surge().wave_seconds(40.0) == 160 + 40
