"""Rollouts where both colours share too few places for two full sizes: up the ladder, and back in waves."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from components.domain.naming import COLORS, Color
from rollout.commands import keep
from rollout.commands import ramp as ramp_by_script
from rollout.commands import roll_back as roll_back_by_script
from rollout.controller import Controller, Subject
from rollout.direct_update import send_back_by
from rollout.journal.replay import run_to_resume
from rollout.model.changes import EngineRun
from rollout.model.machine import Phase, ReapRequested, Rollout, advance
from rollout.model.plan import Plan, make_plan
from rollout.model.records import Decision, Resized, RuleChanged
from rollout.model.run import last_run
from rollout.ports import Watch
from rollout.report.read import report_of
from rollout.steps.rollback import candidate_to_undo
from tests.rollout.fakes import NEW, OLD, SERVICE, World, release
from tests.rollout.killable import Kill, KillableWorld, Killed, killed_worlds
from tests.rollout.test_commands import session

SHARED: dict[str, Any] = {
    "headroom_mode": "surge",
    "node_groups": "shared",
    "surge_replicas": 1,
    "blue": {"replicas": 4, "release": OLD.model_dump(mode="json")},
    "green": {"replicas": 4},
}
UP = [
    (1, 4, 0),
    (1, 4, 1),
    (1, 4, 25),
    (1, 3, 25),
    (2, 3, 25),
    (2, 3, 50),
    (2, 2, 50),
    (3, 2, 50),
    (3, 2, 75),
]
TOP = [*UP, (3, 1, 75), (4, 1, 75), (4, 1, 100)]
"""The candidate's replicas, the outgoing colour's, and the candidate's share: every state on the way up."""
BACK_FROM_TOP = [100, 74, 48, 22, 0]


class SurgeWorld(KillableWorld):
    """A world that looks at places and loads after every change of replicas or weights."""

    def __init__(self, **overrides: Any) -> None:
        self.seen: list[tuple[int, int, int]] = []
        self.too_many: list[tuple[int, int, int]] = []
        """States with more replicas than places."""
        self.overloaded: list[tuple[Color, int, int]] = []
        """Colours with a larger share of the requests than their replicas carry."""
        super().__init__(**{**SHARED, **overrides})

    def up(
        self, message: str, *, targets: Sequence[str] = (), with_policies: bool = True, watch: Watch | None = None
    ) -> EngineRun:
        run = super().up(message, targets=targets, with_policies=with_policies, watch=watch)
        self._look()
        return run

    def set_green_weight(self, green_weight: int, *, cohorts_to: Color | None = None) -> None:
        super().set_green_weight(green_weight, cohorts_to=cohorts_to)
        self._look()

    def _look(self) -> None:
        capacity = self.state.capacity
        assert capacity is not None
        running = {color: len(self.pods(color)) for color in COLORS}
        state = (running["green"], running["blue"], self.weights["green"])
        if self.seen[-1:] != [state]:
            self.seen.append(state)
        if sum(running.values()) > capacity.places:
            self.too_many.append(state)
        for color in COLORS:
            if self.weights[color] > capacity.carried_percent(running[color]):
                self.overloaded.append((color, running[color], self.weights[color]))

    @property
    def notes(self) -> list[str]:
        return [one["text"] for one in self.journal.of("note")]


def plan_of(world: SurgeWorld, candidate: Color) -> Plan:
    settings = world.config.read()
    return make_plan(candidate, settings.rollout, ladder=settings.ladder)


def ramp(world: SurgeWorld, subject: Any = NEW) -> Rollout:
    plan = plan_of(world, world.config.read().idle_color)
    return Controller(world.ports(), Subject(service=SERVICE, release=subject)).run(Rollout(plan=plan))


def roll_back(world: SurgeWorld, candidate: Color) -> Rollout:
    rollout = Rollout(plan=plan_of(world, candidate), phase=Phase.ROLLING_BACK, reason="asked for")
    return Controller(world.ports(), Subject(service=SERVICE)).run(rollout)


def resume(world: SurgeWorld) -> Rollout:
    found = run_to_resume(last_run(world.journal.kept), NEW)
    if found is None:
        return ramp(world)
    return Controller(world.ports(), Subject(service=SERVICE, release=found.release)).resume(found)


def failing_at(green_weight: int, **overrides: Any) -> SurgeWorld:
    """Return a world whose candidate fails at this weight."""
    world = SurgeWorld(**overrides)
    world.clock.on_sleep = partial(_fail_at, world, green_weight, world.clock.on_sleep)
    return world


def _fail_at(world: SurgeWorld, green_weight: int, count: Callable[[], None]) -> None:
    count()
    if world.weights["green"] == green_weight:
        world.error_rate["green"] = 0.35


