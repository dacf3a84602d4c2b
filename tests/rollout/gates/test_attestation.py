"""When a weight counts as in effect, in a world whose load balancer lags, lies or has little traffic."""

from datetime import timedelta
from typing import Any

import pytest

from components.domain.naming import Color
from rollout.gates.attestation import AttestationTimeoutError, attest_idle, attest_routing
from rollout.gates.changes import Proof, RoutingChange
from rollout.model.errors import RolloutError
from rollout.model.rule import Routing
from rollout.statistics.measurements import PeriodRequests
from tests.rollout.fakes import BASE, NEW, PERIOD_SECONDS, World

GREEN: dict[str, Any] = {"replicas": 2, "release": NEW.model_dump(mode="json")}


def world_at(percent: int = 1, *, lag_seconds: float = 0, settle_seconds: float = 0, **attestation: float) -> World:
    rollout = {**BASE["rollout"], "settle_seconds": settle_seconds, "attestation": attestation, "poll_seconds": 1}
    world = World(green=GREEN, green_weight=percent, rollout=rollout)
    world.weight_lag_seconds = lag_seconds
    return world


def shift(world: World, before: int, after: int) -> RoutingChange:
    world.set_green_weight(after)
    return RoutingChange(
        candidate="green",
        previous_percent=before,
        intended_percent=after,
        name=f"{after} %",
        routing=Routing(green_weight=after, active_color="blue"),
        proof=Proof.SPLIT,
        since=world.clock.now(),
    )


def attest(world: World, before: int, after: int) -> float:
    """Attest, and return how long it took, in seconds."""
    change = shift(world, before, after)
    began = world.clock.elapsed
    attest_routing(world.ports(), change)
    return world.clock.elapsed - began


def notes(world: World) -> list[str]:
    return [str(note["text"]) for note in world.journal.of("note")]


@pytest.mark.parametrize(("before", "after"), [(1, 25), (25, 75), (75, 100)])
@pytest.mark.parametrize("lag_seconds", [0, 5, 30])
def test_a_weight_is_attested_once_it_is_in_effect_and_not_before(before: int, after: int, lag_seconds: int) -> None:
    world = world_at(before, lag_seconds=lag_seconds)
    took = attest(world, before, after)
    assert lag_seconds < took <= lag_seconds + 20
    attested = world.journal.of("attested")
    assert len(attested) == 1
    assert attested[0]["candidate_percent"] == pytest.approx(after, abs=6)
    assert any("does not apply it yet" in note for note in notes(world)) == (lag_seconds > 0)


def test_each_reason_to_wait_is_reported_once() -> None:
    world = world_at(25, lag_seconds=60)
    attest(world, 25, 75)
    assert len([note for note in notes(world) if "does not apply it yet" in note]) == 1


def test_a_change_that_is_silently_ignored_is_never_attested() -> None:
    world = world_at(25, timeout_seconds=600)
    world.ignore_weights = True
    with pytest.raises(AttestationTimeoutError, match=r"within 600 s: .* as before the change \(25 %\)"):
        attest(world, 25, 75)
    assert world.journal.of("attested") == []


def test_too_little_traffic_is_reported_with_what_is_needed() -> None:
    world = world_at(0, timeout_seconds=120)
    world.requests_per_second = 1.0
    with pytest.raises(AttestationTimeoutError, match=r"too few requests counted so far \(\d+ of about 405, in about"):
        attest(world, 0, 1)
    assert "about 405 requests" in notes(world)[0]


def test_without_any_request_there_is_no_attestation() -> None:
    world = world_at(0, timeout_seconds=60)
    world.requests_per_second = 0.0
    with pytest.raises(AttestationTimeoutError, match=r"too few requests counted so far \(0 of about 405\)"):
        attest(world, 0, 1)


def test_requests_of_our_own_do_not_count() -> None:
    world = world_at(0, timeout_seconds=60)
    world.ignore_weights = True
    by_period = world.by_period

    def with_ours(start: Any, end: Any) -> list[PeriodRequests]:
        for period in by_period(start, end):
            period.requests["green"] += 10  # pyright: ignore[reportIndexIssue]
        return list(by_period(start, end))

    world.by_period = with_ours  # pyright: ignore[reportAttributeAccessIssue]
    world.route.sent = lambda color, _start, _end: 10 if color == "green" else 0  # pyright: ignore
    with pytest.raises(AttestationTimeoutError):
        attest(world, 0, 1)


