"""The shell lines of both CI hosts: signals, exit codes and commits, with scripts that only pretend to roll out."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.domain.moments import parse_rfc3339
from tests.workflows.workflow import CHANGING, ROOT, SCHEDULED, GitLabRunner, Runner, clone_of, git, origin_of

pytestmark = pytest.mark.slow

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
if name in ("status", "explain"):
    print("chat: green is active")
    sys.exit(0)
folder = sys.argv[sys.argv.index("--work-dir") + 1] if "--work-dir" in sys.argv else "."
config = pathlib.Path(folder, "Pulumi.prod.yaml")
config.write_text(config.read_text().replace("rollout_serial: 1", "rollout_serial: 2"))
print("ready", flush=True)
if "PRETEND_SECONDS" in os.environ:
    time.sleep(float(os.environ["PRETEND_SECONDS"]))
sys.exit(int(os.environ.get("PRETEND_CODE", "0")))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository with the real workflows, and scripts that pretend. Each test changes a copy of it."""
    source = tmp_path_factory.mktemp("repository") / "source"
    shutil.copytree(ROOT / ".github", source / ".github")
    shutil.copytree(ROOT / "ci", source / "ci")
    (source / "scripts").mkdir()
    for name in (*CHANGING, "rollback", "status", "explain"):
        (source / "scripts" / f"{name}.py").write_text(PRETENDING)
    for folder in (source, source / "infra"):
        folder.mkdir(exist_ok=True)
        (folder / "Pulumi.prod.yaml").write_text("config:\n  rollout_serial: 1  # a comment\n  other: 1\n")
    return origin_of(source, source.parent / "origin.git")


@pytest.fixture
def checkout(tmp_path: Path, repository: Path) -> Path:
    """A fresh clone of a copy of the repository."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "runner").mkdir()
    return clone_of(shutil.copytree(repository, tmp_path / "origin.git"), tmp_path / "clone")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What both hosts set alike."""
    return {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
        "STACK": "prod",
        "SERVICE": "",
        "RELEASE": "releases/b.yaml",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }


@pytest.fixture
def runner(checkout: Path, environment: dict[str, str], tmp_path: Path) -> Runner:
    """A runner of GitHub."""
    return Runner(checkout, environment, tmp_path / "runner")


@pytest.fixture
def gitlab(checkout: Path, environment: dict[str, str], tmp_path: Path) -> GitLabRunner:
    """A runner of GitLab."""
    return GitLabRunner(checkout, environment, tmp_path / "runner")


def calls(runner: Runner | GitLabRunner) -> list[str]:
    return Path(runner.environment["CALLS"]).read_text().splitlines()


def committed(runner: Runner | GitLabRunner, file: str = "Pulumi.prod.yaml") -> str:
    return git(runner.checkout.parent / "origin.git", "show", f"main:{file}")


def push_meanwhile(runner: Runner | GitLabRunner, old: str, new: str) -> None:
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


