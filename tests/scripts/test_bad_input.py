"""For any bad input, a script prints one error with the fix, exits with the right code, and changes nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import scripts
from components.domain.naming import COLORS, Color
from rollout.journal.lock import Lock
from rollout.journal.store import FileStore
from rollout.model.errors import RolloutError, StoppedError
from rollout.model.rule import LiveRule
from rollout.model.verdict import TargetHealth
from rollout.system.clock import SystemClock
from scripts import console, doctor, drill, keep, ramp, reap, rollback, status, watch
from tests.rollout.adapters.test_config_file import FLAT, SEVERAL
from tests.rollout.full_disk import no_room
from tests.rollout.system.test_failures import aws_error, server
from tests.scripts.test_scripts import GOOD, PROJECT, call
from tests.test_boundaries import imports

CLOSED = "http://127.0.0.1:9"
COMMANDS: list[Callable[..., None]] = [ramp.main, rollback.main, reap.main, status.main, doctor.main]
CHANGING = COMMANDS[:3]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a good config and a good release, and an AWS that is down."""
    (tmp_path / "Pulumi.yaml").write_text("name: vllm-blue-green\nruntime: python\n")
    (tmp_path / "Pulumi.prod.yaml").write_text(FLAT)
    (tmp_path / "release.yaml").write_text(GOOD)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "PROMETHEUS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "precious")
    monkeypatch.setenv("AWS_ENDPOINT_URL", CLOSED)
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    monkeypatch.setattr("rollout.session.AWS_ATTEMPTS", 1)
    monkeypatch.setattr("rollout.adapters.aws.elbv2_client.BUDGET_SECONDS", 0)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it would remember another test's credentials
    return tmp_path


def refused(command: Callable[..., None], project: Path, *more: str, stack: str = "prod") -> str:
    """Run a command that must be refused, and return its one error."""
    before = {path: path.read_bytes() for path in project.glob("*.yaml")}
    had_records = (project / ".rollout").exists()
    release = ("--release", str(project / "release.yaml")) if command is ramp.main and "--release" not in more else ()
    result = call(command, "--stack", stack, "--work-dir", str(project), *release, *more)
    assert result.exit_code == console.EXIT_REFUSED, result.output
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.output
    assert "precious" not in result.output
    assert {path: path.read_bytes() for path in project.glob("*.yaml")} == before
    assert (project / ".rollout").exists() == had_records
    return result.stderr


def set_config(project: Path, before: str, after: str) -> None:
    path = project / "Pulumi.prod.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_place_is_refused(project: Path, command: Callable[..., None]) -> None:
    assert "Did you mean prod?" in refused(command, project, stack="prodd")
    assert "Did you mean prod?" in refused(command, project, stack="acme/vllm-blue-green/prodd")
    assert "is a stack of project shop" in refused(command, project, stack="acme/shop/prod")
    assert "must be a stack's name" in refused(command, project, stack="../../prod/..")
    (project / "Pulumi.yaml").unlink()
    assert "has no Pulumi.yaml. Run from the project's folder" in refused(command, project)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_config_is_refused(project: Path, command: Callable[..., None]) -> None:
    set_config(project, "green_weight: 0", "green_weight: half")
    message = refused(command, project)
    assert 'vllm-blue-green:green_weight: must be a whole number from 0 to 100, e.g. 25 (got "half").' in message
    set_config(project, "green_weight: half", "green_weight: 0\n  vllm-blue-green:green_weight: 1")
    assert "Pulumi.prod.yaml:17: is not YAML: it has this key twice" in refused(command, project)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_service_is_refused_with_the_nearest(project: Path, command: Callable[..., None]) -> None:
    (project / "Pulumi.prod.yaml").write_text(SEVERAL)
    assert "has several (chat, search). Name one with --service" in refused(command, project)
    message = refused(command, project, "--service", "serach")
    assert "Did you mean search? Name one with --service" in message


