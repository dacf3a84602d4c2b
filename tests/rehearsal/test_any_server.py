"""A world whose pods run another server: a bad release is caught, a good one is promoted, and no request is lost."""

import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rehearsal.report.journal import JournalTail
from rehearsal.report.result import Evidence, read_requests, scenario_results
from rehearsal.report.rule import rule_changes
from rehearsal.report.view import LiveView
from rehearsal.scenarios.scenarios import Scenarios
from rehearsal.world.checkout import SERVICE, STACK
from rehearsal.world.leftovers import left_running
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.world import CommandError, World, world

pytestmark = [pytest.mark.long_world, pytest.mark.timeout(600)]

OTHER = Path(__file__).parent / "other_server.py"
# Two steps and short times; the rest is the rehearsal's own config.
CONFIG = {
    "rollout": {
        "steps": [{"candidate_percent": 2, "hold_seconds": 3}, {"candidate_percent": 100, "hold_seconds": 3}],
        "soak_seconds": 2,
    }
}


def scenarios_in(running: World, settings: RehearsalSettings) -> Scenarios:
    journal = JournalTail(running.checkout / ".rollout" / STACK / f"{SERVICE}.jsonl")
    return Scenarios(running, settings, LiveView(Console(quiet=True)), journal)


@pytest.fixture(scope="module")
def results(control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The results of release C and then B, both onto green, with A on blue."""
    folder = tmp_path_factory.mktemp("any-server") / "world"
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(OTHER))}"
    settings = RehearsalSettings(pod_command=command, open_streams=80, config=CONFIG)
    with world(folder, settings, control_plane_binaries, lambda _: None) as running:
        scenarios = scenarios_in(running, settings)
        scenarios.first_release()
        with scenarios.traffic():
            scenarios.bad_release()
            scenarios.release()
        journal = JournalTail(running.checkout / ".rollout" / STACK / f"{SERVICE}.jsonl")
        journal.look()
        requests = read_requests(running.requests_log, running.access_log)
        found = scenario_results(
            Evidence(
                requests=requests,
                rule_changes=rule_changes(running.aws),
                journal=journal.records,
                windows=scenarios.windows,
            )
        )
    assert left_running(folder) == []
    return found


def test_a_starved_release_is_caught_at_the_first_step(results: Mapping[str, Any]) -> None:
    bad = results["bad_release"]
    assert (bad["outcome"], bad["caught_at_green_weight"]) == ("rolled_back", 2)
    assert bad["rollback_seconds"]["decision_to_rule"] < 5
    assert bad["requests"]["failed_elsewhere"] == 0
    assert bad["requests"]["streams_broken"] == 0
    assert bad["nodes_after"] == bad["nodes_before"]


def test_a_good_release_is_promoted_and_nothing_is_lost(results: Mapping[str, Any]) -> None:
    good = results["release"]
    assert good["outcome"] == "promoted"
    assert [step["green_weight"] for step in good["steps"]] == [2, 100]
    assert good["steps"][-1]["observed_green_percent"] == 100, "every answer should name its colour"
    assert (good["requests"]["failed"], good["requests"]["streams_broken"]) == (0, 0)
    assert good["requests"]["streams"] > 500


@pytest.mark.parametrize(
    ("program", "exit_code"),
    [
        ('raise SystemExit("no such weights")', 1),
        ('import time; print("no such weights"); time.sleep(600)', 128 + signal.SIGTERM),
    ],
    ids=["ends at once", "is never ready"],
)
def test_a_server_that_cannot_start_is_shown_with_the_end_of_its_log(
    control_plane_binaries: dict[str, Path], tmp_path: Path, program: str, exit_code: int
) -> None:
    command = shlex.join([sys.executable, "-c", program])
    settings = RehearsalSettings(pod_command=command, config={"cold_start_seconds": 4})
    with world(tmp_path / "world", settings, control_plane_binaries, lambda _: None) as running:
        with pytest.raises(CommandError) as error:
            scenarios_in(running, settings).first_release()
        logs = running.logs / "pods"
    message = str(error.value)
    assert "cannot start" in message
    assert f"last ended with exit code {exit_code}; see {logs}" in message
    assert "  no such weights" in message