def cancel(command: list[str], variables: dict[str, str], checkout: Path, number: int) -> int:
    """Run a command, send it a signal once its script runs, and return its exit code."""
    process = subprocess.Popen(
        command, cwd=checkout, env=variables, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    process.send_signal(number)  # to the shell alone, as the runner does
    code = process.wait(30)
    assert time.monotonic() - began < 7.5, "GitHub waits no longer before it goes on to the next signal"
    return code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_job_tells_the_script_and_waits_for_its_end(runner: Runner, number: int) -> None:
    (runner.folder / "output").write_text("")
    variables = runner.variables(PRETEND_SECONDS="60")
    assert cancel(runner.command("ramp", "Ramp"), variables, runner.checkout, number) == 1
    assert calls(runner)[-1] == f"ramp stopped by {int(signal.SIGTERM)}"
    runner.read_outputs("Ramp")
    assert runner.outputs["Ramp"] == {"code": "1"}


def test_a_cancelled_job_goes_on_with_no_other_service(runner: Runner) -> None:
    variables = runner.variables(PRETEND_SECONDS="60", SERVICES="chat search")
    assert cancel(runner.command("drill", "Drill"), variables, runner.checkout, signal.SIGTERM) == 1
    told = ["drill --stack prod --service chat --if-warm", f"drill stopped by {int(signal.SIGTERM)}"]
    assert calls(runner) == told


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


def refuse_pushes(runner: Runner, said: str) -> Path:
    """Let the host refuse every push with these words, and return the hook that does and that notes each try."""
    hook = runner.checkout.parent / "origin.git" / "hooks" / "pre-receive"
    hook.write_text(f'#!/bin/sh\necho try >> "{runner.checkout.parent / "tries"}"\necho "{said}" >&2\nexit 1\n')
    hook.chmod(0o755)
    return hook


def test_a_push_that_the_host_refuses_is_said_to_be_refused_and_made_up_for(runner: Runner) -> None:
    runner.run("ramp", "Ramp")
    hook = refuse_pushes(runner, "GitLab: You are not allowed to push code to protected branches on this project.")
    for _ in range(2):
        done = runner.run("ramp", "Commit the config file back")
        assert done.returncode == 1
        assert (
            "::error file=Pulumi.prod.yaml::the host refused the push to main: GitLab: You are not allowed to push "
            "code to protected branches on this project. Let the CI host push to main"
        ) in done.stdout
    assert (runner.checkout.parent / "tries").read_text() == "try\n" * 2
    hook.unlink()
    assert runner.run("ramp", "Commit the config file back").returncode == 0
    assert "rollout_serial: 2" in committed(runner)
    assert "is unchanged" in runner.run("ramp", "Commit the config file back").stdout


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (
            "fatal: unable to access 'https://h/r/': Could not resolve host: h",
            "did not reach main of origin: unable to",
        ),
        (
            "remote: You are not allowed to upload code.\nfatal: unable to access 'https://h/r/': The requested URL "
            "returned error: 403",
            "the host refused to take a push: You are not allowed to upload code. Let",
        ),
        ("fatal: Authentication failed for 'https://h/r/'", "the host refused to take a push: Authentication failed"),
    ],
)
def test_a_push_that_does_not_come_through_is_no_other_s_commit(runner: Runner, said: str, cause: str) -> None:
    runner.run("ramp", "Ramp")
    real = shutil.which("git")
    put_tool(runner, "git", f'if [ "$1" = push ]; then cat >&2 <<\'END\'\n{said}\nEND\nexit 128; fi\nexec {real} "$@"')
    done = runner.run("ramp", "Commit the config file back")
    assert done.returncode == 1
    assert cause in done.stdout
    assert "another commit" not in done.stdout
    put_tool(runner, "git", f'exec {real} "$@"')
    assert runner.run("ramp", "Commit the config file back").returncode == 0
    assert "rollout_serial: 2" in committed(runner)


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
    assert calls(runner) == ["status --stack prod --service chat", "explain --stack prod --service chat"]


@pytest.mark.parametrize(("name", "option"), SCHEDULED.items())
def test_a_stack_s_services_come_one_after_the_other_and_the_worst_code_counts(
    runner: Runner, name: str, option: str
) -> None:
    done = runner.run(name, name.capitalize(), SERVICES="chat search", PRETEND_CODE="2")
    assert done.returncode == 2
    assert calls(runner) == [f"{name} --stack prod --service {one} {option}" for one in ("chat", "search")]
    assert runner.outputs[name.capitalize()] == {"code": "2"}


def test_the_only_service_of_a_stack_needs_no_name(runner: Runner) -> None:
    assert runner.run("reap", "Reap", SERVICES="").returncode == 0
    assert calls(runner) == ["reap --stack prod --if-due"]


def test_what_an_ended_ramp_left_is_finished_by_a_rollback(runner: Runner) -> None:
    assert runner.run("ramp", "Finish what an ended ramp left").returncode == 0
    assert calls(runner) == ["rollback --stack prod --if-own --because the job was cancelled or ran out of time"]


def put_tool(runner: Runner | GitLabRunner, name: str, lines: str) -> None:
    tool = runner.checkout.parent / "bin" / name
    tool.unlink(missing_ok=True)
    tool.write_text(f"#!/bin/sh\n{lines}\n")
    tool.chmod(0o755)


def kubeconfig_call(runner: Runner, known: str, **variables: str) -> list[str]:
    """Find the cluster with a config that has its name and, if it is known, the context. Return the call of aws."""
    called = runner.checkout.parent / "called"
    put_tool(runner, "pulumi", f'case "$3" in cluster_name) echo gpu;; kubernetes:context) {known};; esac')
    put_tool(runner, "aws", f'printf "%s\\n" "$@" > "{called}"')
    done = runner.run("ramp", "Find the cluster", AWS_REGION="us-east-1", **variables)
    assert done.returncode == 0, done.stderr
    return called.read_text().splitlines()


