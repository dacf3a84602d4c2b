"""What the commands do beside driving the state machine, on fakes."""

from typing import Any, cast

import pytest

from components.domain.moments import format_rfc3339
from rollout.commands import adopt, drill, keep, ramp, reap, roll_back, roll_back_own
from rollout.controller import Controller, Subject
from rollout.direct_update import send_back_by
from rollout.model.errors import KeepWarmError, NotWarmError, RefusedError
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import make_plan
from rollout.model.records import LockTaken, PhaseBegun, Record, Started, state_of
from rollout.model.run import Run, last_run
from rollout.ports import Ports
from rollout.session import Session
from rollout.steps.updates import Updater
from tests.rollout.fakes import NEW, OLD, SERVICE, World

HOUR = 3600.0


class _Stop:
    def listen(self) -> None: ...

    def shield(self) -> None: ...


class _Lock:
    """A lock that is held while it is entered."""

    def __init__(self) -> None:
        self.held = False

    def __enter__(self) -> None:
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False

    def owner(self) -> None:
        """Return None: no other process has it."""


class FakeSession:
    """A session on a fake world. The next command reads its journal."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.service = SERVICE
        self.stop = _Stop()
        self.clock = world.clock
        self.config = world.config
        self.load_balancer = world
        self.unfinished = False
        self.last_run: Run | None = None
        self.lock = _Lock()
        self.reports = 0

    def store_report(self) -> None:
        assert self.lock.held
        self.reports += 1

    @property
    def records(self) -> list[Record]:
        """The journal."""
        return self.world.journal.kept

    def history(self) -> list[Record]:
        return self.records

    def settings(self) -> Any:
        return self.world.config.read()

    def ports(self) -> Ports:
        assert self.lock.held
        return self.world.ports(rule_changed_at=self.world.clock.now())


def session(world: World) -> Session:
    return cast(Session, FakeSession(world))


def promoted_world(world: World | None = None) -> World:
    world = world or World()
    plan = make_plan("green", world.config.read().rollout)
    assert Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan)).phase is Phase.DONE
    return world


def refusal(world: World, **changes: Any) -> str:
    asked = session(world)
    for name, value in changes.items():
        setattr(asked, name, value)
    ups = len(world.ups)
    with pytest.raises(RefusedError) as refused:
        reap(asked)
    assert len(world.ups) == ups
    return str(refused.value)


def test_a_colour_keep_warm_until_is_not_reaped() -> None:
    world = promoted_world()
    with pytest.raises(KeepWarmError, match=r"keep_until: blue is kept warm until .*scripts\.keep .*--shorten"):
        reap(session(world))


def test_after_its_time_a_colour_is_reaped_and_what_it_cost_is_reported() -> None:
    world = promoted_world()
    world.clock.sleep(HOUR)
    asked = session(world)
    rollout = reap(asked)
    assert rollout is not None
    assert rollout.phase is Phase.REAPED
    assert cast(Any, asked).reports == 1
    blue = world.config.read().color("blue")
    assert (blue.parked, blue.provisioned) == (True, False)
    (reported,) = world.journal.of("keeping")
    # Two g6e.2xlarge, for the soak and an hour.
    assert reported["usd_per_hour"] == 4.48416
    assert 4.48 < reported["usd_so_far"] < 4.8
    assert reported["brought_up"].startswith("bringing green up (nodes and replicas) took 6 s")
    assert reap(session(world)) is None


def test_where_nothing_is_left_to_reap_nothing_is_asked_of_the_active_colour() -> None:
    world = World()
    world.error_rate["green"] = 0.3
    plan = make_plan("green", world.config.read().rollout)
    # The release that serves, onto fresh nodes: it is rolled back, and the candidate's nodes are given back.
    rollout = Controller(world.ports(), Subject(service=SERVICE, release=OLD)).run(Rollout(plan=plan))
    assert rollout.phase is Phase.ROLLED_BACK
    world.healthy["blue"] = 1
    assert reap(session(world)) is None


def test_a_reaped_colour_takes_the_next_release_and_the_time_it_took_is_in_the_journal() -> None:
    world = promoted_world()
    world.clock.sleep(HOUR)
    reap(session(world))
    plan = make_plan("blue", world.config.read().rollout)
    assert Controller(world.ports(), Subject(service=SERVICE, release=OLD)).run(Rollout(plan=plan)).phase is Phase.DONE
    assert [(one["color"], one["with_nodes"]) for one in world.journal.of("ready")] == [("green", True), ("blue", True)]
    assert world.shifts_of_traffic == [0, 1, 25, 100, 99, 75, 0]


def test_everything_that_forbids_a_reap_is_reported_at_once() -> None:
    world = promoted_world()
    world.clock.sleep(HOUR)
    world.config.edit({"rolling_out": True})
    world.healthy["green"] = 1
    world.weights = {"blue": 10, "green": 90}
    reported = refusal(world)
    for part in ("green_weight: blue still has weight 10", "rolling_out: is true", "green: has 1 healthy targets of 2"):
        assert part in reported


def test_an_unfinished_rollout_forbids_a_reap() -> None:
    assert "the last rollout is unfinished" in refusal(promoted_world(), unfinished=True)


def test_running_streams_hold_a_reap_up() -> None:
    world = promoted_world()
    world.clock.sleep(HOUR)
    world.running_for_ever = True
    rollout = reap(session(world))
    assert rollout is not None
    assert rollout.phase is Phase.FAILED
    assert "blue is not idle after" in rollout.reason
    assert world.config.read().color("blue").serves


def test_a_promise_is_moved_by_one_previewed_update() -> None:
    world = promoted_world()
    before, ups, serial = world.config.read().keep_until, len(world.ups), world.config.read().rollout_serial
    keep(session(world), "+24h", "")
    after = world.config.read()
    assert before is not None
    assert after.keep_until is not None
    assert after.keep_until > before
    assert world.rule().keep_until == after.keep_until
    assert len(world.ups) == ups + 1
    assert after.rollout_serial == serial + 1
    (record,) = world.journal.of("kept")
    assert (record["former"], record["until"], record["reason"]) == (
        format_rfc3339(before),
        format_rfc3339(after.keep_until),
        "",
    )
    assert world.journal.of("keeping")[-1]["usd_per_hour"] == 4.48416


def test_a_promise_is_shortened_with_a_reason_only() -> None:
    world = promoted_world()
    before = world.config.read().keep_until
    with pytest.raises(RefusedError, match=r"--shorten \"<reason>\""):
        keep(session(world), "+10m", "")
    assert world.config.read().keep_until == before
    keep(session(world), "+10m", "the GPUs are needed elsewhere")
    shortened = world.config.read().keep_until
    assert before is not None
    assert shortened is not None
    assert shortened < before
    assert world.journal.of("kept")[0]["reason"] == "the GPUs are needed elsewhere"
    assert world.ups[-1][0].endswith(": the GPUs are needed elsewhere")


def test_once_a_keep_writes_it_is_not_cut_off_and_before_that_it_is() -> None:
    world = promoted_world()
    shielded: list[int] = []

    class Stop(_Stop):
        def shield(self) -> None:
            shielded.append(world.config.read().rollout_serial)

    one = FakeSession(world)
    one.stop = Stop()
    before = world.config.read().rollout_serial
    with pytest.raises(RefusedError):
        keep(cast(Session, one), "+10m", "")
    assert shielded == []
    keep(cast(Session, one), "+24h", "")
    assert shielded == [before]


def test_a_foreign_change_stops_a_keep_before_it_begins() -> None:
    world = promoted_world()
    world.refused_by_policy = "no changes on Fridays"
    before = world.config.read()
    with pytest.raises(RefusedError, match="no changes on Fridays"):
        keep(session(world), "+24h", "")
    assert world.config.read() == before


def test_nothing_is_kept_where_nothing_runs() -> None:
    with pytest.raises(RefusedError, match="green runs no replicas"):
        keep(session(World()), "+24h", "")


def test_a_stale_file_takes_the_live_values_over() -> None:
    world = promoted_world()
    newest = world.config.read()
    world.config.edit({"green_weight": 0, "active_color": "blue", "keep_until": "", "rollout_serial": 0})
    written = adopt(session(world))
    assert set(written) == {"green_weight", "active_color", "keep_until", "rollout_serial"}
    assert world.config.read() == newest
    assert adopt(session(world)) == {}


def test_a_file_without_the_live_release_is_not_adopted_for() -> None:
    world = promoted_world()
    world.config.edit({"green.release": OLD.model_dump(mode="json"), "rollout_serial": 0})
    before = world.config.read()
    with pytest.raises(RefusedError, match=r"green\.release: the file has"):
        adopt(session(world))
    assert world.config.read() == before


def broken_off_drill() -> World:
    """Return a world after a promotion and a drill whose process was killed at one percent."""
    world = promoted_world()
    ports = world.ports()
    Updater(ports, SERVICE).change_weight(99, message="drill")
    assert world.weights["blue"] == 1
    return world


@pytest.mark.parametrize("sent_back_already", [True, False])
def test_a_drill_that_was_killed_is_undone_and_leaves_the_way_back_warm(sent_back_already: bool) -> None:
    world = broken_off_drill()
    kept = world.config.read().keep_until
    moved = send_back_by(world, world.clock.now(), force=False) if sent_back_already else None
    rollout = roll_back(session(world), "a drill was killed", moved)
    assert rollout.phase is Phase.ROLLED_BACK
    settings = world.config.read()
    assert world.weights["green"] == settings.green_weight == world.state.green_weight == 100
    assert settings.active_color == world.state.active_color == "green"
    assert settings.rollout_serial == world.state.rollout_serial
    assert len(world.pods("blue")) == 2
    assert settings.keep_until == world.state.keep_until == kept
    assert world.journal.of("parked") == []
    assert world.journal.of("note")[-1]["text"] == "blue stays warm as the way back, until its keep-warm window ends"


def test_a_ramp_that_was_killed_is_undone_and_its_candidate_parked() -> None:
    world = World(green={"replicas": 2, "release": NEW.model_dump(mode="json")}, green_weight=25)
    asked = session(world)
    cast(Any, asked).unfinished = True
    assert roll_back(asked, "a ramp was killed").phase is Phase.ROLLED_BACK
    assert cast(Any, asked).reports == 1
    assert world.weights["green"] == world.config.read().green_weight == world.state.green_weight == 0
    assert not world.pods("green")


def test_a_rollback_from_a_checkout_of_before_the_rollout_parks_the_candidate_anyway() -> None:
    world = World()
    stale = world.config.values
    plan = make_plan("green", world.config.read().rollout)
    Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan))
    world.config.values = stale
    assert world.config.read().green.release is None
    moved = send_back_by(world, world.clock.now(), force=False)
    assert moved is not None
    assert roll_back(session(world), "latencies", moved).phase is Phase.ROLLED_BACK
    settings = world.config.read()
    assert settings == world.state
    assert settings.active_color == "blue"
    assert settings.green.release == NEW
    assert settings.green.parked
    assert not world.pods("green")


def test_a_rollout_in_the_way_is_reported_with_all_else_that_is() -> None:
    world = World()
    world.set_green_weight(10)
    asked = session(world)
    plan = make_plan("green", world.config.read().rollout)
    cast(Any, asked).last_run = Run(rollout_id="r1", rollout=Rollout(plan=plan, phase=Phase.HOLDING), release=OLD)
    with pytest.raises(RefusedError) as refused:
        ramp(asked, NEW)
    unfinished, *others = str(refused.value).splitlines()
    assert unfinished.startswith(f"a rollout is unfinished: release {OLD.release_id} onto green (holding, step 1)")
    assert any(other.startswith("green_weight: the live rule splits") for other in others)
    assert world.journal.records == []


RUN = "https://github.example/acme/models/actions/runs/4711"
ELSEWHERE = "https://github.example/acme/models/actions/runs/4712"


class JournalledSession(FakeSession):
    """A session that knows its last run from the world's journal."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.read()

    def read(self) -> None:
        self.last_run = run = last_run(self.records)
        self.unfinished = run is not None and run.is_unfinished_rollout and not run.is_untouched

    def ports(self) -> Ports:
        self.read()
        return super().ports()