def test_another_split_than_either_is_reported_as_that() -> None:
    world = world_at(100, timeout_seconds=60)
    world.ignore_weights = True
    with pytest.raises(AttestationTimeoutError, match="neither 75 % nor the 25 % before"):
        attest(world, 25, 75)


def test_targets_that_are_not_healthy_are_waited_for() -> None:
    world = world_at(1)
    world.healthy["green"] = 1
    count = world.clock.on_sleep

    def recover() -> None:
        count()
        if world.clock.elapsed > 700:
            world.healthy["green"] = None

    world.clock.on_sleep = recover
    attest(world, 1, 25)
    assert world.clock.elapsed > 700
    assert any("1 of 2 targets healthy in the target group of green" in note for note in notes(world))


def test_a_rule_that_somebody_changes_ends_the_wait() -> None:
    world = world_at(1)
    change = shift(world, 1, 25)
    world.weights = {"blue": 50, "green": 50}
    with pytest.raises(RolloutError, match="the rule splits"):
        attest_routing(world.ports(), change)


def test_counts_that_cannot_be_read_are_waited_for_and_reported() -> None:
    world = world_at(1, timeout_seconds=60)

    def down(*_: Any) -> list[PeriodRequests]:
        raise ConnectionError("no route")

    world.by_period = down  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttestationTimeoutError, match="counts cannot be read:"):
        attest(world, 1, 25)


def test_settle_seconds_are_the_shortest_wait() -> None:
    assert attest(world_at(25, settle_seconds=100), 25, 75) >= 100


def idle(world: World, color: Color, since_seconds: float) -> float:
    began = world.clock.elapsed
    attest_idle(world.ports(), color, since=world.clock.now() - timedelta(seconds=since_seconds))
    return world.clock.elapsed - began


def test_a_colour_without_clients_is_idle() -> None:
    world = world_at(0)
    assert idle(world, "green", 500) <= 10
    assert world.journal.of("attested")[0]["candidate_requests"] == 0


def test_a_colour_that_clients_still_reach_is_not() -> None:
    world = world_at(1, timeout_seconds=300)
    for _ in range(500):
        world.clock.sleep(1)
    world.ignore_weights = True
    world.set_green_weight(0)
    with pytest.raises(AttestationTimeoutError, match="client requests went to green"):
        idle(world, "green", 500)


def test_a_lag_is_waited_out_for_the_whole_deregistration_delay() -> None:
    world = world_at(1, lag_seconds=30)
    world.set_green_weight(0)
    delay_seconds = world.config.read().drain_chain.deregistration_delay_seconds
    assert idle(world, "green", 0) >= delay_seconds


@pytest.mark.parametrize("begins_at", [0.0, 0.1, 2.5, 4.9])
def test_a_colour_of_which_quiet_is_not_asked_is_idle_as_soon_as_one_period_tells(begins_at: float) -> None:
    world = world_at(0)
    world.clock.sleep(begins_at)
    began = world.clock.elapsed
    attest_idle(world.ports(), "green", since=world.clock.now(), quiet_seconds=0)
    assert world.clock.elapsed - began <= 4 * PERIOD_SECONDS
    attest_idle(world.ports(), "green", since=world.clock.now() - timedelta(days=1), quiet_seconds=0)


def test_counts_that_are_published_very_late_are_waited_for() -> None:
    world = world_at(0)
    published = world.by_period
    late = timedelta(seconds=3 * PERIOD_SECONDS)
    world.by_period = lambda start, end: published(start, end - late)  # pyright: ignore[reportAttributeAccessIssue]
    attest_idle(world.ports(), "green", since=world.clock.now(), quiet_seconds=0)
    assert world.journal.of("attested")[0]["candidate_requests"] == 0


def test_nothing_known_is_not_idle() -> None:
    world = world_at(0, timeout_seconds=60)
    world.by_period = lambda *_: ()  # pyright: ignore
    with pytest.raises(AttestationTimeoutError, match="has not published its counts for green"):
        idle(world, "green", 500)
