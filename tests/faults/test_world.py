"""One cell for each fault, and rollouts that are killed or asked to end, in one world under live traffic."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from components.domain.moments import parse_rfc3339
from rehearsal.world.leftovers import left_running
from rollout.adapters.notifier import ATTEMPT_SECONDS
from rollout.model.records import Kind
from scripts.console import EXIT_DONE, EXIT_ROLLED_BACK
from tests.faults.cells import Fault
from tests.faults.kills import CI_GRACE_SECONDS, kill_after_each, terminate_in_a_hold
from tests.faults.stage import Stage, stage
from tests.faults.world_cells import BAD_RELEASE, SAMPLED, run_all
from tests.faults.world_faults import WORLD_FAULTS, small_disk
from tests.webhook import SECRET, serving

pytestmark = [pytest.mark.long_world, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def running(control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    """A world in which release A serves under live traffic."""
    folder = tmp_path_factory.mktemp("faults") / "world"
    with stage(folder, control_plane_binaries, lambda _: None) as started:
        yield started
    assert left_running(folder) == []


def test_a_world_can_have_every_fault_except_a_clock_jump() -> None:
    assert set(Fault) - set(WORLD_FAULTS) == {Fault.CLOCK_JUMP}
    assert all(how.sampled in how.moments for how in WORLD_FAULTS.values())


@pytest.mark.parametrize("third", [0, 1, 2], ids=["first-third", "second-third", "last-third"])
def test_a_rollout_survives_one_cell_of_each_fault(running: Stage, third: int) -> None:
    with small_disk(running) as disk_can_be_filled:
        cells = [cell for cell in SAMPLED[third::3] if cell.fault is not Fault.DISK_FULL or disk_can_be_filled]
        trials = list(run_all(running, cells))
    assert sorted(trial.cell for trial in trials) == sorted(cells)
    assert [str(trial) for trial in trials if not trial.survived] == []
    assert all(trial.requests for trial in trials)


ON_THE_WAY = frozenset(
    {Kind.LOCK, Kind.STARTED, Kind.TAKEN_UP, Kind.PHASE, Kind.RESULT, Kind.UPDATE, Kind.WEIGHT, Kind.RULE, Kind.VERDICT}
    | {Kind.ATTESTED, Kind.BASELINE, Kind.DECISION, Kind.PROMOTED, Kind.READY, Kind.SERVING}
)
ON_THE_WAY_BACK = frozenset({Kind.DECISION, Kind.PARKED, Kind.NODES_RELEASED})
# No kill follows the last record, because there is nothing to resume; a drill or a changed keep-warm window, which are
# not rollouts; or a note, a hook, a skipped check or another number of replicas, which not every rollout writes.
WITHOUT_KILL = frozenset(
    {Kind.FINISHED, Kind.DRILL, Kind.KEPT, Kind.KEEPING, Kind.NOTE, Kind.HOOK, Kind.SKIPPED, Kind.RESIZED, Kind.FLOOR}
)


def test_every_kind_of_record_is_in_one_of_the_lists() -> None:
    assert set(Kind) == ON_THE_WAY | ON_THE_WAY_BACK | WITHOUT_KILL


@pytest.mark.parametrize(
    ("release", "kinds", "exit_code"),
    [(None, ON_THE_WAY, EXIT_DONE), (BAD_RELEASE, ON_THE_WAY_BACK, EXIT_ROLLED_BACK)],
    ids=["a good release", "a bad one"],
)
def test_a_rollout_killed_after_a_record_of_each_kind_is_resumed_and_ends_as_expected(
    running: Stage, release: str | None, kinds: frozenset[str], exit_code: int
) -> None:
    candidate = running.idle
    killed = kill_after_each(running, lambda: release or running.next_good_release(), kinds)
    assert kinds == set(killed.kinds)
    assert [played.output for played in killed.ended if played.exit_code != exit_code] == []
    assert running.disagreements() == []
    assert [str(request) for request in killed.failed if not (release and request.color == candidate)] == []


@contextmanager
def notifying(stage: Stage, *urls: str) -> Generator[None]:
    """Have the scripts send signed notifications to these URLs during a ``with`` block."""
    secret = stage.world.folder / "webhook-secret"
    secret.write_text(SECRET)
    targets: list[dict[str, Any]] = []
    for number, url in enumerate(urls):
        place = stage.world.folder / f"webhook-{number}"
        place.write_text(url)
        webhook = {"url_from": {"file": str(place)}, "signing_secret_from": {"file": str(secret)}}
        targets.append({"webhook": webhook})
    stage.set_notifications(targets)
    try:
        yield
    finally:
        stage.set_notifications([])


def test_a_rollout_that_is_asked_to_end_in_a_hold_rolls_back_and_no_webhook_delays_it(running: Stage) -> None:
    active = running.config()["active_color"]
    running.new_requests()
    with serving() as (hanging, hanging_url), serving() as (server, url):
        hanging.hang = Event()
        with notifying(running, hanging_url, url):
            played = terminate_in_a_hold(running, running.next_good_release())
    assert played.exit_code == EXIT_ROLLED_BACK, played.output
    asked = next(one for one in played.records if one["kind"] == "phase" and one["phase"] == "holding" and one["step"])
    back = next(one for one in played.records if one["kind"] == "rule" and one["how"] == "direct")
    waited = parse_rfc3339(back["at"]) - parse_rfc3339(asked["at"])
    assert waited.total_seconds() < ATTEMPT_SECONDS, "the one that hangs takes at least this long"
    assert "rollout.notifications[0].webhook: " in played.output
    assert hanging.events[0] == "started"
    assert (server.events[0], server.events[-1]) == ("started", "ended")
    assert {"step_in_effect", "rollback"} <= set(server.events)
    assert server.all_genuine
    assert running.config()["active_color"] == active
    assert running.disagreements() == []
    assert played.records[-1]["kind"] == "finished"
    assert "SIGTERM" in played.records[-1]["reason"]
    assert [str(request) for request in running.new_requests() if request.failed] == []


def test_a_cancelled_ci_job_sends_traffic_back_and_a_resume_finishes_the_rollback(running: Stage) -> None:
    active = running.config()["active_color"]
    running.new_requests()
    played = terminate_in_a_hold(running, running.next_good_release(), grace_seconds=CI_GRACE_SECONDS)
    # All traffic is back by now, whatever else remains to be done.
    assert running.green_weight() == (100 if active == "green" else 0)
    if played.exit_code is None:
        resumed = running.play("ramp", "--resume")
        assert resumed.exit_code == EXIT_ROLLED_BACK, resumed.output
    assert running.disagreements() == []
    assert running.journal.records[-1]["kind"] == "finished"
    assert [str(request) for request in running.new_requests() if request.failed] == []
