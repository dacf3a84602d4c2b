"""Reserved capacity: what names it, how long its nodes last, and when a service may have it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from components.config.sections.reservation import Reservation
from components.config.settings import SettingsError
from components.domain.moments import parse_rfc3339
from tests.components.example import release, service_settings

ENDS = "2026-12-01T08:00:00Z"
GROUP = "arn:aws:resource-groups:us-east-1:123456789012:group/gpus"
ON_DEMAND: dict[str, Any] = {"kind": "on_demand", "id": "cr-1", "subnet_id": "subnet-2", "ends": ENDS}
BLOCK: dict[str, Any] = {**ON_DEMAND, "kind": "capacity_block"}
P5: dict[str, Any] = {"instance_type": "p5.48xlarge", "gpus_per_replica": 8, "headroom_mode": "reserved"}


def _reservation(**changes: Any) -> Reservation:
    values = {**ON_DEMAND, **changes}
    return Reservation.model_validate({key: value for key, value in values.items() if value is not None})


def _green(**changes: Any) -> dict[str, Any]:
    return {"replicas": 2, "release": release(), **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kind": "capacity_block"},
        {"id": None, "resource_group_arn": GROUP, "subnet_id": None},
        {"id": None, "resource_group_arn": GROUP},
    ],
)
def test_a_reservation_is_an_id_with_its_subnet_or_a_group(changes: dict[str, Any]) -> None:
    assert _reservation(**changes).ends == parse_rfc3339(ENDS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ends": None}, "ends"),
        ({"ends": ""}, "ends"),
        ({"ends": "2026-12-01T08:00:00"}, "ends"),
        ({"kind": "spot"}, "kind"),
        ({"id": None}, "id.*is required but not set, or resource_group_arn instead"),
        ({"id": None, "kind": "capacity_block"}, "id.*is required but not set"),
        ({"resource_group_arn": GROUP}, "resource_group_arn.*must not be set: the id already names the reservation"),
        (
            {"id": None, "kind": "capacity_block", "resource_group_arn": GROUP},
            "resource_group_arn.*must not be set: a capacity block has no group",
        ),
        ({"subnet_id": None}, "subnet_id.*is required but not set: a reservation is in one zone"),
    ],
)
def test_what_names_no_reservation_or_has_no_end_is_refused(changes: dict[str, Any], message: str) -> None:
    reservation = {key: value for key, value in {**ON_DEMAND, **changes}.items() if value is not None}
    with pytest.raises(SettingsError, match=rf"vllm-blue-green:green\.reservation\.{message}"):
        service_settings(headroom_mode="reserved", green={"replicas": 2, "reservation": reservation})
    with pytest.raises(ValidationError):
        _reservation(**changes)


@pytest.mark.parametrize(
    ("time", "there"),
    [
        ("2026-12-01T07:20:00Z", True),
        ("2026-12-01T07:20:01Z", False),
        ("2026-12-01T09:20:00+02:00", True),
        ("2026-12-02T00:00:00Z", False),
    ],
)
def test_a_blocks_nodes_go_40_minutes_before_its_end(time: str, there: bool) -> None:
    assert _reservation(kind="capacity_block").outlasts(parse_rfc3339(time)) is there


def test_on_demand_nodes_outlive_their_reservation() -> None:
    assert _reservation().nodes_end is None
    assert _reservation().outlasts(datetime(2099, 1, 1, tzinfo=UTC))


def test_each_colour_has_a_reservation_of_its_own() -> None:
    service = service_settings(headroom_mode="reserved", green=_green(reservation=ON_DEMAND))
    assert service.green.reservation == _reservation()
    assert service.blue.reservation is None


def test_reserved_headroom_needs_a_reservation() -> None:
    message = r"headroom_mode: must not be reserved while neither colour has a reservation \(got \"reserved\"\)"
    with pytest.raises(SettingsError, match=message):
        service_settings(headroom_mode="reserved")


@pytest.mark.parametrize("mode", ["on_rollout", "always"])
def test_a_reservation_is_for_reserved_headroom_only(mode: str) -> None:
    message = (
        f"green.reservation: must not be set with headroom_mode {mode}. Remove it, or set headroom_mode to reserved"
    )
    with pytest.raises(SettingsError, match=message):
        service_settings(headroom_mode=mode, green=_green(reservation=ON_DEMAND))


def test_there_are_blocks_of_p_types_only() -> None:
    with pytest.raises(SettingsError, match=r"reservation\.kind: must be on_demand with instance_type g6e\.2xlarge"):
        service_settings(headroom_mode="reserved", green=_green(reservation=BLOCK))
    assert service_settings(**P5, green=_green(reservation=BLOCK)).green.reservation


def test_a_colour_in_a_block_is_not_kept_warm_beyond_it() -> None:
    late = "2026-12-01T07:30:00Z"
    with pytest.raises(SettingsError, match=rf"reservation\.ends: must be at least 40 minutes after keep_until {late}"):
        service_settings(**P5, keep_until=late, green=_green(reservation=BLOCK))
    for green in (
        _green(reservation={**BLOCK, "ends": "2026-12-01T08:10:00Z"}),
        _green(reservation=BLOCK, parked=True, provisioned=False),
        _green(reservation=ON_DEMAND),
    ):
        assert service_settings(**P5, keep_until=late, green=green).keep_until == parse_rfc3339(late)


def test_a_promotion_or_a_rollback_makes_no_violation_of_the_reservation() -> None:
    kept = {"keep_until": "2026-12-01T07:20:00Z", "green": _green(reservation=BLOCK)}
    for active_color, green_weight in (("blue", 0), ("blue", 100), ("green", 100), ("green", 0)):
        service_settings(**P5, **kept, active_color=active_color, green_weight=green_weight)