@pytest.mark.parametrize(("context", "alias"), [("prod", ["--alias", "prod"]), (None, [])])
def test_the_kubeconfig_names_the_context_as_the_config_does(
    runner: Runner, context: str | None, alias: list[str]
) -> None:
    known = f"echo {context}" if context else "echo 'error: configuration key not found' >&2; exit 1"
    expected = ["eks", "update-kubeconfig", "--name", "gpu", "--region", "us-east-1", *alias]
    assert kubeconfig_call(runner, known) == expected


def test_a_program_whose_config_does_not_name_its_cluster_has_it_named(runner: Runner) -> None:
    assert kubeconfig_call(runner, "exit 1", CLUSTER_NAME="other")[2:4] == ["--name", "other"]
    assert kubeconfig_call(runner, "exit 1", CLUSTER_NAME="")[2:4] == ["--name", "gpu"]


def test_the_service_of_another_program_is_rolled_out_in_its_folder(runner: Runner) -> None:
    assert runner.run("ramp", "Ramp", WORK_DIR="infra").returncode == 0
    assert calls(runner) == ["ramp --stack prod --work-dir infra --release releases/b.yaml --resume"]
    assert runner.run("ramp", "Commit the config file back", WORK_DIR="infra").returncode == 0
    assert "rollout_serial: 2" in committed(runner, "infra/Pulumi.prod.yaml")
    assert "rollout_serial: 1" in committed(runner)
    assert runner.run("ramp", "Say how it ended", WORK_DIR="infra", CODE="0").returncode == 0
    assert calls(runner)[-1] == "explain --stack prod --work-dir infra"


@pytest.mark.parametrize(("work_dir", "installs"), [("infra", ["install --cwd infra"]), ("", [])])
def test_the_packages_of_another_program_are_installed_too(runner: Runner, work_dir: str, installs: list[str]) -> None:
    for name in ("python", "pulumi"):
        put_tool(runner, name, f'echo "$@" >> "{runner.checkout.parent / name}.calls"')
    assert runner.run("ramp", "Install the program", WORK_DIR=work_dir).returncode == 0
    (pip,) = (runner.checkout.parent / "python.calls").read_text().splitlines()
    assert pip.endswith("--require-hashes -r requirements.txt")
    called = runner.checkout.parent / "pulumi.calls"
    assert (called.read_text().splitlines() if called.exists() else []) == installs


PREVIEW = "~ aws:lb:ListenerRule chat update\n```\n[mandatory] traffic-weights chat: the sum of the weights is 101"


@pytest.mark.parametrize(
    ("code", "outcome"), [(0, "no policy and no guard refuses it"), (255, "refused by a policy or a guard")]
)
def test_a_preview_shows_the_change_and_what_speaks_against_it(runner: Runner, code: int, outcome: str) -> None:
    called = runner.checkout.parent / "called"
    put_tool(runner, "pulumi", f"echo \"$@\" > '{called}'; cat <<'END'\n{PREVIEW}\nEND\nexit {code}")
    done = runner.run("preview", "Preview", WORK_DIR="infra")
    assert done.returncode == code
    assert PREVIEW in done.stdout
    assert runner.summary.startswith(f"## preview of prod: {outcome}")
    assert PREVIEW in runner.summary
    policies = runner.checkout / "policies"
    assert called.read_text().startswith(f"preview --stack prod --cwd infra --policy-pack {policies} ")


REFUSED = """Previewing update (prod):
 ~  aws:lb:ListenerRule chat update; error: Preview failed: before hook "chat-guards" failed
Policies:
    ❌ vllm-blue-green@v0.1.0 (local: policies)
        - [mandatory]  traffic-weights  (aws:lb/listenerRule:ListenerRule: chat)
          the sum of the weights is 101
        - [advisory]  release-size  (vllm-blue-green:index:BlueGreenService: chat)
          is large

Diagnostics:
  pulumi:pulumi:Stack (prod):
    error: preview failed

    Traceback (most recent call last):
      File "program.py", line 52, in main
    KeyboardInterrupt

  aws:lb:ListenerRule (chat):
    error: Preview failed: before hook "chat-guards" failed: chat: the config is stale
    Pull the newest Pulumi.prod.yaml.
    warning: it is old

Resources:
    42 unchanged"""


