"""A rollout that is killed at any record or in any update is resumed from its records alone, or safely rolled back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.domain.naming import Color
from rollout.controller import Controller, Subject
from rollout.journal.replay import missing_edits, run_to_resume
from rollout.model.errors import RefusedError
from rollout.model.machine import UNTOUCHED, Phase, ReapRequested, Rollout, advance
from rollout.model.plan import make_plan
from rollout.model.records import Kind, Started, UpdateBegun
from rollout.model.run import Run, last_run
from tests.rollout.fakes import NEW, OLD, SERVICE, World, copy_of, record
from tests.rollout.killable import Kill, KillableWorld, Killed, killed_worlds, kills

pytestmark = pytest.mark.slow


def begin(world: World) -> Rollout:
    settings = world.config.read()
    plan = make_plan(settings.idle_color, settings.rollout)
    return Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan))


def reap(world: World) -> Rollout:
    run = last_run(world.journal.kept)
    if run is not None and run.is_reap and not run.is_over:
        return Controller(world.ports(), Subject(service=SERVICE)).resume(run)
    settings = world.config.read()
    done = Rollout(plan=make_plan(settings.active_color, settings.rollout), phase=Phase.DONE)
    return Controller(world.ports(), Subject(service=SERVICE)).run(advance(done, ReapRequested()))


def resume(world: World) -> Rollout:
    """Do the same as `ramp --release new --resume`."""
    found = run_to_resume(last_run(world.journal.kept), NEW)
    if found is None:
        return begin(world)
    return Controller(world.ports(), Subject(service=SERVICE, release=found.release)).resume(found)


def assert_sound(world: World, active: Color) -> None:
    """Assert that config, rule and state agree, and that all traffic is on the active colour and its replicas."""
    settings, green_weight = world.config.read(), 100 if active == "green" else 0
    assert world.weights == {"blue": 100 - green_weight, "green": green_weight}
    assert settings.green_weight == world.state.green_weight == green_weight
    assert settings.active_color == world.state.active_color == active
    assert settings.rollout_serial == world.state.rollout_serial
    assert settings == world.state
    assert len(world.pods(active)) == 2


def bad() -> KillableWorld:
    """Return a world whose candidate fails from 25 % on."""
    world = KillableWorld()
    world.clock.on_sleep = partial(_fail_from_25, world, world.clock.on_sleep)
    return world


def _fail_from_25(world: World, count: Callable[[], None]) -> None:
    count()
    if world.weights["green"] >= 25:
        world.error_rate["green"] = 0.35


def onto_blue() -> KillableWorld:
    blue: dict[str, Any] = {"replicas": 2}
    return KillableWorld(
        active_color="green", green_weight=100, blue=blue, green={"replicas": 2, "release": OLD.model_dump(mode="json")}
    )


def over_a_former_release() -> KillableWorld:
    green = {"replicas": 2, "release": OLD.model_dump(mode="json")}
    return KillableWorld(keep_until="2026-11-20T08:00:00Z", green=green)


POLLS = {"poll_seconds": 60}


def quiet(make: Callable[[], KillableWorld]) -> Callable[[], KillableWorld]:
    """Poll rarely in the worlds that ``make`` returns: more polls would only add more records of the same kind."""

    def made() -> KillableWorld:
        world = make()
        world.poll_every(**POLLS)
        return world

    return made


@dataclass(frozen=True, kw_only=True)
class Course:
    """A rollout, and its result when nothing is killed."""

    make: Callable[[], KillableWorld]
    outcome: Phase
    active: Color
    kills: Sequence[Kill]
    updates: int


def course(make: Callable[[], KillableWorld]) -> Course:
    world, ends = make(), list[Rollout]()
    found = kills(world, lambda world: ends.append(begin(world)))
    return Course(
        make=make,
        outcome=ends[0].phase,
        active=world.config.read().active_color,
        kills=found,
        updates=world.ups_begun,
    )


WORLDS = {"good": KillableWorld, "bad": bad, "onto blue": onto_blue, "over a former release": over_a_former_release}
COURSES = {name: course(quiet(make)) for name, make in WORLDS.items()}


# The tests take the kills of one run after those of another.
left_behind = lru_cache(maxsize=1)(killed_worlds)


@pytest.mark.parametrize(
    ("name", "kill"),
    [
        (name, kill)
        for name, course in COURSES.items()
        for kill in course.kills
        # The other courses differ in a few records only.
        if name in ("good", "bad") or kill.at % 3 == 0
    ],
    ids=str,
)
def test_a_rollout_killed_at_any_record_ends_as_without_the_kill(name: str, kill: Kill) -> None:
    course = COURSES[name]
    follow_up(copy_of(left_behind(course.make, begin)[kill]), course.outcome, course.active)


@settings(max_examples=40)
@given(st.sampled_from(sorted(COURSES)), st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=6))
def test_a_rollout_killed_several_times_ends_as_without_the_kills(name: str, kills: list[tuple[int, bool]]) -> None:
    course = COURSES[name]
    world = course.make()
    for at, before in kills:
        if world.journal.of("finished"):
            break
        world.killable.reopen()
        world.killable.kill_at, world.killable.before = at, before
        try:
            resume(world)
        except Killed:
            continue
        break
    follow_up(world, course.outcome, course.active)


def follow_up(world: KillableWorld, outcome: Phase, active: Color) -> None:
    """Resume, and assert that the result is as without the kill."""
    finished = world.journal.of("finished")
    world.killable.reopen()
    assert_weights_follow_the_steps(world)
    if finished:
        with pytest.raises(RefusedError, match="nothing to resume"):
            run_to_resume(last_run(world.journal.kept), None)
    else:
        assert resume(world).phase is outcome
    assert_sound(world, active)
    assert_weights_follow_the_steps(world)
    assert world.journal.of("finished")[-1]["outcome"] in ("promoted", "rolled_back")
    if active != "blue" or outcome is Phase.DONE:
        return
    assert not world.pods("green"), "a refused candidate keeps no replicas"


def assert_weights_follow_the_steps(world: World) -> None:
    """Assert that each shift went to the next step or all the way back, and that no failing candidate got 100 %."""
    shares = world.shifts_of_traffic
    ladder = [0, 1, 25, 100] if shares[0] == 0 else [100, 99, 75, 0]
    for before, after in pairwise(shares):
        assert after == ladder[0] or after == ladder[ladder.index(before) + 1]
    if ladder[0] == 0 and max(world.error_rate.values()):
        assert 100 not in shares


@pytest.mark.parametrize("how", ["before", "weights", "after"])
@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, course in COURSES.items() for number in range(1, course.updates + 1)]
)
def test_a_rollout_killed_in_the_middle_of_an_update_ends_as_without_the_kill(name: str, how: str, number: int) -> None:
    course = COURSES[name]
    world = course.make()
    world.kill_in_up = number, how
    with pytest.raises(Killed):
        begin(world)
    world.kill_in_up = None
    follow_up(world, course.outcome, course.active)


@cache
def promoted() -> KillableWorld:
    world = quiet(KillableWorld)()
    begin(world)
    return world


def reaping() -> KillableWorld:
    world = copy_of(promoted())
    world.clock.elapsed += 3600
    world.killable.reopen()
    world.ups_begun = 0
    return world


def assert_reaped(world: KillableWorld) -> None:
    assert_sound(world, "green")
    blue = world.config.read().color("blue")
    assert blue.parked
    assert not blue.nodes_wanted
    assert not world.pods("blue")
    assert world.journal.of("finished")[-1]["outcome"] == "reaped"


@pytest.mark.parametrize("kill", kills(reaping(), reap), ids=str)
def test_a_reap_killed_at_any_record_is_finished_by_the_next(kill: Kill) -> None:
    world = copy_of(left_behind(reaping, reap)[kill])
    world.killable.reopen()
    assert not finished_run(world) or world.journal.of("finished")[-1]["outcome"] in ("reaped", "promoted")
    if world.journal.of("finished")[-1]["outcome"] != "reaped":
        assert reap(world).phase is Phase.REAPED
    assert_reaped(world)


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_reap_killed_in_the_middle_of_an_update_is_finished_by_the_next(how: str, number: int) -> None:
    world = reaping()
    world.kill_in_up = number, how
    with pytest.raises(Killed):
        reap(world)
    world.kill_in_up = None
    world.killable.reopen()
    assert reap(world).phase is Phase.REAPED
    assert_reaped(world)


def finished_run(world: World) -> bool:
    run = last_run(world.journal.kept)
    return run is not None and run.finished


def starved() -> KillableWorld:
    """Return a world with too few requests for a verdict from 25 % on. A rollout in it pauses."""
    world = KillableWorld()
    gates = {**world.config.values["rollout"]["gates"], "on_timeout": "pause"}
    rollout = {**world.config.values["rollout"], "gates": gates, **POLLS}
    world.config.values = {**world.config.values, "rollout": rollout}
    world.state = world.config.read()
    world.clock.on_sleep = partial(_starve_from_25, world, world.clock.on_sleep)
    return world


def _starve_from_25(world: World, count: Callable[[], None]) -> None:
    count()
    if world.weights["green"] >= 25 and not world.journal.of("woken"):
        world.requests_per_second = 0.0


def feed(world: World) -> None:
    world.journal.records.append({"kind": "woken", "phase": "", "at": world.clock.elapsed})
    world.requests_per_second = 100.0


def test_a_hold_without_a_verdict_pauses_keeps_its_weight_and_resumes_with_a_new_window() -> None:
    world = starved()
    paused = begin(world)
    assert paused.phase is Phase.PAUSED
    assert "no verdict after" in paused.reason
    assert world.weights["green"] == 25
    assert not world.journal.of("finished")
    world.clock.elapsed += 100_000  # nobody watches, so this time does not count
    feed(world)
    resumed_at = world.clock.elapsed
    world.killable.reopen()
    assert resume(world).phase is Phase.DONE
    to_full = next(one for one in world.journal.of("update") if one["at"] > resumed_at and one["status"] == "begun")
    assert to_full["green_weight"] == 100
    assert to_full["at"] - resumed_at >= 60
    assert_sound(world, "green")


def test_a_paused_rollout_that_still_sees_no_requests_pauses_again() -> None:
    world = starved()
    begin(world)
    world.killable.reopen()
    assert resume(world).phase is Phase.PAUSED
    assert world.weights["green"] == 25


def test_a_paused_rollout_can_be_rolled_back() -> None:
    world = starved()
    begin(world)
    plan = make_plan("green", world.config.read().rollout)
    state = Rollout(plan=plan, phase=Phase.ROLLING_BACK, reason="asked")
    assert Controller(world.ports(), Subject(service=SERVICE)).run(state).phase is Phase.ROLLED_BACK
    assert_sound(world, "blue")


@pytest.mark.parametrize("kill", kills(starved(), begin), ids=str)
def test_a_rollout_with_a_pause_that_is_killed_at_any_record_ends_promoted(kill: Kill) -> None:
    world = copy_of(left_behind(starved, begin)[kill])
    world.killable.reopen()
    if world.weights["green"] >= 25:
        feed(world)
    if resume(world).phase is Phase.PAUSED:
        feed(world)
        world.killable.reopen()
        assert resume(world).phase is Phase.DONE
    assert_sound(world, "green")


def killed_at(world: KillableWorld, green_weight: int) -> None:
    """Start a rollout, and kill it in the hold of this weight."""
    count = world.clock.on_sleep

    def kill() -> None:
        count()
        if world.journal.phase == Phase.HOLDING and world.weights["green"] == green_weight:
            raise Killed

    world.clock.on_sleep = kill
    with pytest.raises(Killed):
        begin(world)
    world.clock.on_sleep = count
    world.killable.reopen()


@pytest.mark.parametrize("moved_to", [0, 1, 50, 100])
def test_a_rule_that_somebody_has_changed_since_the_kill_is_a_reason_to_roll_back(moved_to: int) -> None:
    world = KillableWorld()
    killed_at(world, 25)
    world.set_green_weight(moved_to)
    assert resume(world).phase is Phase.ROLLED_BACK
    assert "somebody has changed the rule since" in world.journal.of("decision")[-1]["reason"]
    assert_sound(world, "blue")


def test_a_stop_that_the_killed_process_missed_takes_effect_at_the_resume() -> None:
    world = KillableWorld()
    killed_at(world, 25)
    run = last_run(world.journal.kept)
    assert run is not None
    controller = Controller(world.ports(), Subject(service=SERVICE, release=run.release))
    assert controller.resume(run, "users complain").phase is Phase.ROLLED_BACK
    assert world.journal.of("decision")[-1]["reason"] == "users complain"
    assert_sound(world, "blue")


def test_the_time_without_a_process_does_not_count_for_a_hold() -> None:
    world = KillableWorld()
    killed_at(world, 25)
    world.clock.elapsed += 5000
    resumed_at = world.clock.elapsed
    assert resume(world).phase is Phase.DONE
    begun = [one["at"] for one in world.journal.of("update") if one["at"] > resumed_at and one["status"] == "begun"]
    assert begun[0] - resumed_at >= 60


def test_the_baseline_from_before_the_ramp_is_still_known_in_the_last_step() -> None:
    world = KillableWorld()
    killed_at(world, 100)
    run = last_run(world.journal.kept)
    assert run is not None
    assert run.baseline_p95_seconds is not None


def test_a_stale_config_file_gets_the_edits_of_updates_from_elsewhere() -> None:
    world = KillableWorld()
    stale = world.config.values
    killed_at(world, 25)
    current = world.config.values
    world.config.values = stale
    settings = world.config.read()
    edits = missing_edits(
        world.journal.kept, config_serial=settings.rollout_serial, rule_serial=world.rule().rollout_serial
    )
    world.config.edit(edits)
    assert world.config.values == current
    assert not missing_edits(
        world.journal.kept,
        config_serial=world.config.read().rollout_serial,
        rule_serial=world.rule().rollout_serial,
    )
    assert resume(world).phase is Phase.DONE
    assert_sound(world, "green")


def test_a_stale_config_file_does_not_get_the_edits_of_an_update_without_effect() -> None:
    world = KillableWorld()
    stale = world.config.values
    world.kill_in_up = 3, "before"  # the shift to 1 %
    with pytest.raises(Killed):
        begin(world)
    world.kill_in_up = None
    intended = world.config.read()
    assert intended.green_weight == 1
    world.config.values = stale
    serial = world.rule().rollout_serial
    edits = missing_edits(world.journal.kept, config_serial=world.config.read().rollout_serial, rule_serial=serial)
    assert edits["rollout_serial"] == serial < intended.rollout_serial
    assert "green_weight" not in edits
    world.config.edit(edits)
    assert world.config.read() == world.state
    world.killable.reopen()
    assert resume(world).phase is Phase.DONE


def test_a_config_file_from_before_the_first_record_is_refused() -> None:
    update = UpdateBegun(serial=7, green_weight=1, message="", color=None, edits={"green_weight": 1})
    records = [record(update)]
    assert missing_edits(records, config_serial=6, rule_serial=7) == {"green_weight": 1, "rollout_serial": 7}
    with pytest.raises(RefusedError, match=r"the config file says 5, the live rule 7, .* no update before 7; pull"):
        missing_edits(records, config_serial=5, rule_serial=7)
    assert missing_edits([], config_serial=5, rule_serial=7) == {}


def run_at(phase: Phase, **fields: Any) -> Run:
    plan = make_plan("green", World().config.read().rollout)
    return Run(rollout_id="r1", rollout=Rollout(plan=plan, phase=phase), **fields)


def test_a_finished_run_is_not_resumed_and_a_release_starts_a_new_one() -> None:
    for run in (None, run_at(Phase.REAPED), run_at(Phase.HOLDING, finished=True), run_at(Phase.REAPING)):
        assert run_to_resume(run, NEW) is None
        with pytest.raises(RefusedError, match="nothing to resume"):
            run_to_resume(run, None)
    with pytest.raises(RefusedError, match=r"run scripts\.reap again"):
        run_to_resume(run_at(Phase.REAPING), None)


def test_a_run_that_lacks_only_its_last_record_is_resumed_instead_of_a_new_rollout() -> None:
    run = run_at(Phase.DONE, release=NEW)
    assert run_to_resume(run, NEW) is run
    assert run_to_resume(run, OLD) is None
    assert not run.is_unfinished_rollout


def test_an_unfinished_rollout_of_another_release_is_named() -> None:
    run = run_at(Phase.HOLDING, release=OLD)
    assert run_to_resume(run, OLD) is run
    assert run_to_resume(run, None) is run
    with pytest.raises(RefusedError, match=f"unfinished: release {OLD.release_id} onto green .holding, step 1."):
        run_to_resume(run, NEW)


def test_an_unfinished_rollout_that_changed_nothing_is_not_in_another_release_s_way() -> None:
    for phase in UNTOUCHED:
        run = run_at(phase, release=OLD)
        assert run_to_resume(run, OLD) is run
        assert run_to_resume(run, None) is run
        assert run_to_resume(run, NEW) is None


def test_a_rollback_of_a_finished_rollout_that_was_killed_is_finished() -> None:
    world = KillableWorld()
    begin(world)
    world.killable.reopen()
    world.killable.kill_at = 4
    plan = make_plan("green", world.config.read().rollout)
    with pytest.raises(Killed):
        Controller(world.ports(), Subject(service=SERVICE)).run(Rollout(plan=plan, phase=Phase.ROLLING_BACK))
    world.killable.reopen()
    run = run_to_resume(last_run(world.journal.kept), None)
    assert run is not None
    assert Controller(world.ports(), Subject(service=SERVICE)).resume(run).phase is Phase.ROLLED_BACK
    assert_sound(world, "blue")


def test_every_kind_of_record_that_a_rollout_writes_is_a_known_one() -> None:
    kinds: set[str] = set()
    for make in (KillableWorld, bad, starved, reaping):
        world = make()
        (reap if make is reaping else begin)(world)
        kinds |= {one["kind"] for one in world.journal.records}
    assert kinds <= set(Kind)
    # Other commands write the others, or they need settings that these worlds do not have.
    assert set(Kind) - kinds <= {
        Kind.LOCK,
        Kind.DRILL,
        Kind.KEEPING,
        Kind.KEPT,
        Kind.SKIPPED,
        Kind.HOOK,
        Kind.RESIZED,
        Kind.FLOOR,
    }


def test_the_record_of_the_start_has_everything_that_a_resume_needs() -> None:
    world = KillableWorld()
    begin(world)
    run = last_run([one for one in world.journal.kept if isinstance(one.body, Started)])
    assert run is not None
    assert run.release == NEW
    assert run.rollout.plan == make_plan("green", World().config.read().rollout)
    assert not run.is_over