@pytest.mark.parametrize(
    ("release", "message"),
    [
        ("model: [", "release.yaml:1: is not YAML"),
        ("a: &a [*a]", "is not YAML: Circular reference"),
        ("- a", "all of it: must be an object with the keys model"),
        (GOOD.replace("model: acme/assistant\n", ""), "model: is required but not set. Set it to a model repository"),
        (GOOD + "modle: x\n", "modle: is not a known key. Did you mean model?"),
        (GOOD + "replicas: 2\n", "replicas: is not a known key. Known here: engine_args"),
        (GOOD.replace("@sha256:", ":v"), "image: must be an image pinned by its digest"),
        (GOOD.replace("revision: bbbbbbb", "revision: main"), "model_revision: must be a commit"),
        (GOOD + "engine_args: [--port=1]\n", "engine_args[0]: --port is derived by the program. Remove it."),
        (GOOD + "engine_args: [--api-key, precious]\n", "--api-key would put a secret into plain config"),
        (
            GOOD + "prompts: {a: hf_preciouspreciousprecious}\n",
            "prompts.a: contains a Hugging Face token in plain text",
        ),
        (GOOD + 'prompts: {a: "\\ud800"}\n', "prompts.a: contains a lone surrogate"),
    ],
)
def test_a_wrong_release_is_refused_by_field(project: Path, release: str, message: str) -> None:
    (project / "release.yaml").write_text(release)
    assert message in refused(ramp.main, project)


def test_a_number_in_a_release_may_be_a_text_as_in_the_config(tmp_path: Path) -> None:
    (tmp_path / "release.yaml").write_text(GOOD + 'weights_gib: "15.5"\nsampling: {temperature: "0.5"}\n')
    release = ramp.read_release(tmp_path / "release.yaml")
    assert (release.weights_gib, release.sampling) == (15.5, {"temperature": 0.5})


def test_a_release_that_cannot_be_read_is_refused(project: Path) -> None:
    message = refused(ramp.main, project, "--release", str(project / "nope.yaml"))
    assert "nope.yaml: cannot be read (No such file or directory)" in message
    assert "Is a directory" in refused(ramp.main, project, "--release", str(project))


@pytest.mark.parametrize("command", CHANGING)
def test_an_aws_that_is_down_is_refused(project: Path, command: Callable[..., None]) -> None:
    assert f"AWS: {CLOSED}/ does not answer" in refused(command, project)


@pytest.mark.parametrize("command", CHANGING)
@pytest.mark.parametrize(
    ("code", "message"),
    [("ExpiredToken", "have expired"), ("InvalidClientTokenId", "not valid"), ("AccessDenied", "Allow")],
)
@pytest.mark.slow
def test_credentials_that_are_no_good_are_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., None], code: str, message: str
) -> None:
    with server(403, aws_error(code)) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert message in refused(command, project)


@pytest.mark.parametrize("command", CHANGING)
def test_a_profile_or_a_region_that_is_missing_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., None]
) -> None:
    set_config(project, "  aws:region: eu-central-1\n", "")
    assert "AWS: no region is set" in refused(command, project)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "nobody" in refused(command, project)


ALL_BLUE = LiveRule(
    arn="arn:rule",
    weights={"blue": 100, "green": 0},
    target_groups={color: f"arn:{color}" for color in COLORS},
    active_color="blue",
    keep_until=None,
    rollout_serial=0,
)
HALF = replace(ALL_BLUE, weights={"blue": 50, "green": 50})


def set_rule(monkeypatch: pytest.MonkeyPatch, rule: LiveRule) -> None:
    def read(_: object) -> LiveRule:
        return rule

    monkeypatch.setattr("rollout.adapters.aws.load_balancer.Elbv2LoadBalancer.rule", read)


def _healthy(_: object, color: Color) -> TargetHealth:
    return TargetHealth(healthy=2, total=2) if color == "blue" else TargetHealth(healthy=0, total=0)


def _idle_timeout_seconds(_: object) -> int:
    return 130