@pytest.mark.parametrize(
    ("said", "first"),
    [
        (
            REFUSED,
            """- [mandatory]  traffic-weights  (aws:lb/listenerRule:ListenerRule: chat)
the sum of the weights is 101
error: Preview failed: before hook "chat-guards" failed: chat: the config is stale
Pull the newest Pulumi.prod.yaml.""",
        ),
        ("error: no stack named 'prod' found", "error: no stack named 'prod' found"),
    ],
)
def test_a_refused_preview_s_summary_begins_with_the_refusals(runner: Runner, said: str, first: str) -> None:
    put_tool(runner, "pulumi", f"cat <<'END'\n{said}\nEND\nexit 255")
    assert runner.run("preview", "Preview").returncode == 255
    heading = "## preview of prod: refused by a policy or a guard, or not possible\n"
    assert runner.summary == f"{heading}````\n{first}\n````\nThe whole preview:\n````\n{said}\n````\n"


def test_gitlab_rolls_out_and_records_where_the_stack_stands(gitlab: GitLabRunner) -> None:
    assert gitlab.run("ramp", ROLLOUT_WORK_DIR="infra").returncode == 0
    assert gitlab.run("ramp", "after_script", ROLLOUT_WORK_DIR="infra").returncode == 0
    assert calls(gitlab) == [
        "ramp --stack prod --work-dir infra --release releases/b.yaml --resume",
        "status --stack prod --work-dir infra",
        "explain --stack prod --work-dir infra",
    ]
    assert gitlab.summary.startswith("## ramp prod: done")
    assert "rollout_serial: 2" in committed(gitlab, "infra/Pulumi.prod.yaml")
    origin = gitlab.checkout.parent / "origin.git"
    assert git(origin, "log", "-1", "--format=%an <%ae>%n%b", "main").splitlines() == [
        "gitlab-ci <gitlab-ci@noreply.gitlab.example>",
        "Job https://gitlab.example/acme/models/-/jobs/4711.",
    ]


@pytest.mark.parametrize("code", [1, 4])
def test_gitlab_leaves_a_ramp_that_has_ended_as_it_ended(gitlab: GitLabRunner, code: int) -> None:
    assert gitlab.run("ramp", PRETEND_CODE=str(code)).returncode == code
    assert gitlab.run("ramp", "after_script").returncode == 0
    assert not any(call.startswith("rollback") for call in calls(gitlab))
    assert f"## ramp prod: {'rolled back' if code == 1 else 'paused'}" in gitlab.summary


@pytest.mark.parametrize("rollback_code", ["0", "2"])
def test_gitlab_rolls_back_what_a_killed_ramp_has_begun(gitlab: GitLabRunner, rollback_code: str) -> None:
    done = gitlab.run("ramp", "after_script", PRETEND_CODE=rollback_code)
    assert done.returncode == 0, done.stderr
    assert calls(gitlab)[0] == "rollback --stack prod --if-own --because the job was cancelled or ran out of time"
    assert gitlab.summary.startswith("## ramp prod: the script was killed before it could report")
    assert "rollout_serial: 2" in committed(gitlab)


@pytest.mark.parametrize(("name", "option"), SCHEDULED.items())
def test_gitlab_runs_what_is_scheduled_for_each_service(gitlab: GitLabRunner, name: str, option: str) -> None:
    assert gitlab.run(name, ROLLOUT_SERVICES="chat search").returncode == 0
    assert gitlab.run(name, "after_script", ROLLOUT_SERVICES="chat search").returncode == 0
    assert calls(gitlab)[:2] == [f"{name} --stack prod --service {one} {option}" for one in ("chat", "search")]
    assert len(calls(gitlab)) == 2 + 2 * 2
    assert gitlab.summary.startswith(f"## {name} prod: done")


def test_gitlab_says_that_the_config_could_not_be_pushed(gitlab: GitLabRunner) -> None:
    gitlab.run("ramp")
    push_meanwhile(gitlab, "rollout_serial: 1", "rollout_serial: 7")
    done = gitlab.run("ramp", "after_script")
    assert "error: Pulumi.prod.yaml: it could not be pushed: another commit changed it meanwhile" in done.stderr
    assert gitlab.summary.startswith("## ramp prod: done")


