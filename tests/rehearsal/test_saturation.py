"""A release that is quick for a few requests and saturates below the users' peak is caught before any user meets it."""

from collections.abc import Generator
from pathlib import Path

import pytest

from rehearsal.report.journal import of_kind
from rehearsal.world.leftovers import left_running
from rehearsal.world.releases import commit_of, own_releases
from rehearsal.world.settings import RehearsalSettings
from scripts.console import EXIT_ROLLED_BACK
from tests.faults.stage import Stage, stage

pytestmark = [pytest.mark.long_world, pytest.mark.timeout(900)]

RELEASES = own_releases()
SATURATING = {**RELEASES["a"], "model_revision": commit_of("ed")}
"""Release D (rehearsal/vllm/hub.yaml). Its two replicas carry about 60 % of the traffic below."""
SETTINGS = RehearsalSettings(
    open_streams=40,
    requests_per_second=20,
    releases={**RELEASES, "d": SATURATING},
    config={
        "rollout": {
            "poll_seconds": 0.3,
            "gates": {
                "load": {
                    "inter_token_p95_limit_seconds": 0.06,
                    "peak_window_seconds": 60,
                    "peak_rate_seconds": 5,
                    "level_seconds": 1.5,
                    "max_seconds": 60,
                    "max_concurrency": 96,
                },
            },
        },
    },
)


@pytest.fixture(scope="module")
def running(control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    folder = tmp_path_factory.mktemp("saturation") / "world"
    with stage(folder, control_plane_binaries, lambda _: None, SETTINGS, with_policies=True) as started:
        yield started
    assert left_running(folder) == []


def test_a_release_that_saturates_at_60_percent_of_the_load_gets_no_request_of_a_user(running: Stage) -> None:
    running.new_requests()
    played = running.play("ramp", *running.release("d"))
    assert played.exit_code == EXIT_ROLLED_BACK, played.output
    requests = running.new_requests()
    assert len(requests) > 500
    assert [str(one) for one in requests if one.failed] == []
    assert {one.color for one in requests} == {"blue"}
    verdicts = {one["gate"]: one for one in of_kind(played.records, "verdict")}
    load = verdicts["load"]
    assert {gate: one["verdict"] for gate, one in verdicts.items()} == {
        **dict.fromkeys(("smoke", "eval", "warm_up", "shadow"), "pass"),
        "load": "fail",
    }
    assert 0 < load["evidence"]["percent_of_peak"] <= 80, load
    assert load["evidence"]["load_seconds"] < 60
    assert "required 120 %" in load["reason"]
    assert {one["green_weight"] for one in of_kind(played.records, "rule")} <= {0}
    assert running.disagreements() == []
