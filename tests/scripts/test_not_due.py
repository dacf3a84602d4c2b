"""What a schedule is told while another command is under way: a sentence, and exit code 0."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rollout.journal.lock import Lock
from scripts import console, drill, reap, watch
from tests.rollout.test_session import session
from tests.scripts.test_scripts import call


@pytest.mark.parametrize(
    ("command", "option", "begin"),
    [
        (reap.main, "--if-due", "not due"),
        (drill.main, "--if-warm", "no drill"),
        (watch.main, "--if-warm", "no look"),
    ],
)
def test_a_schedule_is_told_what_is_under_way(
    command: Callable[..., None], option: str, begin: str, tmp_path: Path
) -> None:
    opened = session(tmp_path)
    with Lock(opened.store, "ramp", clock=opened.clock, expiry_seconds=30, beats=False):
        done = call(command, "--stack", "prod", "--work-dir", str(tmp_path), option)
    assert done.exit_code == console.EXIT_DONE, done.output
    assert done.stdout.startswith(f"{begin}: scripts.ramp (process ")
    assert done.stdout.endswith(") is under way\n")
