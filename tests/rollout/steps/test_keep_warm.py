"""The colour that is kept warm: until when, and what it costs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.naming import Color
from rollout.model.errors import RefusedError
from rollout.model.records import ColorReady, Promoted, Record
from rollout.steps.keep_warm import keep_violations, kept_way_back, last_brought_up, price_of, read_until, warm_color
from tests.components.example import release, service_settings
from tests.rollout.fakes import record

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
BOTH = {"green": {"replicas": 2, "release": release(model_revision="a1b2c3d")}}


def promoted(color: Color, at: str) -> Record:
    return record(Promoted(active_color=color, keep_until=NOW), at=datetime.fromisoformat(at))


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2026-12-02T00:00:00Z", datetime(2026, 12, 2, tzinfo=UTC)),
        ("2026-12-02t01:00:00+01:00", datetime(2026, 12, 2, tzinfo=UTC)),
        ("2026-12-02T00:00:00.9Z", datetime(2026, 12, 2, tzinfo=UTC)),
        ("+90m", NOW + timedelta(minutes=90)),
        ("+24h", NOW + timedelta(hours=24)),
        ("+3d", NOW + timedelta(days=3)),
    ],
)
def test_times_that_people_type(text: str, until: datetime) -> None:
    assert read_until(text, NOW) == until


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tomorrow", "must be an RFC 3339 time with its zone"),
        ("2026-12-02T00:00:00", "must be an RFC 3339 time with its zone"),
        ("24h", "must be"),
        ("+24s", "must be"),
        ("+0h", "must be in the future; it is 2026-12-01T12:00:00Z now"),
        ("2026-12-01T11:59:59Z", "must be in the future"),
        ("+366d", "must be at most 365 days from now"),
    ],
)
def test_times_that_cannot_be_promised(text: str, told: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read_until(text, NOW)
    assert told in str(refused.value)
    assert text in str(refused.value)


@given(hours=st.integers(-100, 100).filter(bool), reason=st.sampled_from(["", "  ", "too dear"]))
def test_a_promise_is_shortened_only_with_a_reason(hours: int, reason: str) -> None:
    settings = service_settings(**BOTH, keep_until="2026-12-09T00:00:00Z")
    until = datetime(2026, 12, 9, tzinfo=UTC) + timedelta(hours=hours)
    assert bool(list(keep_violations(settings, until, shorten=reason))) == (hours < 0 and not reason.strip())


def test_nobody_is_kept_where_nothing_runs() -> None:
    (fault,) = keep_violations(service_settings(), NOW + timedelta(hours=1), shorten="")
    assert fault.startswith("keep_until: green runs no replicas")


def test_the_cost_counts_from_the_promotion() -> None:
    records = [promoted("green", "2026-11-30T00:00:00Z"), promoted("blue", "2026-12-01T10:00:00.000000Z")]
    kept = warm_color(service_settings(**BOTH), records, NOW)
    assert kept is not None
    assert (kept.color, kept.nodes, kept.usd_per_hour, kept.usd_so_far) == ("green", 2, 4.48416, 8.97)
    assert str(kept) == "green: 2 nodes up, about 4.48 USD an hour, 8.97 USD since the promotion"


def test_without_a_promotion_in_the_journal_only_the_price_is_known() -> None:
    for records in ([], [promoted("green", "2026-11-30T00:00:00Z")]):
        kept = warm_color(service_settings(**BOTH), records, NOW)
        assert kept is not None
        assert kept.usd_so_far is None
        assert str(kept).endswith("an hour")


def test_a_price_that_nobody_knows_is_said_to_be_unknown() -> None:
    settings = service_settings(
        instance_type="p5e.48xlarge",
        gpus_per_replica=8,
        blue={"release": release()},
        green={"release": release(model_revision="a1b2c3d")},
    )
    kept = warm_color(settings, [promoted("blue", "2026-12-01T10:00:00Z")], NOW)
    assert str(kept) == "green: 1 node up, at an unknown price"


def test_a_reaped_colour_is_not_kept() -> None:
    parked = {"replicas": 2, "release": release(model_revision="a1b2c3d"), "parked": True, "provisioned": False}
    assert warm_color(service_settings(green=parked), [], NOW) is None
    assert warm_color(service_settings(green=parked, headroom_mode="always"), [], NOW) is not None
    assert warm_color(service_settings(green=parked, headroom_mode="always", node_groups="shared"), [], NOW) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"headroom_mode": "surge", "surge_replicas": 1, "replicas": 4, "running_replicas": 1},
            "1 node up, about 2.24",
        ),
        ({"autoscaling": True, "floor_replicas": 3}, "at least 3 nodes up, about 6.73"),
        ({"autoscaling": True}, "at least 2 nodes up, about 4.48"),
        ({"replicas": 2}, "2 nodes up, about 4.48"),
    ],
)
@pytest.mark.parametrize("nodes", [{"node_selector": {"team": "llm"}}, {"karpenter_node_pool": {"node_class": "gpu"}}])
def test_on_others_nodes_a_kept_colour_costs_what_its_replicas_need(
    nodes: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    scaling = {"min_replicas": 2, "max_replicas": 8, "target": 5, "prometheus_url": "http://prometheus:9090"}
    of_color = {key: value for key, value in changes.items() if key.endswith("replicas") and key != "surge_replicas"}
    size = {key: value for key, value in of_color.items() if key == "replicas"}
    settings = service_settings(
        existing_nodes=nodes,
        blue={"release": release(), **size},
        green={"release": release(model_revision="a1b2c3d"), **of_color},
        **{key: value for key, value in changes.items() if key not in of_color and key != "autoscaling"},
        **({"autoscaling": scaling} if "autoscaling" in changes else {}),
    )
    assert str(warm_color(settings, [], NOW)) == f"green: {says} USD an hour"


def test_the_latest_time_with_nodes_is_what_a_reap_costs() -> None:
    def ready(seconds: float, with_nodes: bool) -> Record:
        body = ColorReady(color="green", seconds=seconds, with_nodes=with_nodes)
        return record(body, at=NOW - timedelta(hours=2))

    assert last_brought_up([]) is None
    assert last_brought_up([ready(20, with_nodes=False)]) is not None
    found = last_brought_up([ready(300, with_nodes=True), ready(310, with_nodes=True), ready(20, with_nodes=False)])
    assert str(found) == "bringing green up (nodes and replicas) took 310 s, at 2026-12-01T10:00:00Z"


SURGE = {
    "headroom_mode": "surge",
    "node_groups": "shared",
    "surge_replicas": 1,
    "green": {"replicas": 4},
    "blue": {"replicas": 4, "release": release()},
}


def test_a_colour_that_keeps_fewer_replicas_says_what_the_way_back_takes() -> None:
    green = {"replicas": 4, "release": release(model_revision="a1b2c3d"), "running_replicas": 1}
    kept = service_settings(**{**SURGE, "green": green})
    assert kept_way_back(kept, 40.0) == (
        "the way back: green runs 1 of 4 replicas, which carry 26 % of the requests at once, and all after 600 s (3 "
        "waves of 200 s)"
    )
    assert kept_way_back(service_settings(**SURGE), None) is None
    assert kept_way_back(service_settings(**BOTH), None) is None
    assert price_of(kept, "green") == kept.instance.usd_per_hour
