"""The scripts as command lines: help, bad input, exit codes. Nothing here reaches a cloud."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from components.config.sections.rollout_settings import RolloutSettings
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import make_plan
from rollout.model.records import Note, PhaseBegun, Record, VerdictGiven
from rollout.model.verdict import Verdict
from scripts import console
from tests.rollout.fakes import record

PROJECT = Path(__file__).parents[2]
GOOD = f"model: acme/assistant\nmodel_revision: bbbbbbb\nimage: vllm/vllm-openai@sha256:{'b' * 64}\n"


def call(command: Callable[..., None], *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments))


def no_wait_line(**_: object) -> None:
    return


@pytest.mark.parametrize(
    "name",
    [
        "ramp",
        "approve",
        "rollback",
        "drill",
        "reap",
        "keep",
        "adopt",
        "status",
        "doctor",
        "monitoring",
        "watch",
        "explain",
    ],
)
def test_every_script_explains_itself_and_its_exit_codes(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [f"scripts.{name}", "--help"])
    monkeypatch.setattr(console.wait_line, "start", no_wait_line)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PROJECT / "scripts" / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "Exit codes: 0 done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        (Phase.DONE, 0),
        (Phase.REAPED, 0),
        (Phase.ROLLED_BACK, 1),
        (Phase.REFUSED, 2),
        (Phase.FAILED, 3),
        (Phase.PAUSED, 4),
    ],
)
def test_the_exit_code_says_how_it_ended(phase: Phase, code: int) -> None:
    rollout = Rollout(plan=make_plan("green", RolloutSettings()), phase=phase, reason="because")
    assert console.exit_code_of(rollout) == code


def verdict(reason: str) -> Record:
    return record(VerdictGiven(gate="error_rate", verdict=Verdict.PASS, reason=reason, evidence={}, dry_run=False))


def test_of_many_equal_verdicts_the_first_and_the_last_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    progress = console.RecordLines()
    for number in range(5):
        progress.show(verdict(f"look {number}"))
    progress.show(record(PhaseBegun(step=0, check=0, promoted=False, reason="")))
    shown = capsys.readouterr().out
    assert [number for number in range(5) if f"look {number}" in shown] == [0, 4]


def test_markup_in_a_message_is_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    console.RecordLines().show(record(Note(text="actions[0].x [bold]")))
    assert "actions[0].x [bold]" in capsys.readouterr().out
