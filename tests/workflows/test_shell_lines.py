"""The workflows' shell lines: signals, exit codes and commits, with scripts that only pretend to roll out."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.domain.moments import parse_rfc3339
from tests.workflows.workflow import ROOT, Runner, clone_of, git, origin_of

PRETENDING = """
import os, pathlib, signal, sys, time
name = pathlib.Path(__file__).stem
with pathlib.Path(os.environ["CALLS"]).open("a") as calls:
    calls.write(" ".join([name, *sys.argv[1:]]) + "\\n")
def stop(number, frame):
    pathlib.Path(os.environ["CALLS"]).open("a").write(f"{name} stopped by {number}\\n")
    time.sleep(0.3)
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
if name == "status":
    print("chat: green is active")
    sys.exit(0)
config = pathlib.Path("Pulumi.prod.yaml")
config.write_text(config.read_text().replace("rollout_serial: 1", "rollout_serial: 2"))
print("ready", flush=True)
if "PRETEND_SECONDS" in os.environ:
    time.sleep(float(os.environ["PRETEND_SECONDS"]))
sys.exit(int(os.environ.get("PRETEND_CODE", "0")))
"""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A runner in a fresh clone of a repository with the real workflows and scripts that pretend."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / ".github", source / ".github")
    (source / "scripts").mkdir()
    for name in ("ramp", "reap", "rollback", "status"):
        (source / "scripts" / f"{name}.py").write_text(PRETENDING)
    (source / "Pulumi.prod.yaml").write_text("config:\n  rollout_serial: 1  # a comment\n  other: 1\n")
    origin = origin_of(source, tmp_path / "origin.git")
    (tmp_path / "runner").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
        "STACK": "prod",
        "SERVICE": "",
        "RELEASE": "releases/b.yaml",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }
    return Runner(clone_of(origin, tmp_path / "clone"), environment, tmp_path / "runner")


def calls(runner: Runner) -> list[str]:
    return Path(runner.environment["CALLS"]).read_text().splitlines()


def committed(runner: Runner) -> str:
    return git(runner.checkout.parent / "origin.git", "show", "main:Pulumi.prod.yaml")


def push_meanwhile(runner: Runner, old: str, new: str) -> None:
    other = clone_of(runner.checkout.parent / "origin.git", runner.checkout.parent / "other")
    config = other / "Pulumi.prod.yaml"
    config.write_text(config.read_text().replace(old, new))
    git(other, "commit", "--quiet", "--all", "--message", "Meanwhile")
    git(other, "push", "--quiet", "origin", "main")


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5])
def test_the_exit_code_is_the_step_s_and_its_output(runner: Runner, code: int) -> None:
    done = runner.run("ramp", "Ramp", PRETEND_CODE=str(code))
    assert done.returncode == code
    assert runner.outputs["Ramp"] == {"code": str(code)}
    assert calls(runner) == ["ramp --stack prod --release releases/b.yaml --resume"]


@pytest.mark.parametrize("ends", ['"2026-11-28T22:34:48.000Z"', "2026-11-28T22:34:48.000Z", ""])
def test_the_end_of_the_credentials_is_handed_on_as_botocore_reads_it(runner: Runner, ends: str) -> None:
    done = runner.run("ramp", "Hand on when the credentials end", ENDS=ends)
    assert done.returncode == 0, done.stderr
    written = (runner.folder / "environment").read_text()
    expected = ends.strip('"')
    assert written == f"AWS_CREDENTIAL_EXPIRATION={expected}\n"
    if expected:
        assert parse_rfc3339(expected).year == 2026


def test_a_service_is_named_when_it_is_given_whatever_it_holds(runner: Runner) -> None:
    runner.run("ramp", "Ramp", SERVICE="chat; touch owned")
    assert calls(runner) == ["ramp --stack prod --service chat; touch owned --release releases/b.yaml --resume"]
    assert not (runner.checkout / "owned").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_job_tells_the_script_and_waits_for_its_end(runner: Runner, number: int) -> None:
    (runner.folder / "output").write_text("")
    process = subprocess.Popen(
        runner.command("ramp", "Ramp"),
        cwd=runner.checkout,
        env=runner.variables(PRETEND_SECONDS="60"),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    process.send_signal(number)  # to the shell alone, as the runner does
    assert process.wait(30) == 1
    assert time.monotonic() - began < 7.5, "GitHub waits no longer before it goes on to the next signal"
    assert calls(runner)[-1] == f"ramp stopped by {int(signal.SIGTERM)}"
    runner.read_outputs("Ramp")
    assert runner.outputs["Ramp"] == {"code": "1"}


def test_the_config_file_is_committed_back_by_the_bot_with_its_comments(runner: Runner) -> None:
    runner.run("ramp", "Ramp", PRETEND_CODE="1")
    (runner.checkout / "stray").write_text("not for git")
    done = runner.run("ramp", "Commit the config file back")
    assert done.returncode == 0, done.stderr
    assert committed(runner) == "config:\n  rollout_serial: 2  # a comment\n  other: 1"
    origin = runner.checkout.parent / "origin.git"
    assert git(origin, "log", "-1", "--format=%an <%ae>%n%s%n%b", "main").splitlines() == [
        "github-actions[bot] <41898282+github-actions[bot]@users.noreply.github.com>",
        "Record where prod stands",
        "Run 4711, attempt 1.",
    ]
    assert git(origin, "show", "--name-only", "--format=", "main") == "Pulumi.prod.yaml"


def test_the_config_file_is_committed_back_from_its_own_folder(runner: Runner) -> None:
    (runner.checkout / "Pulumi.yaml").write_text('name: vllm-blue-green\nstackConfigDir: "stacks"\n')
    (runner.checkout / "stacks").mkdir()
    (runner.checkout / "stacks" / "Pulumi.prod.yaml").write_text("config: {}\n")
    done = runner.run("ramp", "Commit the config file back")
    assert done.returncode == 0, done.stderr
    origin = runner.checkout.parent / "origin.git"
    assert git(origin, "show", "--name-only", "--format=", "main") == "stacks/Pulumi.prod.yaml"


def test_a_stack_with_its_organization_has_the_same_config_file(runner: Runner) -> None:
    runner.run("ramp", "Ramp", PRETEND_CODE="1")
    done = runner.run("ramp", "Commit the config file back", STACK="acme/vllm-blue-green/prod")
    assert done.returncode == 0, done.stderr
    assert committed(runner) == "config:\n  rollout_serial: 2  # a comment\n  other: 1"


def test_a_file_that_did_not_change_is_no_commit(runner: Runner) -> None:
    before = git(runner.checkout, "rev-parse", "HEAD")
    assert runner.run("ramp", "Commit the config file back").returncode == 0
    assert git(runner.checkout.parent / "origin.git", "rev-parse", "main") == before


def test_what_was_pushed_meanwhile_is_kept(runner: Runner) -> None:
    runner.run("ramp", "Ramp")
    other = clone_of(runner.checkout.parent / "origin.git", runner.checkout.parent / "elsewhere")
    (other / "README.md").write_text("new\n")
    git(other, "add", "--all")
    git(other, "commit", "--quiet", "--message", "Meanwhile")
    git(other, "push", "--quiet", "origin", "main")
    done = runner.run("ramp", "Commit the config file back")
    assert done.returncode == 0, done.stderr
    assert "rollout_serial: 2" in committed(runner)
    assert git(runner.checkout.parent / "origin.git", "show", "main:README.md") == "new"


def test_a_config_file_that_somebody_else_changed_is_not_overwritten(runner: Runner) -> None:
    runner.run("ramp", "Ramp")
    push_meanwhile(runner, "rollout_serial: 1", "rollout_serial: 7")
    done = runner.run("ramp", "Commit the config file back")
    assert done.returncode == 1
    assert "::error file=Pulumi.prod.yaml::it could not be pushed" in done.stdout
    assert "rollout_serial: 7" in committed(runner)
    assert git(runner.checkout, "status", "--porcelain", "--branch").startswith("## main")


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("0", "done"),
        ("1", "rolled back: the candidate was refused"),
        ("2", "refused: nothing was changed"),
        ("3", "a person must look"),
        ("4", "paused: the weight stays as it is; go on with `python -m scripts.ramp --resume`"),
        ("5", "all traffic is back, but config or state do not say so yet"),
        ("", "the script was killed before it could report"),
    ],
)
def test_the_summary_says_how_it_ended_and_where_the_service_stands(runner: Runner, code: str, outcome: str) -> None:
    assert runner.run("ramp", "Say how it ended", CODE=code, SERVICE="chat").returncode == 0
    assert runner.summary.startswith(f"## ramp prod: {outcome}")
    assert "chat: green is active" in runner.summary
    assert calls(runner) == ["status --stack prod --service chat"]


def test_a_stack_s_services_are_reaped_one_after_the_other_and_the_worst_code_counts(runner: Runner) -> None:
    del runner.environment["SERVICE"]  # type: ignore[attr-defined]
    done = runner.run("reap", "Reap", SERVICES="chat search", PRETEND_CODE="2")
    assert done.returncode == 2
    assert calls(runner) == [f"reap --stack prod --service {name} --if-due" for name in ("chat", "search")]
    assert runner.outputs["Reap"]["code"] == "2"


def test_the_only_service_of_a_stack_needs_no_name(runner: Runner) -> None:
    assert runner.run("reap", "Reap", SERVICES="").returncode == 0
    assert calls(runner) == ["reap --stack prod --if-due"]


def test_what_an_ended_ramp_left_is_finished_by_a_rollback(runner: Runner) -> None:
    assert runner.run("ramp", "Finish what an ended ramp left").returncode == 0
    assert calls(runner) == ["rollback --stack prod --reason the job was cancelled or ran out of time"]


@pytest.mark.parametrize(("context", "alias"), [("prod", ["--alias", "prod"]), (None, [])])
def test_the_kubeconfig_names_the_context_as_the_config_does(
    runner: Runner, context: str | None, alias: list[str]
) -> None:
    tools = runner.checkout.parent / "bin"
    known = f"echo {context}" if context else "echo 'error: configuration key not found' >&2; exit 1"
    (tools / "pulumi").write_text(
        f'#!/bin/sh\ncase "$3" in cluster_name) echo gpu;; kubernetes:context) {known};; esac\n'
    )
    (tools / "aws").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tools / "called"}"\n')
    for name in ("pulumi", "aws"):
        (tools / name).chmod(0o755)
    done = runner.run("ramp", "Find the cluster", AWS_REGION="us-east-1")
    assert done.returncode == 0, done.stderr
    expected = ["eks", "update-kubeconfig", "--name", "gpu", "--region", "us-east-1", *alias]
    assert (tools / "called").read_text().splitlines() == expected
