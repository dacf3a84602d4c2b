"""What preflight finds wrong before a rollout starts."""

from datetime import UTC, datetime
from typing import Any

import pytest

from components.naming import Color
from rollout.preflight import reservation_faults
from tests.components.example import service_settings

NOW = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)
BLOCK = {"kind": "capacity_block", "id": "cr-1", "subnet_id": "subnet-2"}
ROLLOUT = {"steps": [{"candidate_percent": 100, "hold_seconds": 1200}], "keep_warm_seconds": 3600}


def _faults(color: Color, ends: str, **changes: Any) -> list[str]:
    settings = service_settings(
        instance_type="p5.48xlarge",
        gpus_per_replica=8,
        headroom_mode="reserved",
        rollout=ROLLOUT,
        **{color: {"replicas": 1, "reservation": {**BLOCK, "ends": ends, **changes}}},
    )
    return list(reservation_faults(settings, NOW))


@pytest.mark.parametrize("color", ["blue", "green"])
def test_a_block_must_outlast_the_ramp_and_the_time_to_keep_warm(color: Color) -> None:
    # 20 minutes of holds, an hour of warmth, and the 40 minutes that EKS takes.
    assert _faults(color, "2026-12-01T02:00:00Z") == []
    (fault,) = _faults(color, "2026-12-01T01:59:59Z")
    assert fault.startswith(f"{color}.reservation.ends: is 2026-12-01T01:59:59Z")
    assert "until 2026-12-01T01:20:00Z at least" in fault


def test_on_demand_nodes_outlive_their_reservation() -> None:
    assert _faults("green", "2026-12-01T00:10:00Z", kind="on_demand") == []


def test_without_a_reservation_there_is_nothing_to_outlast() -> None:
    assert list(reservation_faults(service_settings(), NOW)) == []
