"""The rollback drill, and the rollout that waits for one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.gates.attestation import AttestationTimeoutError
from rollout.model.records import Drilled, DrillHistory, Note, Promoted, drill_history
from rollout.steps.drill import practise
from rollout.steps.preflight import drill_violations
from rollout.steps.updates import Updater
from tests.rollout.fakes import BASE, NEW, SERVICE, World, record

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
WARM: dict[str, Any] = {"replicas": 2, "release": NEW.model_dump(mode="json")}


def warm_world(**attestation: float) -> World:
    rollout = {**BASE["rollout"], "settle_seconds": 0, "attestation": attestation}
    return World(green=WARM, keep_until="2026-11-23T08:00:00Z", rollout=rollout)


def drill(world: World) -> Drilled:
    ports = world.ports()
    return practise(ports, Updater(ports, SERVICE))


def test_a_drill_sends_one_percent_and_takes_it_back() -> None:
    world = warm_world()
    measured = drill(world)
    assert world.shifts_of_traffic == [0, 1, 0]
    assert world.direct == [0]  # there by an update, back directly
    assert world.journal.of("drill")[0]["color"] == measured.color == "green"
    assert measured.rule_to_last_request_seconds <= 2 * measured.resolution_seconds
    assert world.state.green_weight == world.config.read().green_weight == 0


def test_requests_that_end_after_a_promotion_are_waited_for() -> None:
    world = warm_world()
    world.weights = {"blue": 98, "green": 2}
    for _ in range(60):
        world.clock.sleep(1)  # as if requests from before the promotion were counted only now
    world.weights = {"blue": 100, "green": 0}
    began = world.clock.elapsed
    drill(world)
    assert world.clock.elapsed - began >= world.config.read().drain_chain.deregistration_delay_seconds
    notes = [str(note["text"]) for note in world.journal.of("note")]
    assert "client requests went to green" in notes[0]


def test_a_drill_leaves_the_way_back_until_its_window_ends() -> None:
    world = warm_world()
    drill(world)
    assert world.config.read().keep_until == world.state.keep_until == datetime(2026, 11, 23, 8, tzinfo=UTC)
    assert world.pods("green")


def test_a_lag_shows_in_what_is_measured() -> None:
    world = warm_world()
    world.weight_lag_seconds = 30
    assert drill(world).rule_to_last_request_seconds >= 25


def test_a_drill_that_cannot_be_attested_takes_the_traffic_back_and_counts_for_nothing() -> None:
    world = warm_world(timeout_seconds=60)
    world.requests_per_second = 0.5
    with pytest.raises(AttestationTimeoutError):
        drill(world)
    assert world.weights == {"blue": 100, "green": 0}
    assert world.state.green_weight == world.config.read().green_weight == 0
    assert world.journal.of("drill") == []


def test_without_a_limit_no_drill_is_asked_for() -> None:
    assert drill_violations(None, DrillHistory(promoted=True), NOW) == ()


def test_before_the_first_promotion_there_is_nothing_to_practise() -> None:
    assert drill_violations(7, DrillHistory(), NOW) == ()


@given(age_days=st.floats(0, 100), limit_days=st.floats(0.1, 100))
def test_a_drill_counts_until_it_is_too_old(age_days: float, limit_days: float) -> None:
    drills = DrillHistory(last=NOW - timedelta(days=age_days), promoted=True)
    assert bool(drill_violations(limit_days, drills, NOW)) == (timedelta(days=age_days) > timedelta(days=limit_days))


def test_a_missing_drill_is_reported_with_what_to_do() -> None:
    (violation,) = drill_violations(7, DrillHistory(promoted=True), NOW)
    assert violation.startswith(
        "rollout.drill_max_age_days: requires a rollback drill within 7 days, but there was none"
    )
    assert "scripts.drill" in violation


def test_the_history_is_the_last_drill_of_the_journal() -> None:
    drilled = Drilled(
        color="green",
        decision_to_rule_seconds=0.1,
        rule_to_last_request_seconds=1,
        resolution_seconds=1,
        decision_to_agreement_seconds=2,
    )
    records = [
        record(Promoted(active_color="green", keep_until=NOW), at=NOW - timedelta(days=4)),
        record(drilled, at=NOW - timedelta(days=3)),
        record(drilled, at=NOW - timedelta(days=2)),
        record(Note(text="later"), at=NOW - timedelta(days=1)),
    ]
    assert drill_history(records) == DrillHistory(last=NOW - timedelta(days=2), promoted=True)
    assert drill_history([]) == DrillHistory()
