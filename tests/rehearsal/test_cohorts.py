"""A cohort in a world: its tenant gets only the candidate's answers, everybody else only the other colour's."""

from collections.abc import Generator, Sequence
from datetime import datetime
from pathlib import Path
from signal import SIGTERM, Signals

import pytest

from rehearsal.load.records import Record as Request
from rehearsal.report.journal import Record, of_kind
from rehearsal.world.checkout import STACK
from rehearsal.world.leftovers import left_running
from rehearsal.world.settings import RehearsalSettings
from scripts.console import EXIT_ROLLED_BACK
from tests.faults.stage import Stage, stage

pytestmark = [pytest.mark.long_world, pytest.mark.timeout(1500)]

FRIEND = "acme"
CONFIG = {
    "rollout": {
        "cohorts": [{"name": "friends", "priority": 20, "header": "X-Tenant", "values": ["ACME", "umbrella-*"]}],
        "steps": [
            {"cohort": "friends", "hold_seconds": 3},
            {"candidate_percent": 50, "hold_seconds": 3},
            {"candidate_percent": 100, "hold_seconds": 2},
        ],
        "soak_seconds": 2,
        "keep_warm_seconds": 1,
        "poll_seconds": 0.3,
    },
}
SETTINGS = RehearsalSettings(
    open_streams=40, requests_per_second=30, tenants=f"{FRIEND},globex,initech,hooli", config=CONFIG
)


@pytest.fixture(scope="module")
def running(control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    folder = tmp_path_factory.mktemp("cohorts") / "world"
    with stage(folder, control_plane_binaries, lambda _: None, SETTINGS, with_policies=True) as started:
        yield started
    assert left_running(folder) == []


def moment(record: Record) -> float:
    return datetime.fromisoformat(record["at"]).timestamp()


def colors(requests: Sequence[Request], begin: float, end: float, *, friends: bool) -> set[str | None]:
    """Return the colours that answered requests of a window: the friend's, or those of all others."""
    chosen = [one for one in requests if begin <= one.started_at < end and (one.tenant == FRIEND) is friends]
    assert len(chosen) > 5, "too few requests to tell"
    return {one.color for one in chosen}


def weights(records: Sequence[Record], status: str) -> list[Record]:
    return list(of_kind(records, "weight", status=status))


def test_a_rollback_takes_the_cohort_back_before_anybody_else_got_the_candidate(running: Stage) -> None:
    def signal_at(record: Record) -> Signals | None:
        first = record["kind"] == "phase" and record["phase"] == "holding" and record["step"] == 0
        return SIGTERM if first else None

    running.new_requests()
    played = running.play("ramp", *running.release("b"), signal_at=signal_at)
    assert played.exit_code == EXIT_ROLLED_BACK, played.output
    requests = running.new_requests()
    assert [str(one) for one in requests if one.failed] == []
    assert {one.color for one in requests if one.tenant != FRIEND} == {"blue"}
    assert {one.color for one in requests if one.tenant == FRIEND} == {"blue", "green"}
    back = moment(next(of_kind(played.records, "rule", how="up", green_weight=0, phase="rolling_back")))
    assert colors(requests, back, back + 60, friends=True) == {"blue"}
    assert running.disagreements() == []
    assert running.config()["cohorts_on_candidate"] == []


def test_the_cohort_gets_only_the_candidate_from_its_step_on_and_all_others_follow_the_weights(running: Stage) -> None:
    running.new_requests()
    played = running.play("ramp", *running.release("b"))
    assert played.exit_code == 0, played.output
    requests = running.new_requests()
    assert [str(one) for one in requests if one.failed] == []
    (friends, half, _), (asked, *_) = weights(played.records, "done"), weights(played.records, "begun")
    then = moment(weights(played.records, "begun")[1])
    assert (friends["cohort"], half["cohort"]) == ("friends", "")
    # Before its step, nobody gets the candidate.
    assert colors(requests, 0, moment(asked), friends=True) == {"blue"}
    # During it, the cohort gets nothing else, and nobody else gets it.
    assert colors(requests, moment(friends), then, friends=True) == {"green"}
    assert colors(requests, moment(friends), then, friends=False) == {"blue"}
    # Later steps, the promotion and the soak do not concern it; all others are split.
    last = max(one.started_at for one in requests)
    assert colors(requests, then, last, friends=True) == {"green"}
    assert colors(requests, moment(half), last, friends=False) == {"blue", "green"}
    assert [one["proof"] for one in of_kind(played.records, "attested")][:1] == ["cohort"]
    updates = [one for one in of_kind(played.records, "update", status="begun") if "cohort" in one["message"]]
    assert [one["edits"]["cohorts_on_candidate"] for one in updates] == [["friends"]]
    assert running.disagreements() == []
    assert running.config()["cohorts_on_candidate"] == []
    running.world.run(
        "plain-preview", "pulumi", "preview", "--non-interactive", "--stack", STACK, "--expect-no-changes"
    )