def killed_ramp(world: World, phase: Phase, run_url: str = RUN) -> JournalledSession:
    """Write what a ramp onto the idle colour has written when it is killed in this phase."""
    settings, journal = world.config.read(), world.journal
    rollout = Rollout(plan=make_plan(settings.idle_color, settings.rollout))
    journal.rollout_id, journal.phase = "r2", Phase.PLANNED
    journal.write(LockTaken(by="ramp", before="", run_url=run_url))
    candidate = rollout.plan.candidate
    journal.write(
        Started(
            plan=rollout.plan,
            release=OLD,
            **state_of(rollout),
            service=SERVICE,
            candidate=candidate,
            release_id=OLD.release_id,
            previous_release_id=None,
            green_weight=settings.green_weight,
        )
    )
    journal.phase = phase
    journal.write(PhaseBegun(**state_of(rollout)))
    return JournalledSession(world)


def test_a_job_that_is_killed_in_preflight_leaves_the_promotion_before_it_as_it_is() -> None:
    world = promoted_world()
    asked = killed_ramp(world, Phase.PREFLIGHT)
    before = (dict(world.weights), world.config.read(), len(world.ups))
    assert roll_back_own(cast(Session, asked), "the job was cancelled", RUN) is None
    assert (dict(world.weights), world.config.read(), len(world.ups)) == before
    assert world.weights["green"] == 100
    assert world.journal.of("finished")[-1]["outcome"] == "refused"
    ended = last_run(world.journal.kept)
    assert ended is not None
    assert ended.is_over
    assert ended.rollout.reason == "its process ended before it changed anything"