def assert_kept_within(world: SurgeWorld) -> None:
    assert world.too_many == []
    assert world.overloaded == []


def assert_home(world: SurgeWorld, active: Color) -> None:
    """Assert that all traffic is on the active colour, with all of its replicas, and that all sources agree."""
    settings, green_weight = world.config.read(), 100 if active == "green" else 0
    assert world.weights["green"] == settings.green_weight == world.state.green_weight == green_weight
    assert settings.active_color == world.state.active_color == active
    assert settings == world.state
    assert not settings.rolling_out
    assert settings.color(active).running_replicas == 0
    assert len(world.pods(active)) == 4


def test_a_rollout_climbs_the_ladder_and_leaves_the_surge_as_the_way_back() -> None:
    world = SurgeWorld()
    assert ramp(world).phase is Phase.DONE
    assert world.seen == TOP
    assert_kept_within(world)
    assert_home(world, "green")
    assert len(world.pods("blue")) == 1
    resized = [
        (one.color, one.former, one.replicas)
        for record in world.journal.kept
        if isinstance(one := record.body, Resized)
    ]
    assert resized == [
        ("blue", 4, 3),
        ("green", 1, 2),
        ("blue", 3, 2),
        ("green", 2, 3),
        ("blue", 2, 1),
        ("green", 3, 4),
    ]


def test_no_update_brings_nodes_up_that_are_always_up() -> None:
    world = SurgeWorld()
    ramp(world)
    assert world.ups[0][0].startswith("deploy release")
    (ready,) = world.journal.of("ready")
    assert not ready["with_nodes"], "the time is one of replicas alone, so it counts for the waves"


def test_each_resize_is_an_update_of_nothing_but_its_colour_and_the_rule() -> None:
    world = SurgeWorld()
    ramp(world)
    targets = [targets for message, targets in world.ups if message.startswith("run ")]
    assert len(targets) == 6
    assert all(len(one) == 2 for one in targets)


def test_the_ladder_is_in_the_journal_before_anything_is_changed() -> None:
    world = SurgeWorld()
    world.measured_start_seconds = 140.0
    ramp(world)
    rungs = [text for text in world.notes if text.startswith("rung ")]
    assert rungs[1] == "rung 2: 25 %, candidate x1, outgoing colour x4; way back: instant"
    assert rungs[-1].endswith("way back: 900 s (3 waves of 300 s)")
    first_update = next(one["seq"] for one in world.journal.records if one["kind"] == "update")
    assert all(one["seq"] < first_update for one in world.journal.of("note") if one["text"] in rungs)


def test_a_rollback_from_the_last_rung_takes_back_what_is_carried_and_then_goes_in_waves() -> None:
    world = failing_at(100)
    assert ramp(world).phase is Phase.ROLLED_BACK
    assert world.seen[: len(TOP)] == TOP
    assert world.shifts_of_traffic[-5:] == BACK_FROM_TOP
    assert_kept_within(world)
    assert_home(world, "blue")
    assert not world.pods("green")
    announced = next(text for text in world.notes if "gives its places back" in text)
    assert announced.startswith(
        "blue has 26 % of the requests back, as many as its 1 of 4 replicas carry. green gives its places back in "
        "waves: blue carries all again after 2280 s (3 waves of 760 s), at about "
    )


def test_the_report_has_each_part_of_the_way_back_and_says_when_all_traffic_was_back() -> None:
    world = failing_at(100)
    ramp(world)
    report = report_of(world.journal.kept)
    assert report is not None
    assert [change.candidate_percent for change in report.weights] == [1, 25, 50, 75, *BACK_FROM_TOP]
    assert report.rule_back_seconds is not None
    decided = next(one.at for one in world.journal.kept if isinstance(one.body, Decision))
    last = [one.at for one in world.journal.kept if isinstance(body := one.body, RuleChanged) and not body.green_weight]
    assert report.rule_back_seconds == (last[0] - decided).total_seconds() > 0


def test_a_rollback_before_the_outgoing_colour_has_given_up_anything_is_one_change_of_the_rule() -> None:
    world = failing_at(25)
    assert ramp(world).phase is Phase.ROLLED_BACK
    assert world.shifts_of_traffic == [0, 1, 25, 0]
    assert not any(isinstance(record.body, Resized) for record in world.journal.kept)
    assert_kept_within(world)
    assert_home(world, "blue")


def test_one_unhealthy_replica_of_a_colour_that_has_given_up_none_delays_no_rollback() -> None:
    world = failing_at(25)
    world.healthy["blue"] = 3
    assert ramp(world).phase is Phase.ROLLED_BACK
    assert world.shifts_of_traffic == [0, 1, 25, 0]