@pytest.fixture
def with_aws(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with a load balancer; what comes after it fails."""
    set_rule(monkeypatch, ALL_BLUE)
    monkeypatch.setattr("rollout.adapters.aws.load_balancer.Elbv2LoadBalancer.health", _healthy)
    monkeypatch.setattr(
        "rollout.adapters.aws.load_balancer.Elbv2LoadBalancer.idle_timeout_seconds", _idle_timeout_seconds
    )
    return project


def put_pulumi(project: Path, monkeypatch: pytest.MonkeyPatch, script: str = "") -> None:
    folder = project / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "pulumi").write_text(f'#!/bin/sh\n[ "$1" = version ] && {{ echo v3.260.0; exit 0; }}\n{script}\nexit 0\n')
    (folder / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.mark.parametrize("command", [ramp.main, reap.main])
def test_a_pulumi_that_is_missing_or_cannot_select_is_refused(
    with_aws: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., None]
) -> None:
    put_pulumi(with_aws, monkeypatch, "echo \"error: no stack named 'prod' found\" >&2; exit 255")
    assert "See `pulumi stack ls`" in refused(command, with_aws)
    monkeypatch.setenv("PATH", str(with_aws))
    assert "there is no `pulumi` on PATH" in refused(command, with_aws)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "rollout.prometheus_url: is not set, and neither is the variable PROMETHEUS_URL"),
        ("prometheus:9090", "the variable PROMETHEUS_URL: must be an http(s) URL"),
    ],
)
@pytest.mark.slow
def test_a_prometheus_url_that_is_none_is_refused(
    with_aws: Path, monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    put_pulumi(with_aws, monkeypatch)
    monkeypatch.setenv("PROMETHEUS_URL", url)
    assert message in refused(ramp.main, with_aws)


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ("{bearer_token_from: {env: NO_TOKEN}}", "bearer_token_from.env: the variable NO_TOKEN is not set. Set it to"),
        ("{ca_file: ca.pem}", "ca_file: "),
        ("{basic_auth: {username: me, password_from: {file: no/password}}}", "no/password cannot be read (No such fi"),
    ],
)
@pytest.mark.slow
def test_a_prometheus_without_its_credential_is_refused_before_anything_is_changed(
    with_aws: Path, monkeypatch: pytest.MonkeyPatch, access: str, message: str
) -> None:
    put_pulumi(with_aws, monkeypatch)
    rollout = f"  vllm-blue-green:rollout: {{prometheus_url: 'https://127.0.0.1:9', prometheus: {access}}}\n"
    path = with_aws / "Pulumi.prod.yaml"
    path.write_text(path.read_text() + rollout)
    before = path.read_bytes()
    release = str(with_aws / "release.yaml")
    result = call(ramp.main, "--stack", "prod", "--work-dir", str(with_aws), "--release", release)
    assert result.exit_code == console.EXIT_REFUSED, result.output
    assert path.read_bytes() == before
    reasons = [line for line in records(with_aws)[-1]["reason"].splitlines() if "rollout.prometheus." in line]
    assert len(reasons) == 1
    assert message in reasons[0]


def records(project: Path) -> list[dict[str, Any]]:
    lines = (project / ".rollout" / "prod" / "chat.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_all_that_a_rollout_would_ask_later_is_asked_before_anything_is_changed(
    with_aws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_pulumi(
        with_aws,
        monkeypatch,
        "case \"$*\" in *'config get'*|*preview*) echo 'error: incorrect passphrase' >&2; exit 1;; esac",
    )
    monkeypatch.setenv("PROMETHEUS_URL", CLOSED)
    before = (with_aws / "Pulumi.prod.yaml").read_bytes()
    release = str(with_aws / "release.yaml")
    result = call(ramp.main, "--stack", "prod", "--work-dir", str(with_aws), "--release", release, "--json")
    assert result.exit_code == console.EXIT_REFUSED
    assert (with_aws / "Pulumi.prod.yaml").read_bytes() == before
    *printed, outcome = [json.loads(line) for line in result.stdout.splitlines()]
    assert printed == records(with_aws)
    reason = records(with_aws)[-1]["reason"]
    assert (outcome["outcome"], outcome["exit_code"], outcome["reason"]) == ("refused", 2, reason)
    assert Path(outcome["report"]).is_file()
    assert len(reason.splitlines()) == 7
    for message in (
        "Pulumi's state cannot be read",
        "preview of 'chat: what a rollout onto green would find' failed: ",
        f"Prometheus at {CLOSED} does not answer: [Errno 111] Connection refused",
        "no access to Kubernetes: ",
        f"AWS: {CLOSED}/ does not answer",
        f"AWS: {CLOSED}/clusters/prod/node-groups does not answer",
        "Set PULUMI_CONFIG_PASSPHRASE",
    ):
        assert message in reason


def test_a_full_disk_is_refused_before_anything_is_changed(with_aws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_pulumi(with_aws, monkeypatch)
    with no_room():
        for command in (ramp.main, reap.main):
            assert "lock: cannot be written (File too large)" in refused(command, with_aws)


def test_a_rollback_sends_traffic_back_although_the_disk_is_full(
    with_aws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    def modify(_: object, green_weight: int, *, cohorts_to: str) -> None:
        assert cohorts_to == "blue"
        sent.append(green_weight)

    set_rule(monkeypatch, HALF)
    monkeypatch.setattr("rollout.adapters.aws.load_balancer.Elbv2LoadBalancer.set_green_weight", modify)
    with no_room():
        result = call(rollback.main, "--stack", "prod", "--work-dir", str(with_aws))
    assert sent == [0]
    assert result.exit_code == console.EXIT_UNRECONCILED
    assert "all traffic is on blue, but config and state do not say so yet" in result.stderr
    assert "lock: cannot be written" in result.stderr


def test_a_rollback_that_may_not_change_the_rule_is_refused(with_aws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: object, green_weight: int, **_options: object) -> None:
        raise RolloutError(f"AWS ModifyRule: AccessDenied: no {green_weight}")

    set_rule(monkeypatch, HALF)
    monkeypatch.setattr("rollout.adapters.aws.load_balancer.Elbv2LoadBalancer.set_green_weight", forbidden)
    assert "AWS ModifyRule: AccessDenied" in refused(rollback.main, with_aws)


@pytest.mark.parametrize("command", [ramp.main, reap.main])
def test_a_lock_that_somebody_holds_is_refused_by_name(project: Path, command: Callable[..., None]) -> None:
    folder = project / ".rollout" / "prod"
    with Lock(FileStore(folder), "ramp", clock=SystemClock(lambda: None), expiry_seconds=120):
        assert f"in use by ramp (process {os.getpid()} on " in refused(command, project)
    folder.mkdir(parents=True)
    (folder / "lock").write_text("garbage")
    assert "delete it" in refused(command, project)


@pytest.mark.parametrize(
    ("command", "option"), [(reap.main, "--if-due"), (drill.main, "--if-warm"), (watch.main, "--if-warm")]
)
def test_what_runs_on_schedule_leaves_a_stack_alone_that_another_command_uses(
    project: Path, command: Callable[..., None], option: str
) -> None:
    with Lock(FileStore(project / ".rollout" / "prod"), "ramp", clock=SystemClock(lambda: None), expiry_seconds=120):
        result = call(command, "--stack", "prod", "--work-dir", str(project), option)
    assert result.exit_code == console.EXIT_DONE, result.output
    assert f"ramp (process {os.getpid()} on " in result.stdout


@pytest.fixture
def outside_of_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "CI_JOB_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("outside_of_ci")
def test_a_rollback_of_a_run_s_own_rollout_needs_a_run(project: Path) -> None:
    assert "--if-own: this is no CI run: neither GITHUB_RUN_ID" in refused(rollback.main, project, "--if-own")


@pytest.mark.usefixtures("outside_of_ci")
def test_a_run_that_has_begun_nothing_rolls_nothing_back_whatever_the_rule_says(
    with_aws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def set_green_weight(*_: object, **_options: object) -> None:
        raise AssertionError("the rule was changed")

    monkeypatch.setattr("rollout.adapters.aws.load_balancer.Elbv2LoadBalancer.set_green_weight", set_green_weight)
    monkeypatch.setenv("CI_JOB_URL", "https://gitlab.example/acme/models/-/jobs/1")
    set_rule(monkeypatch, HALF)
    result = call(rollback.main, "--stack", "prod", "--work-dir", str(with_aws), "--if-own")
    assert result.exit_code == console.EXIT_DONE, result.output
    assert "nothing to roll back: this CI run has left no rollout that changed anything" in result.stdout


def test_a_status_tells_what_does_not_answer_and_the_rest(project: Path) -> None:
    result = call(status.main, "--stack", "prod", "--work-dir", str(project))
    assert result.exit_code == console.EXIT_NEEDS_HUMAN
    assert "Traceback" not in result.output
    assert f"problem: load balancer: AWS: {CLOSED}/ does not answer" in result.stdout
    assert "problem: Kubernetes: no access to Kubernetes" in result.stdout
    assert "green_weight: rule ?, config 0" in result.stdout


def test_a_status_without_a_region_is_a_status(project: Path) -> None:
    set_config(project, "  aws:region: eu-central-1\n", "")
    result = call(status.main, "--stack", "prod", "--work-dir", str(project))
    assert result.exit_code == console.EXIT_NEEDS_HUMAN
    assert "problem: load balancer: AWS: no region is set" in result.stdout


def test_what_was_not_foreseen_is_one_line_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise TypeError("of\nours")

    monkeypatch.setattr("scripts.status.read_status", break_down)
    result = call(status.main, "--stack", "prod", "--work-dir", str(project))
    assert result.exit_code == console.EXIT_NEEDS_HUMAN
    assert "error: Unexpected error (test_bad_input.py, line" in result.stderr
    assert "Traceback" not in result.output


def test_ctrl_c_while_nothing_was_changed_is_no_rollback(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scripts.ramp.ramp", interrupt)
    assert "ended by Ctrl-C" in refused(ramp.main, project)


def test_ctrl_c_while_something_is_changed_says_what_remains_and_what_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise StoppedError("stopped by SIGINT")

    monkeypatch.setattr("scripts.keep.keep", stop)
    result = call(keep.main, "--stack", "prod", "--work-dir", str(project), "--until", "+1h")
    assert result.exit_code == console.EXIT_NEEDS_HUMAN
    assert (
        "stopped by SIGINT. Once its preview has begun, the change is made to its end; that takes seconds. To go on: "
        in result.stderr
    )


def test_after_its_end_a_script_does_not_say_that_something_follows(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise StoppedError("stopped by SIGINT")

    monkeypatch.setattr("rollout.commands.drill", stop)
    result = call(drill.main, "--stack", "prod", "--work-dir", str(project))
    assert result.exit_code == console.EXIT_NEEDS_HUMAN
    assert "error: stopped by SIGINT. Traffic, config and state are as before the drill. " in result.stderr


A_LOCK_THAT_WAITS = """
import os, signal, sys, threading
sys.argv = ["keep", "--stack", "prod", "--until", "+1h"]
from rollout.journal.lock import Lock
from scripts import console, keep
def wait(lock):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    lock._clock.sleep(30)
Lock.take = wait
console.run(keep.main, keep.SCRIPT)
"""


@pytest.mark.slow
def test_ctrl_c_in_a_real_process_is_answered_at_once_and_ends_it(project: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", A_LOCK_THAT_WAITS],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == console.EXIT_REFUSED
    first, second = done.stderr.splitlines()
    assert first == str(keep.SCRIPT.ctrl_c)
    assert second == "error: stopped by SIGINT while waiting for the lock; nothing was changed"
    assert not (project / ".rollout").exists()


A_ROLLBACK_THAT_IS_INTERRUPTED = """
import os, signal, sys
from datetime import UTC, datetime
sys.argv = ["rollback", "--stack", "prod"]
import rollout.adapters.aws.elbv2_client, rollout.direct_update, rollout.session
from scripts import console, rollback
rollout.session.AWS_ATTEMPTS = 1
rollout.adapters.aws.elbv2_client.BUDGET_SECONDS = 0  # as in `project`: nothing will answer, however long it is asked
def send_back(*_, **__):
    os.kill(os.getpid(), signal.NUMBER)
    return rollout.direct_update.DirectUpdate(to="blue", green_weight=0, at=datetime.now(UTC))
rollout.direct_update.send_back = send_back
console.run(rollback.main, rollback.SCRIPT)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.slow
def test_a_rollback_goes_on_when_it_is_interrupted_as_it_moves_the_traffic(project: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", A_ROLLBACK_THAT_IS_INTERRUPTED.replace("NUMBER", name)],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    assert done.stderr.splitlines()[0] == str(rollback.SCRIPT.ctrl_c)
    assert "all traffic is on blue since" in done.stdout
    assert done.returncode == console.EXIT_UNRECONCILED, done.stderr  # there is no load balancer to read the rule from


@pytest.mark.parametrize("name", ["ramp", "rollback", "reap", "status"])
def test_an_old_python_is_reported_in_one_line(name: str) -> None:
    pretend = (
        f"import sys, runpy; sys.version_info = (3, 9, 0); runpy.run_module('scripts.{name}', run_name='__main__')"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", pretend], cwd=PROJECT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == console.EXIT_REFUSED
    assert len(done.stderr.splitlines()) == 1
    assert "3.11 or newer is needed" in done.stderr


@pytest.mark.parametrize("name", ["__main__", "ramp"])
def test_a_python_without_the_packages_is_reported_in_one_line(name: str) -> None:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    # -S: no site-packages, as before `make setup`.
    command = [sys.executable, "-S", "-m", f"scripts.{name}", "--stack", "prod"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == console.EXIT_REFUSED
    assert len(done.stderr.splitlines()) == 1
    named = ", ".join(scripts.PACKAGES[:3])
    assert f"lacks packages: {named} and {len(scripts.PACKAGES) - 3} more" in done.stderr
    assert "Run `make setup`, then `. .venv/bin/activate`" in done.stderr


def test_every_package_that_the_scripts_import_is_looked_for() -> None:
    own = {"components", "rollout", "scripts"}
    imported = {name for folder in own for path in (PROJECT / folder).rglob("*.py") for name in imports(path)}
    stubs = {name for name in imported if name.startswith("mypy_boto3_")}
    assert set(scripts.PACKAGES) == imported - stubs - own - set(sys.stdlib_module_names)