def test_a_job_that_is_killed_later_is_undone() -> None:
    world = World(green={"replicas": 2, "release": NEW.model_dump(mode="json")}, green_weight=25)
    asked = killed_ramp(world, Phase.HOLDING)
    rollout = roll_back_own(cast(Session, asked), "the job was cancelled", RUN)
    assert rollout is not None
    assert rollout.phase is Phase.ROLLED_BACK
    assert world.weights["green"] == world.config.read().green_weight == 0
    assert not world.pods("green")


@pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.HOLDING])
def test_what_another_run_has_left_is_not_this_job_s_to_undo(phase: Phase) -> None:
    world = World(green={"replicas": 2, "release": NEW.model_dump(mode="json")}, green_weight=25)
    asked = killed_ramp(world, phase, ELSEWHERE)
    records = len(world.journal.kept)
    assert roll_back_own(cast(Session, asked), "the job was cancelled", RUN) is None
    assert world.weights["green"] == 25
    assert len(world.journal.kept) == records


def test_a_promotion_that_stands_is_not_a_job_s_to_undo() -> None:
    world = promoted_world()
    asked = JournalledSession(world)
    assert roll_back_own(cast(Session, asked), "the job was cancelled", RUN) is None
    assert world.weights["green"] == 100


def test_a_rollout_that_was_killed_in_preflight_is_in_nobody_s_way() -> None:
    world = promoted_world()
    world.clock.sleep(HOUR)
    asked = killed_ramp(world, Phase.PREFLIGHT)
    rollout = reap(cast(Session, asked))
    assert rollout is not None
    assert rollout.phase is Phase.REAPED
    assert [one["outcome"] for one in world.journal.of("finished")] == ["promoted", "refused", "reaped"]


def test_after_a_rollout_that_was_killed_in_preflight_another_release_starts() -> None:
    world = World()
    asked = killed_ramp(world, Phase.PREFLIGHT)
    assert ramp(cast(Session, asked), NEW, resume=True).phase is Phase.DONE
    assert [one["outcome"] for one in world.journal.of("finished")] == ["refused", "promoted"]


def test_without_a_warm_colour_there_is_no_drill() -> None:
    world = World()
    with pytest.raises(NotWarmError, match="green: serves nothing, so there is no way back to practise"):
        drill(session(world))
    world.config.edit({"rolling_out": True})
    with pytest.raises(RefusedError) as refused:
        drill(session(world))
    assert not isinstance(refused.value, NotWarmError)
