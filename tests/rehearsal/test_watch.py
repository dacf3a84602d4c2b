"""A release that goes bad after its promotion is found by a scheduled look, which sends all traffic back."""

import json
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from rehearsal.world.leftovers import left_running
from scripts.console import EXIT_DONE, EXIT_ROLLED_BACK
from tests.faults.stage import Played, Stage, stage, stage_settings

pytestmark = [pytest.mark.long_world, pytest.mark.timeout(1200)]

_SECONDS_BETWEEN_LOOKS = 3.0
_MOST_LOOKS = 20


@pytest.fixture(scope="module")
def running(control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    folder = tmp_path_factory.mktemp("watch") / "world"
    quiet = {"open_streams": 20, "requests_per_second": 15, "patience_seconds": 60}
    settings = stage_settings().model_copy(update=quiet)
    settings.config["rollout"]["keep_warm_seconds"] = 1800
    with stage(folder, control_plane_binaries, lambda _: None, settings) as started:
        yield started
    assert left_running(folder) == []


def _look(running: Stage) -> Played:
    """Look as a scheduled job does."""
    time.sleep(_SECONDS_BETWEEN_LOOKS)
    return running.play("watch", "--if-warm", "--json")


def test_a_release_that_goes_bad_after_two_good_looks_is_rolled_back(running: Stage) -> None:
    promoted = running.play("ramp", *running.release("b"))
    assert promoted.exit_code == EXIT_DONE, promoted.output
    for _ in range(2):
        look = _look(running)
        assert look.exit_code == EXIT_DONE, look.output
    assert [str(one) for one in running.new_requests() if one.failed] == []

    before = running.world.aws.faults()
    running.world.aws.set_faults(target_error_fraction=0.2, target_error_colors=["green"])
    try:
        look = _look(running)
        for _ in range(_MOST_LOOKS):
            if look.exit_code == EXIT_DONE:
                look = _look(running)
    finally:
        running.world.aws.set_faults(**before)

    assert look.exit_code == EXIT_ROLLED_BACK, look.output
    assert running.config()["active_color"] == "blue"
    assert running.green_weight() == 0
    assert running.disagreements() == []
    assert "the watch after the promotion: " in json.loads(look.output.splitlines()[-1])["reason"]
    failed = [one for one in running.new_requests() if one.failed]
    assert failed, "the fault reached clients"
    assert {one.color for one in failed} == {"green"}
    time.sleep(_SECONDS_BETWEEN_LOOKS)
    requests = running.new_requests()
    assert requests
    assert [str(one) for one in requests if one.failed] == []