def test_a_second_rollback_overloads_nobody_when_the_first_was_killed_in_its_last_wave() -> None:
    world = failing_at(100)
    whole = failing_at(100)
    ramp(whole)
    messages = [message for message, _ in whole.ups]
    world.kill_in_up = messages.index("run 4 replicas of blue") + 1, "after"
    with pytest.raises(Killed):
        ramp(world)
    before, world.healthy["blue"] = world.weights["green"], 3  # the fourth is still starting
    moved = send_back_by(world, world.clock.now(), force=False)
    assert moved is not None
    assert 0 < moved.green_weight <= before
    capacity = world.state.capacity
    assert capacity is not None
    assert 100 - moved.green_weight == capacity.carried_percent(3)
    world.healthy["blue"] = None
    world.killable.reopen()
    world.kill_in_up = None
    assert roll_back_by_script(session(world), "users complain", moved).phase is Phase.ROLLED_BACK
    assert_kept_within(world)
    assert_home(world, "blue")


def test_a_promotion_is_undone_in_waves_too() -> None:
    world = SurgeWorld()
    ramp(world)
    assert roll_back(world, "green").phase is Phase.ROLLED_BACK
    assert world.shifts_of_traffic[-5:] == BACK_FROM_TOP
    assert world.config.read().keep_until is None
    assert_kept_within(world)
    assert_home(world, "blue")


def test_a_candidate_that_cannot_answer_gets_no_more_requests_although_the_others_are_overloaded() -> None:
    world = SurgeWorld()
    ramp(world)
    world.healthy["green"] = 0
    world.overloaded.clear()
    assert roll_back(world, "green").phase is Phase.ROLLED_BACK
    assert world.shifts_of_traffic[-2:] == [100, 0]
    assert {color for color, _, _ in world.overloaded} == {"blue"}
    assert world.too_many == []
    assert_home(world, "blue")


def test_a_kept_colour_with_more_replicas_has_fewer_waves_to_go() -> None:
    world = SurgeWorld(surge_replicas=2)
    assert ramp(world).phase is Phase.DONE
    assert len(world.pods("blue")) == 2
    assert roll_back(world, "green").phase is Phase.ROLLED_BACK
    assert world.shifts_of_traffic[-3:] == [100, 48, 0]
    assert_kept_within(world)
    assert_home(world, "blue")


def test_fewer_replicas_are_kept_if_that_is_asked_for() -> None:
    world = SurgeWorld(surge_replicas=2, keep_warm_replicas=1)
    assert ramp(world).phase is Phase.DONE
    assert len(world.pods("blue")) == 1
    assert_kept_within(world)


def test_the_next_rollout_replaces_the_kept_replicas_and_climbs_again() -> None:
    world = SurgeWorld()
    ramp(world)
    world.clock.sleep(3601)
    assert ramp(world, release("c")).phase is Phase.DONE
    assert world.seen[-len(TOP) :] == [(outgoing, candidate, 100 - share) for candidate, outgoing, share in TOP]
    assert_kept_within(world)
    assert_home(world, "blue")
    assert len(world.pods("green")) == 1


def test_a_reap_parks_what_was_kept_and_keeps_the_nodes() -> None:
    world = SurgeWorld()
    ramp(world)
    world.clock.sleep(3601)
    done = Rollout(plan=make_plan("green", world.config.read().rollout), phase=Phase.DONE)
    rollout = advance(done, ReapRequested())
    assert Controller(world.ports(), Subject(service=SERVICE)).run(rollout).phase is Phase.REAPED
    assert not world.pods("blue")
    assert len(world.nodes()) == 5
    assert_home(world, "green")


def test_a_rollout_does_not_begin_while_the_active_colour_lacks_replicas() -> None:
    blue = {"replicas": 4, "running_replicas": 3, "release": OLD.model_dump(mode="json")}
    world = SurgeWorld(blue=blue)
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "blue.running_replicas: is 3, but a rollout begins with all 4 replicas" in rollout.reason


def test_a_rollout_does_not_begin_when_its_way_back_takes_too_long_by_the_latest_start() -> None:
    world = SurgeWorld(max_rollback_seconds=3000)
    world.measured_start_seconds = 900.0
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "max_rollback_seconds: is 3000, but the way back from the last step takes 3180 s (3 waves of 1060 s)" in (
        rollout.reason
    )


def test_the_scripts_climb_the_ladder_and_send_back_at_once_what_is_carried() -> None:
    world = SurgeWorld()
    assert ramp_by_script(session(world), NEW).phase is Phase.DONE
    assert world.seen == TOP
    moved = send_back_by(world, world.clock.now(), force=False)
    assert moved is not None
    assert (moved.to, moved.green_weight, moved.share) == ("blue", 74, "26 % of traffic are")
    assert roll_back_by_script(session(world), "users complain", moved).phase is Phase.ROLLED_BACK
    assert world.shifts_of_traffic[-5:] == BACK_FROM_TOP
    assert_kept_within(world)
    assert_home(world, "blue")


