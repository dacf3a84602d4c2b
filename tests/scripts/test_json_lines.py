"""`--json`: stdout is JSON that a program can read, whatever a command does, and all else is on stderr."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from components.config.sections.rollout_settings import RolloutSettings
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import make_plan
from rollout.model.records import Note
from scripts import adopt, console, monitoring
from scripts.completion import parser_of
from tests.rollout.fakes import record
from tests.scripts.test_command_lines import NAMES
from tests.scripts.test_scripts import PROJECT, call

OTHERS = {"approve": ("--because", "fine"), "keep": ("--until", "+1h"), "ramp": ("--resume",)}
"""What a script needs besides the stack."""


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def rollout(phase: Phase) -> Rollout:
    return Rollout(plan=make_plan("green", RolloutSettings()), phase=phase, reason="because")


def test_every_script_takes_json() -> None:
    assert all("json_output" in {one.name for one in parser_of(name).params} for name in NAMES[1:])


def test_a_record_is_the_line_that_the_journal_has(capsys: pytest.CaptureFixture[str]) -> None:
    written = record(Note(text="waiting for é [bold]"), seq=7)
    console.Output(json_output=True).show(written)
    shown = capsys.readouterr()
    assert lines_of(shown.out) == [written.as_json()]
    assert shown.err == ""


def test_what_the_journal_does_not_keep_is_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    output = console.Output(json_output=True)
    output.show(record(Note(text="report: here"), seq=0))
    output.say("100 % on blue [0]")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "report: here" in shown.err
    assert "100 % on blue [0]" in shown.err


@pytest.mark.parametrize(
    ("phase", "wanted", "outcome", "code"),
    [
        (Phase.DONE, Phase.DONE, "promoted", 0),
        (Phase.ROLLED_BACK, Phase.DONE, "rolled_back", 1),
        (Phase.ROLLED_BACK, Phase.ROLLED_BACK, "rolled_back", 0),
        (Phase.PAUSED, Phase.DONE, "paused", 4),
    ],
)
def test_the_last_line_is_the_outcome_with_the_exit_code(
    capsys: pytest.CaptureFixture[str], phase: Phase, wanted: Phase, outcome: str, code: int
) -> None:
    exit_code = 0
    try:
        console.Output(json_output=True).end_of(rollout(phase), "report.html", wanted=wanted)
    except typer.Exit as ended:
        exit_code = ended.exit_code
    [line] = lines_of(capsys.readouterr().out)
    assert line == {"outcome": outcome, "exit_code": code, "reason": "because", "report": "report.html"}
    assert exit_code == code


@pytest.mark.parametrize("name", NAMES[1:])
def test_an_error_is_the_last_line_too(tmp_path: Path, name: str) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: vllm-blue-green\nruntime: python\n")
    options = ("--stack", "nowhere", "--work-dir", str(tmp_path), *OTHERS.get(name, ()))
    main = import_module(f"scripts.{name}").main
    done = call(main, *options, "--json")
    assert done.exit_code == console.EXIT_REFUSED
    [line] = lines_of(done.stdout)
    assert line["exit_code"] == console.EXIT_REFUSED
    assert done.stderr == f"error: {line['error']}\n"
    assert call(main, *options).stdout == ""


def test_a_command_without_records_prints_its_outcome_alone(tmp_path: Path) -> None:
    done = call(monitoring.main, "--out", str(tmp_path), "--json")
    files = [str(tmp_path / name) for name in ("rules.yaml", "dashboard.json")]
    assert lines_of(done.stdout) == [{"outcome": "written", "exit_code": 0, "reason": "", "files": files}]


def test_what_is_adopted_is_in_the_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, Any] = {"green_weight": 25, "keep_until": ""}

    def do(*_: object, **__: object) -> dict[str, Any]:
        return written

    monkeypatch.setattr("scripts.adopt.Session", do)
    monkeypatch.setattr("scripts.adopt.adopt", do)
    done = call(adopt.main, "--stack", "prod", "--json")
    assert lines_of(done.stdout) == [{"outcome": "adopted", "exit_code": 0, "reason": "", "written": written}]
    assert call(adopt.main, "--stack", "prod").stdout == 'green_weight: 25\nkeep_until: ""\n'
    written.clear()
    [line] = lines_of(call(adopt.main, "--stack", "prod", "--json").stdout)
    assert line == {"outcome": "nothing_done", "exit_code": 0, "reason": "the config file matches the live rule"}


A_READER_THAT_LEAVES = """
import sys
from rollout.model.records import Note
from scripts import console
from tests.rollout.fakes import record
with console.refusals(console.Script(examples=())) as output:
    for number in range(1, 4):
        output.show(record(Note(text="x" * 100), seq=number))
    output.end("done", "the end", exit_code=0)
print("went on", file=sys.stderr)
"""


@pytest.mark.parametrize("options", ["", "json_output=True"], ids=["lines", "json"])
@pytest.mark.slow
def test_a_command_goes_on_when_nobody_reads_its_lines_any_more(options: str) -> None:
    """`scripts.ramp | tee log`: Ctrl-C ends tee first, and the ramp still has to send traffic back."""
    code = A_READER_THAT_LEAVES.replace("examples=())", f"examples=()), {options}")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "stdout cannot be written any more; the command goes on, and the journal has all records",
        "went on",
    ]