def test_a_token_of_the_project_pushes_where_a_job_s_token_may_not(gitlab: GitLabRunner) -> None:
    gitlab.run("ramp")
    real, pushed = shutil.which("git"), gitlab.checkout.parent / "pushed"
    put_tool(gitlab, "git", f'if [ "$1" = push ]; then echo "$@" > "{pushed}"; exit 0; fi\nexec {real} "$@"')
    project = {"CI_SERVER_URL": "https://gitlab.example", "CI_PROJECT_PATH": "acme/models"}
    assert gitlab.run("ramp", "after_script", PUSH_TOKEN="glpat-1", **project).returncode == 0
    assert pushed.read_text() == (
        "push --quiet https://project-bot:glpat-1@gitlab.example/acme/models.git HEAD:refs/heads/main\n"
    )
    assert gitlab.run("ramp", "after_script", **project).returncode == 0
    assert pushed.read_text() == "push --quiet origin HEAD:refs/heads/main\n"


def test_a_job_of_gitlab_starts_from_the_newest_config_with_credentials_of_its_own(gitlab: GitLabRunner) -> None:
    push_meanwhile(gitlab, "rollout_serial: 1", "rollout_serial: 7")
    git(gitlab.checkout, "checkout", "--quiet", "--detach")
    for name in ("python", "pulumi", "aws"):
        put_tool(gitlab, name, "exit 0")
    done = gitlab.run("ramp", "before_script", AWS_ID_TOKEN="a.b.c", AWS_REGION="us-east-1")
    assert done.returncode == 0, done.stderr
    assert "rollout_serial: 7" in (gitlab.checkout / "Pulumi.prod.yaml").read_text()
    assert git(gitlab.checkout, "branch", "--show-current") == "main"
    token = Path(gitlab.variables("ramp")["AWS_WEB_IDENTITY_TOKEN_FILE"])
    assert token.read_text() == "a.b.c"
    assert token.stat().st_mode & 0o077 == 0


def test_a_preview_of_gitlab_is_in_the_job_s_summary(gitlab: GitLabRunner) -> None:
    put_tool(gitlab, "pulumi", "echo nothing changes")
    assert gitlab.run("preview").returncode == 0
    assert gitlab.summary.startswith(
        "## preview of prod: no policy and no guard refuses it\n````\nnothing changes\n````"
    )


NEEDED = {
    "run.sh": {"STACK"},
    "find-cluster.sh": {"STACK", "AWS_REGION"},
    "commit-back.sh": {"STACK", "BRANCH"},
    "summary.sh": {"STACK", "CODE"},
    "preview.sh": {"STACK"},
}
"""The variables without which a script cannot run, on a host that sets all of them itself."""


@pytest.mark.parametrize(("script", "missing"), [(name, one) for name, all_ in NEEDED.items() for one in sorted(all_)])
def test_a_script_says_which_variable_another_host_has_not_set(runner: Runner, script: str, missing: str) -> None:
    given = dict.fromkeys(NEEDED[script] - {missing}, "prod")
    done = subprocess.run(
        [f"ci/{script}", "ramp"],
        cwd=runner.checkout,
        env={"PATH": runner.environment["PATH"], **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(rf"error: {missing} is not set: the [^\n]+\n", done.stderr)


@pytest.mark.parametrize(("words", "named"), [([], "no script"), (["rampp"], "rampp"), (["../x"], "../x")])
def test_a_script_that_there_is_not_is_refused_and_not_taken_for_rolled_back(
    runner: Runner, words: list[str], named: str
) -> None:
    done = subprocess.run(
        ["ci/run.sh", *words],
        cwd=runner.checkout,
        env={"PATH": runner.environment["PATH"], "STACK": "prod"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {named}: name one of scripts/ with its options, ")


def test_every_variable_of_the_scripts_is_explained_to_another_host() -> None:
    texts = {path.name: path.read_text() for path in (ROOT / "ci").glob("*.sh")}
    explained = set(re.findall(r"^    ([A-Z_]+)\) echo", texts.pop("host.sh"), re.MULTILINE))
    # A name in lower case belongs to a script itself.
    used = {name for text in texts.values() for name in re.findall(r"\$\{?([A-Z][A-Z_]+)", text)} - {"PWD"}
    assert used <= explained
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", (ROOT / "docs" / "ci.md").read_text(), re.MULTILINE)
    assert explained <= {name for row in rows for name in re.findall(r"[A-Z_]+", row)}
