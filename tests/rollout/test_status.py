"""A status as JSON."""

import json
from datetime import UTC, datetime

import pytest

from components.config.headroom import headroom_costs
from rollout.status import Status
from tests.components.example import service_settings


@pytest.mark.parametrize(
    ("keep_until", "text"), [(None, ""), (datetime(2026, 12, 1, 8, tzinfo=UTC), "2026-12-01T08:00:00Z")]
)
def test_the_end_of_the_keep_warm_window_is_text(keep_until: datetime | None, text: str) -> None:
    status = Status(
        service="chat",
        active_color="blue",
        green_weight_of_rule=0,
        green_weight_of_config=0,
        serial_of_rule=1,
        serial_of_config=1,
        agree=True,
        keep_until=keep_until,
        kept=None,
        usd_per_hour_kept=None,
        usd_so_far_kept=None,
        brought_up=None,
        colors={},
        rollout_under_way=None,
        last_rollout=None,
        problems=(),
        headroom=headroom_costs(service_settings()),
    )
    plain = json.loads(json.dumps(status.as_json()))
    assert plain["keep_until"] == text
    assert plain["headroom"][0]["mode"] == "on_rollout"
    assert plain["headroom"][0]["gpu_hours"] > 0
