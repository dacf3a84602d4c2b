"""What a status says, and as JSON."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.config.headroom import headroom_costs
from rollout.controller import Controller, Subject
from rollout.journal.lock import Lock
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import make_plan
from rollout.session import Session
from rollout.status import Status, read_status
from tests.components.example import service_settings
from tests.rollout.fakes import SERVICE, World
from tests.rollout.report.test_read import ramp
from tests.rollout.steps.test_adoption import BOTH
from tests.rollout.test_session import session


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


def _with_rule_behind(folder: Path) -> Session:
    """Return a session whose config file asks for 25 %, while the rule still has none."""
    opened = session(folder, "prod", green_weight=25, rolling_out=True, **BOTH)
    world = World(rolling_out=True, **BOTH)
    opened.__dict__.update(load_balancer=world, replicas=world)
    return opened


def test_while_a_command_is_under_way_a_config_file_ahead_of_the_rule_is_no_problem(tmp_path: Path) -> None:
    opened = _with_rule_behind(tmp_path)
    with Lock(opened.store, "ramp", clock=opened.clock, expiry_seconds=30, beats=False):
        found = read_status(opened)
    assert found.problems == ()
    assert not found.agree
    assert found.rollout_under_way is not None
    assert found.rollout_under_way.startswith("ramp (process ")
    assert found.rollout_under_way.endswith("; config file and rule differ until its update is done")


def test_when_nobody_is_at_work_it_is_one(tmp_path: Path) -> None:
    found = read_status(_with_rule_behind(tmp_path))
    (problem,) = found.problems
    assert problem.startswith("green_weight: the config file says 25, the live rule splits blue 100, green 0; ")
    assert "scripts.rollback brings them in line" in problem
    assert found.rollout_under_way is None


def test_after_a_rollback_by_hand_it_is_the_last_thing_that_happened(tmp_path: Path) -> None:
    opened = session(tmp_path, "prod", **BOTH)
    world = World()
    ramp(world)
    promoted = list(world.journal.kept)
    opened.__dict__.update(load_balancer=world, replicas=world, history=lambda: promoted)
    last = read_status(opened).last_rollout
    assert last is not None
    assert (last["what"], last["outcome"]) == ("rollout", "promoted")
    world.journal.rollout_id, world.journal.phase = "r2", None
    back = Rollout(plan=make_plan("green", world.config.read().rollout), phase=Phase.ROLLING_BACK, reason="too terse")
    Controller(world.ports(), Subject(service=SERVICE)).run(back)
    opened.__dict__.update(history=lambda: world.journal.kept)
    last = read_status(opened).last_rollout
    assert last is not None
    assert last["what"] == "rollback"
    assert last["summary"].startswith("The rollback from green is done, ")
    assert last["summary"].endswith(" after it began: too terse")


def test_a_colour_that_has_traffic_and_no_healthy_target_is_a_problem(tmp_path: Path) -> None:
    opened, world = session(tmp_path, "prod", **BOTH), World(**BOTH)
    opened.__dict__.update(load_balancer=world, replicas=world)
    assert read_status(opened).problems == ()
    world.healthy["blue"] = world.healthy["green"] = 0
    (problem,) = read_status(opened).problems
    assert problem.startswith("blue: has weight 100 but no healthy target of 2; ")