@pytest.mark.parametrize("make", [SurgeWorld, World], ids=["a part of the traffic", "all traffic"])
def test_a_rollback_of_a_promotion_that_only_moved_the_rule_is_completed_by_the_next(
    make: type[World],
) -> None:
    world = make()
    assert ramp_by_script(session(world), NEW).phase is Phase.DONE
    first = send_back_by(world, world.clock.now(), force=False)
    again = send_back_by(world, world.clock.now(), force=False)
    assert first is not None
    assert again is not None
    assert (again.to, again.green_weight) == (first.to, first.green_weight) == ("blue", world.weights["green"])
    assert candidate_to_undo(world.config.read(), world.rule(), world.clock.now(), unfinished=False) == "green"
    assert roll_back_by_script(session(world), "users complain", again).phase is Phase.ROLLED_BACK
    assert world.weights["green"] == 0
    assert world.config.read().active_color == "blue"


def test_a_rollback_that_finds_no_way_to_the_load_balancer_at_first_still_goes_in_waves() -> None:
    world = SurgeWorld()
    ramp(world)
    assert roll_back_by_script(session(world), "users complain").phase is Phase.ROLLED_BACK
    assert world.shifts_of_traffic[-5:] == BACK_FROM_TOP
    assert_kept_within(world)
    assert_home(world, "blue")


def test_a_change_of_the_keep_warm_window_says_what_the_way_back_takes() -> None:
    world = SurgeWorld()
    ramp(world)
    keep(session(world), "+24h", "")
    (kept,) = world.journal.of("keeping")
    assert kept["way_back"].startswith(
        "the way back: blue runs 1 of 4 replicas, which carry 26 % of the requests at once"
    )


def good() -> SurgeWorld:
    return SurgeWorld()


def bad_at_the_top() -> SurgeWorld:
    return failing_at(100)


def quiet(make: Callable[[], SurgeWorld]) -> SurgeWorld:
    """Poll rarely: more polls would only add more records of the same kind."""
    world = make()
    world.config.values = {**world.config.values, "rollout": {**world.config.values["rollout"], "poll_seconds": 60}}
    world.state = world.config.read()
    return world


def finish(world: SurgeWorld, outcome: Phase) -> None:
    """Resume a killed rollout, and assert that it ends as without the kill, and within the places."""
    finished = world.journal.of("finished")
    world.killable.reopen()
    world.kill_in_up = None
    if not finished:
        assert resume(world).phase is outcome
    assert_kept_within(world)
    assert_home(world, "green" if outcome is Phase.DONE else "blue")
    for before, after in pairwise(world.shifts_of_traffic):
        assert after in {0, 1, 22, 25, 48, 50, 74, 75, 100}, (before, after)


CHANGING = (Phase.RESIZING, Phase.ROLLING_BACK)
"""The phases that a ladder adds, or that it changes. The others are tested without one."""


@pytest.mark.slow
@pytest.mark.parametrize(("make", "outcome"), [(good, Phase.DONE), (bad_at_the_top, Phase.ROLLED_BACK)])
def test_a_rollout_killed_while_the_colours_change_places_ends_as_without_the_kill(
    make: Callable[[], SurgeWorld], outcome: Phase
) -> None:
    whole = quiet(make)
    ramp(whole)
    places = [number for number, one in enumerate(whole.journal.kept, 1) if one.phase in CHANGING]
    assert len(places) > 20
    left = killed_worlds(partial(quiet, make), ramp)
    for place, at in enumerate(places):
        if place % 3 == 0:  # the kills at all of them take minutes
            finish(left[Kill(at, before=place % 2 == 0)], outcome)


@pytest.mark.slow
@pytest.mark.parametrize(("make", "outcome"), [(good, Phase.DONE), (bad_at_the_top, Phase.ROLLED_BACK)])
def test_a_rollout_killed_in_the_middle_of_a_resize_ends_as_without_the_kill(
    make: Callable[[], SurgeWorld], outcome: Phase
) -> None:
    whole = quiet(make)
    ramp(whole)
    resizes = [number for number, (message, _) in enumerate(whole.ups, 1) if message.startswith("run ")]
    assert len(resizes) >= 6
    for place, number in enumerate(resizes):
        world = quiet(make)
        world.kill_in_up = number, ("before", "after")[place % 2]
        with pytest.raises(Killed):
            ramp(world)
        finish(world, outcome)
