"""A rollout runs its checks in order, continues only if each passes, and records skipped ones."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.rollout_settings import GateSettings, RolloutSettings
from rollout.controller import Controller, Subject
from rollout.model.approval import Approval
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import CHECKS, Skip, make_plan, planned_checks
from rollout.model.verdict import Verdict
from tests.rollout.fakes import BASE, NEW, SERVICE, FakeCheck, World

pytestmark = pytest.mark.slow

RECORDED = {"recorded_prompts": "gateway.jsonl"}


def world_with(**gates: Any) -> World:
    rollout = BASE["rollout"]
    return World(rollout={**rollout, "gates": {**rollout["gates"], **gates}})


def ramp(world: World, skip: Skip | None = None) -> Rollout:
    settings = world.config.read()
    plan = make_plan(settings.idle_color, settings.rollout, skip)
    return Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan))


def checked(world: World) -> list[str]:
    return [record["gate"] for record in world.journal.of("verdict") if record["phase"] == Phase.VERIFYING]


def test_every_check_runs_in_order_before_any_user_is_sent_there() -> None:
    world = world_with(**RECORDED, load={})
    assert ramp(world).phase is Phase.DONE
    assert checked(world) == ["smoke", "eval", "warm_up", "shadow", "load"]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_a_candidate_that_does_not_pass_a_check_never_gets_traffic(check: str, verdict: Verdict) -> None:
    world = world_with(**RECORDED, load={})
    if check == "smoke":
        world.smoke = verdict
    else:
        world.checks[check].verdict = verdict
    done = ramp(world)
    assert done.phase is Phase.ROLLED_BACK
    assert done.reason.startswith(f"{check}: ")
    assert world.shifts_of_traffic == [0]
    assert checked(world)[-1] == check


def test_the_load_check_runs_only_when_it_is_set_and_decides_nothing_in_a_dry_run() -> None:
    world = world_with(**RECORDED)
    assert ramp(world).phase is Phase.DONE
    assert world.checks["load"].prepared == 0
    dry = world_with(load={})
    dry.checks["load"] = FakeCheck("load", Verdict.FAIL, dry_run=True)
    assert ramp(dry).phase is Phase.DONE
    (verdict,) = (record for record in dry.journal.of("verdict") if record["gate"] == "load")
    assert (verdict["verdict"], verdict["dry_run"]) == ("fail", True)


def test_without_recorded_prompts_the_journal_says_what_is_not_checked() -> None:
    world = world_with()
    assert ramp(world).phase is Phase.DONE
    assert checked(world) == ["smoke", "eval"]
    assert any("no shadow check and no warm-up" in note["text"] for note in world.journal.of("note"))
    assert world.checks["shadow"].prepared == 0


def test_a_check_that_is_left_out_is_journalled_and_not_even_prepared() -> None:
    world = world_with(**RECORDED)
    world.checks["eval"].verdict = Verdict.FAIL
    assert ramp(world, Skip(checks=("eval", "shadow"), because="the data set is down")).phase is Phase.DONE
    assert checked(world) == ["smoke", "warm_up"]
    assert world.checks["eval"].prepared == 0
    skipped = [(record["check"], record["because"]) for record in world.journal.of("skipped")]
    assert skipped == [("eval", "the data set is down"), ("shadow", "the data set is down")]


def test_a_rollout_may_leave_out_every_check() -> None:
    world = world_with(**RECORDED)
    assert ramp(world, Skip(checks=CHECKS, because="an emergency")).phase is Phase.DONE
    assert checked(world) == []


@given(st.sets(st.sampled_from(CHECKS)), st.none() | st.just("prompts.jsonl"), st.sampled_from([0, 60]))
def test_smoke_and_eval_are_left_out_only_by_name(skipped: set[str], prompts: str | None, warm_up: int) -> None:
    gates = GateSettings.model_validate({"recorded_prompts": prompts, "warm_up": {"max_seconds": warm_up}})
    planned = planned_checks(gates, Skip(checks=tuple(skipped), because="so"))
    assert not skipped & set(planned)
    assert {"smoke", "eval"} - skipped <= set(planned)
    assert "load" not in planned
    assert ("shadow" in planned) == (prompts is not None and "shadow" not in skipped)
    assert ("warm_up" in planned) == (prompts is not None and warm_up > 0 and "warm_up" not in skipped)
    assert list(planned) == sorted(planned, key=CHECKS.index)


# Approvals.

YES = Approval(approved=True, by="Ada", because="looks well", at=datetime(2026, 11, 21, 8, tzinfo=UTC))
NO = Approval(approved=False, by="Ben", because="not on a Friday", at=datetime(2026, 11, 21, 8, tzinfo=UTC))
MANUAL = {"manual": {"at_percents": [25], "timeout_seconds": 900}}


def decide_at(world: World, approval: Approval, after_seconds: float) -> None:
    """Decide on the 25 % step some time after its hold has begun."""
    count, begun = world.clock.on_sleep, list[float]()

    def on_sleep() -> None:
        count()
        if world.weights["green"] == 25:
            begun.append(world.clock.elapsed)
            if world.clock.elapsed - begun[0] >= after_seconds:
                world.approvals.setdefault(25, approval)

    world.clock.on_sleep = on_sleep


def test_a_step_waits_for_its_approval_longer_than_for_metrics_and_then_goes_on() -> None:
    world = world_with(**MANUAL)
    decide_at(world, YES, after_seconds=700)
    assert ramp(world).phase is Phase.DONE
    begun = [record["at"] for record in world.journal.of("weight") if record["status"] == "begun"]
    assert begun[2] - begun[1] >= 700
    said = [record for record in world.journal.of("verdict") if record["gate"] == "approval"]
    assert {record["verdict"] for record in said[:-1]} == {"inconclusive"}
    assert (said[-1]["verdict"], said[-1]["evidence"]["by"]) == ("pass", "Ada")
    assert said[-1]["evidence"]["because"] == "looks well"


def test_a_denial_sends_traffic_back_at_once() -> None:
    world = world_with(**MANUAL)
    decide_at(world, NO, after_seconds=20)
    done = ramp(world)
    assert done.phase is Phase.ROLLED_BACK
    assert "denied by Ben: not on a Friday" in done.reason
    assert world.shifts_of_traffic == [0, 1, 25, 0]


def test_no_decision_is_no_approval() -> None:
    world = world_with(**MANUAL)
    done = ramp(world)
    assert done.phase is Phase.ROLLED_BACK
    assert "waits for a person to run scripts.approve" in done.reason
    weights = {record["green_weight"]: record["at"] for record in world.journal.of("rule")}
    assert timedelta(seconds=900) <= timedelta(seconds=weights[0] - weights[25]) <= timedelta(seconds=1200)


def test_a_failing_metric_does_not_wait_for_the_approval() -> None:
    world = world_with(**MANUAL)
    world.error_rate["green"] = 0.5
    assert ramp(world).phase is Phase.ROLLED_BACK
    assert world.approvals == {}


def test_only_steps_of_the_ramp_can_wait() -> None:
    with pytest.raises(ValueError, match="must be the candidate_percent of steps"):
        RolloutSettings.model_validate({"gates": {"manual": {"at_percents": [30]}}})
