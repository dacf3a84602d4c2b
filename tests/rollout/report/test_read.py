"""A report is what the journal says: of rollouts in a world of fakes, whatever became of them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rollout.controller import Controller, Subject
from rollout.model.machine import Phase, ReapRequested, Rollout, advance
from rollout.model.plan import make_plan
from rollout.model.records import (
    Drilled,
    Kept,
    LockTaken,
    NowServing,
    PhaseBegun,
    Started,
    TakenUp,
    UpdateBegun,
    VerdictGiven,
    of_type,
)
from rollout.model.verdict import Verdict
from rollout.report.explanation import headline
from rollout.report.facts import Report
from rollout.report.lines import line_of
from rollout.report.read import READINGS, last_traffic_move, report_of, reports
from tests.rollout.fakes import NEW, OLD, SERVICE, START, World, record


def ramp(world: World) -> Report:
    settings = world.config.read()
    plan = make_plan(settings.idle_color, settings.rollout)
    Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan))
    found = report_of(world.journal.kept)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def promoted() -> Report:
    return ramp(World())


@pytest.fixture(scope="module")
def refused_by_errors() -> Report:
    world = World()
    world.error_rate["green"] = 0.3
    return ramp(world)


def test_a_promotion_has_every_step_with_what_was_asked_and_counted(promoted: Report) -> None:
    assert (promoted.what, promoted.outcome, promoted.phase) == ("rollout", "promoted", Phase.DONE)
    assert [one.candidate_percent for one in promoted.weights] == [1, 25, 100]
    for one in promoted.weights:
        assert one.in_effect_at is not None
        assert one.asked_at < one.in_effect_at
        assert one.observed_percent == pytest.approx(one.candidate_percent, abs=2)
        assert one.requests
    assert [hold.name for hold in promoted.holds] == ["1 %", "25 %", "100 %", "soak"]
    assert all(gate.last.verdict is Verdict.PASS for hold in promoted.holds for gate in hold.gates if not gate.dry_run)
    assert promoted.keep_until is not None
    assert promoted.rule_back_seconds is None
    assert [one.name for one in promoted.checks] == ["smoke", "eval"]


def test_it_has_the_releases_the_time_and_the_cost(promoted: Report) -> None:
    assert (promoted.release_id, promoted.previous_release_id) == (NEW.release_id, OLD.release_id)
    assert promoted.release is not None
    assert promoted.release["model"] == NEW.model
    assert promoted.seconds is not None
    assert promoted.candidate_usd_per_hour is not None
    assert promoted.usd is not None
    assert 0 < promoted.usd <= promoted.candidate_usd_per_hour * promoted.seconds / 3600 + 0.01


def test_it_has_the_price_of_every_headroom_mode_and_the_chosen_one_agrees_with_the_measured_cost(
    promoted: Report,
) -> None:
    assert [cost.mode for cost in promoted.headroom] == ["on_rollout", "reserved", "always", "surge"]
    chosen = promoted.headroom[0]
    assert promoted.candidate_usd_per_hour is not None
    assert chosen.usd == pytest.approx(promoted.candidate_usd_per_hour * chosen.hours, rel=0.01)


def test_holds_follow_each_other_and_end(promoted: Report) -> None:
    for hold in promoted.holds:
        assert hold.ended_at is not None
        seconds = (hold.ended_at - hold.began_at).total_seconds()
        assert seconds >= hold.planned_seconds
        assert hold.extended_by_seconds == seconds - hold.planned_seconds


def test_a_rollback_names_what_tipped_it_and_when_the_rule_was_back(refused_by_errors: Report) -> None:
    assert refused_by_errors.outcome == "rolled_back"
    decision = refused_by_errors.decision
    assert decision is not None
    assert decision.action == "rollback"
    assert {one.last.verdict for one in decision.tipped_by} == {Verdict.FAIL}
    assert all(one.name in decision.reason for one in decision.tipped_by)
    assert refused_by_errors.rule_back_seconds is not None
    assert refused_by_errors.weights[-1].candidate_percent == 0
    assert refused_by_errors.drain is not None
    assert refused_by_errors.drain.color == "green"


def test_a_failed_check_tips_a_rollback_before_any_traffic() -> None:
    world = World()
    world.smoke = Verdict.FAIL
    report = ramp(world)
    assert report.outcome == "rolled_back"
    assert report.weights == ()
    assert report.decision is not None
    assert [one.name for one in report.decision.tipped_by] == ["smoke"]


@pytest.mark.slow
def test_an_unfinished_rollout_has_no_end() -> None:
    world = World()
    ramp(world)
    kept = world.journal.kept
    for length in range(1, len(kept)):
        report = report_of(kept[:length])
        if report is not None and report.phase is not Phase.DONE:
            assert report.ended_at is None
            assert report.outcome is None


def test_each_run_of_a_journal_has_its_own_report() -> None:
    world = World()
    ramp(world)
    world.journal.rollout_id = "r2"
    world.clock.elapsed += 3600 * 25
    plan = make_plan("blue", world.config.read().rollout)
    state = advance(Rollout(plan=make_plan("green", world.config.read().rollout), phase=Phase.DONE), ReapRequested())
    Controller(world.ports(), Subject(service=SERVICE)).run(state)
    assert plan.outgoing == "green"
    found = list(reports(world.journal.kept))
    assert [(one.rollout, one.what, one.outcome) for one in found] == [
        ("r1", "rollout", "promoted"),
        ("r2", "reap", "reaped"),
    ]


def test_drills_and_changed_windows_are_runs_and_a_refused_command_is_none() -> None:
    lock = record(LockTaken(by="drill", before="", user="ada", host="h", run_url="", commit="abc"), rollout="d1")
    drilled = record(
        Drilled(
            color="blue",
            decision_to_rule_seconds=0.1,
            rule_to_last_request_seconds=1,
            resolution_seconds=1,
            decision_to_agreement_seconds=3,
        ),
        rollout="d1",
    )
    kept = record(Kept(color="blue", former=None, until=START + timedelta(days=1), reason=""), rollout="k1")
    refused = record(LockTaken(by="reap", before=""), rollout="x1")
    found = list(reports([lock, drilled, refused, kept]))
    assert [(one.rollout, one.what) for one in found] == [("d1", "drill"), ("k1", "keep")]
    assert found[0].processes[0].user == "ada"


def test_a_drill_that_did_not_come_to_its_end_is_in_the_history() -> None:
    lock = record(LockTaken(by="drill", before="", user="ada"), rollout="d1")
    update = record(UpdateBegun(message="drill", edits={}, serial=7, green_weight=99, color=None), rollout="d1")
    (found,) = reports([lock, update])
    assert (found.what, found.ended_at, found.seconds) == ("drill", None, None)
    assert headline(found).startswith("A drill that did not come to its end, at ")
    assert list(reports([lock])) == [], "it changed nothing"


def test_a_long_hold_is_thinned_without_losing_a_change_of_verdict(promoted: Report) -> None:
    plan = promoted.plan
    assert plan is not None
    state: dict[str, Any] = {"step": 0, "check": 0, "promoted": False, "reason": ""}
    begun = TakenUp(plan=plan, release=NEW, resumed=False, **state)
    records = [replace(record(begun), phase=Phase.SOAKING), replace(record(PhaseBegun(**state)), phase=Phase.SOAKING)]
    failing = {1234, 4999}
    for place in range(5000):
        verdict = Verdict.FAIL if place in failing else Verdict.PASS
        body = VerdictGiven(gate="error_rate", verdict=verdict, reason=str(place), evidence={}, dry_run=False)
        at = START + timedelta(seconds=10 * place)
        records.append(replace(record(body, at=at), phase=Phase.SOAKING))
    report = report_of(records)
    assert report is not None
    readings = report.holds[0].gates[0].readings
    assert READINGS <= len(readings) <= READINGS + 10
    assert {int(one.reason) for one in readings} >= {0, 1234, 1235, 4999}


def test_a_journal_of_an_earlier_version_can_be_read() -> None:
    """Its records lack who ran the command, and the prices."""
    world = World()
    ramp(world)
    started = next(body for _, body in of_type(world.journal.kept, Started))
    fields = started.model_dump(mode="json")
    assert Started.model_validate(fields) == started
    del fields["candidate_usd_per_hour"], fields["headroom"]
    assert Started.model_validate(fields).candidate_usd_per_hour is None
    assert Started.model_validate(fields).headroom == ()
    assert LockTaken.model_validate({"by": "ramp", "before": ""}).user == ""


def test_the_last_move_of_traffic_is_the_rollback_after_a_promotion() -> None:
    world = World()
    ramp(world)
    candidate = world.config.read().active_color
    world.journal.rollout_id, world.journal.phase = "r2", None
    back = Rollout(plan=make_plan(candidate, world.config.read().rollout), phase=Phase.ROLLING_BACK, reason="too terse")
    Controller(world.ports(), Subject(service=SERVICE)).run(back)
    found = last_traffic_move(world.journal.kept)
    assert found is not None
    assert (found.what, found.candidate, found.outcome) == ("rollback", candidate, "rolled_back")
    assert last_traffic_move([]) is None


@pytest.mark.parametrize(
    ("other", "words"), [("9188", "that of the other colour is 9188"), ("89e6", "as on the other")]
)
def test_after_a_rollback_the_serving_colours_cache_is_not_called_changed(other: str, words: str) -> None:
    world = World()
    world.error_rate["green"] = 0.3
    ramp(world)
    (written,) = [one for one in world.journal.kept if isinstance(one.body, NowServing)]
    body = written.body.model_copy(
        update={
            "cache_namespace": "89e6",
            "previous_cache_namespace": other,
            "cache_namespace_changed": other != "89e6",
        }
    )
    line = line_of(replace(written, body=body))
    assert line is not None
    assert f"semantic-cache namespace 89e6, {words}" in line.text
    assert "changed" not in line.text
