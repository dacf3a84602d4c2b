"""The committed workflows."""

import os
import re
import subprocess
import sys
from typing import Any

import pytest

from scripts import console
from tests.workflows.workflow import NAMES, ROOT, WORKFLOWS, expressions, job, line, load, steps

SCRIPTS = ROOT / ".github" / "scripts"


def test_these_are_all_the_workflows() -> None:
    assert sorted(path.stem for path in WORKFLOWS.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it(name: str) -> None:
    used = re.findall(r"uses: (\S+)(.*)", (WORKFLOWS / f"{name}.yml").read_text())
    assert len(used) == 4
    for action, comment in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)


@pytest.mark.parametrize("name", NAMES)
def test_a_job_may_push_and_ask_for_credentials_and_nothing_else(name: str) -> None:
    assert load(name)["permissions"] == {"contents": "write", "id-token": "write"}
    assert "permissions" not in job(name)
    credentials = steps(name)["Get AWS credentials"]["with"]
    assert "role-to-assume" in credentials
    assert not {"aws-access-key-id", "aws-secret-access-key"} & credentials.keys()


@pytest.mark.parametrize("name", NAMES)
def test_what_somebody_types_reaches_no_shell_as_code(name: str) -> None:
    assert not any(expressions(step["run"]) for step in job(name)["steps"] if "run" in step)


def test_ramps_of_a_stack_wait_for_each_other_and_none_is_broken_off() -> None:
    for concurrency in (load("ramp")["concurrency"], job("reap")["concurrency"]):
        assert concurrency["cancel-in-progress"] is False
        assert ".stack }}" in concurrency["group"]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_ends_at_some_time(name: str) -> None:
    assert 0 < job(name)["timeout-minutes"] <= 360


@pytest.mark.parametrize("name", NAMES)
def test_a_run_starts_from_the_newest_config(name: str) -> None:
    assert steps(name)["Check out the newest config"]["with"] == {"ref": "${{ github.ref_name }}"}


@pytest.mark.parametrize("name", NAMES)
def test_the_config_is_committed_back_however_it_ended(name: str) -> None:
    order = list(steps(name))
    assert steps(name)["Commit the config file back"]["if"].startswith("always() && ")
    assert order.index("Commit the config file back") > order.index({"ramp": "Ramp", "reap": "Reap"}[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_cli_is_of_the_sdk_s_version_and_python_is_one_that_the_program_takes(name: str) -> None:
    pinned = re.search(r"^pulumi==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert steps(name)["Install the Pulumi CLI"]["with"]["pulumi-version"] == pinned[1]
    major, minor = steps(name)["Set up Python"]["with"]["python-version"].split(".")
    assert (int(major), int(minor)) >= (3, 11)


def test_a_rerun_resumes() -> None:
    assert line("ramp", "Ramp").endswith(' ramp --release "$RELEASE" --resume')


def test_a_scheduled_reap_is_quiet_while_nothing_is_due() -> None:
    assert "schedule" in load("reap")["on"]
    assert "reap --if-due" in line("reap", "Reap")


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("ramp", {"--stack", "--service", "--release", "--resume"}),
        ("reap", {"--stack", "--service", "--if-due"}),
        ("rollback", {"--stack", "--service", "--reason"}),
        ("status", {"--stack", "--service"}),
    ],
)
def test_the_scripts_take_the_options_that_the_workflows_give(script: str, options: set[str]) -> None:
    told = subprocess.run(
        [sys.executable, "-m", f"scripts.{script}", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert options <= set(re.findall(r"--[a-z-]+", told))


def called(step: dict[str, Any]) -> list[str]:
    return re.findall(r"\.github/scripts/([\w-]+\.sh)", step.get("run", ""))


def test_every_shell_script_is_called_and_can_be() -> None:
    used = {script for name in NAMES for step in job(name)["steps"] for script in called(step)}
    assert used == {path.name for path in SCRIPTS.iterdir()}
    for script in SCRIPTS.iterdir():
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_summary_knows_every_exit_code() -> None:
    codes = {value for name, value in vars(console).items() if name.startswith("EXIT_") and isinstance(value, int)}
    cases = re.findall(r"^  (\d)\) outcome=", (SCRIPTS / "summary.sh").read_text(), re.MULTILINE)
    assert {int(code) for code in cases} == codes
