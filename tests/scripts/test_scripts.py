"""The scripts as command lines: help, bad input, exit codes. Nothing here reaches a cloud."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from components.rollout_settings import RolloutSettings
from rollout.machine import Phase, Rollout
from rollout.plan import make_plan
from scripts import console, ramp, reap, rollback, status
from tests.rollout.test_config_file import FLAT

PROJECT = Path(__file__).parents[2]
GOOD = f"model: acme/assistant\nmodel_revision: b\nimage: vllm/vllm-openai@sha256:{'b' * 64}\n"


def call(command: Callable[..., None], *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.prod.yaml").write_text(FLAT)
    (tmp_path / "release.yaml").write_text(GOOD)
    return tmp_path


def ramp_with(project: Path, release: str) -> Result:
    (project / "release.yaml").write_text(release)
    return call(ramp.main, "--stack", "prod", "--work-dir", str(project), "--release", str(project / "release.yaml"))


@pytest.mark.parametrize("name", ["ramp", "rollback", "reap", "status"])
def test_every_script_explains_itself_and_its_exit_codes(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"scripts.{name}", "--help"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert "Exit codes: 0 done" in done.stdout


@pytest.mark.parametrize(
    ("release", "named"),
    [
        ("model: [", "is not YAML"),
        ("- a", "is not a release"),
        (GOOD.replace("model: acme/assistant\n", ""), "model: Field required"),
        (GOOD + "colour: red\n", "colour: Extra inputs"),
        (GOOD.replace("@sha256:", ":v"), "image"),
        (GOOD + "engine_args: [--port=1]\n", "--port is derived"),
    ],
)
def test_a_bad_release_is_refused_by_name(project: Path, release: str, named: str) -> None:
    result = ramp_with(project, release)
    assert result.exit_code == console.EXIT_REFUSED
    assert named in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [rollback.main, reap.main, status.main])
def test_a_missing_stack_config_is_refused(tmp_path: Path, command: Callable[..., None]) -> None:
    result = call(command, "--stack", "nope", "--work-dir", str(tmp_path))
    assert result.exit_code == console.EXIT_REFUSED
    assert "Pulumi.nope.yaml" in result.stderr


def test_an_unknown_service_is_refused(project: Path) -> None:
    result = call(reap.main, "--stack", "prod", "--work-dir", str(project), "--service", "nope")
    assert result.exit_code == console.EXIT_REFUSED
    assert "'nope'" in result.stderr
    assert "chat" in result.stderr


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        (Phase.DONE, 0),
        (Phase.REAPED, 0),
        (Phase.ROLLED_BACK, 1),
        (Phase.REFUSED, 2),
        (Phase.FAILED, 3),
    ],
)
def test_the_exit_code_says_how_it_ended(phase: Phase, code: int) -> None:
    with pytest.raises(typer.Exit) as ended:
        console.end(Rollout(plan=make_plan("green", RolloutSettings()), phase=phase, reason="because"))
    assert ended.value.exit_code == code


def verdict(word: str, reason: str) -> dict[str, Any]:
    return {"at": "2026-11-21T08:00:00Z", "kind": "verdict", "gate": "error_rate", "verdict": word, "reason": reason}


def test_of_many_equal_verdicts_the_first_and_the_last_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    progress = console.Progress()
    for number in range(5):
        progress.tell(verdict("pass", f"look {number}"))
    progress.tell({"at": "2026-11-21T08:00:01Z", "kind": "phase", "phase": "shifting"})
    shown = capsys.readouterr().out
    assert [number for number in range(5) if f"look {number}" in shown] == [0, 4]


def test_markup_in_a_message_is_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    console.Progress().tell({"at": "2026-11-21T08:00:00Z", "kind": "note", "text": "actions[0].x [bold]"})
    assert "actions[0].x [bold]" in capsys.readouterr().out
