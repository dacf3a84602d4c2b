"""The shell lines of both CI hosts in a real world: a ramp on GitHub's runner, a preview and the reap on GitLab's."""

import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from rehearsal.report.journal import JournalTail
from rehearsal.report.view import LiveView
from rehearsal.scenarios.scenarios import Scenarios
from rehearsal.world.checkout import CLUSTER, SERVICE, STACK
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.world import World, world
from tests.webhook import SECRET, Server, serving
from tests.workflows.workflow import ROOT, GitLabRunner, Runner, clone_of, git, origin_of

pytestmark = [pytest.mark.long_world, pytest.mark.timeout(600)]

KEEP_WARM_SECONDS = 3600
# Long enough for the update that writes it, even on a machine with other work.
NEW_PROMISE_SECONDS = 30


@pytest.fixture(scope="module")
def running(control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """A world in which release A serves on blue, with records outside of any checkout, and notifications."""
    folder = tmp_path_factory.mktemp("workflows") / "world"
    webhook = {"url_from": {"env": "WEBHOOK_URL"}, "signing_secret_from": {"env": "WEBHOOK_SECRET"}}
    rollout = {
        "keep_warm_seconds": KEEP_WARM_SECONDS,
        "records_url": f"file://{folder / 'records'}",
        "notifications": [{"webhook": webhook}],
    }
    config = {"rollout": rollout}
    settings = RehearsalSettings(open_streams=30, config=config)
    with world(folder, settings, control_plane_binaries, lambda _: None) as started:
        scenarios(started, settings).first_release()
        yield started


def scenarios(running: World, settings: RehearsalSettings) -> Scenarios:
    return Scenarios(running, settings, LiveView(Console(quiet=True)), JournalTail(running.folder / "none"))


def executable(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def webhook() -> Generator[tuple[Server, str]]:
    """A web server that gets the notifications of the runners, and its URL."""
    with serving() as served:
        yield served


def fresh(running: World, origin: Path, name: str, url: str) -> tuple[Path, dict[str, str], Path]:
    """What a fresh runner has: a clone, the tools that it brings with a ready kubeconfig, and a folder of its own."""
    folder = running.folder / name
    tools = folder / "tools"
    tools.mkdir(parents=True)
    executable(tools / "python", f'exec "{sys.executable}" "$@"')
    executable(tools / "aws", f'echo "$@" >> "{folder / "aws"}"')
    environment = {
        **running.environment,
        "PATH": f"{tools}:{running.environment['PATH']}",
        "STACK": STACK,
        "SERVICE": SERVICE,
        "RELEASE": "releases/b.yaml",
        "WEBHOOK_URL": url,
        "WEBHOOK_SECRET": SECRET,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }
    # Beside the engineer's checkout: the config names the gateway's prompts by a relative path.
    return clone_of(origin, running.folder / f"{name}-clone"), environment, folder


def committed(origin: Path) -> dict[str, Any]:
    config = yaml.safe_load(git(origin, "show", f"main:Pulumi.{STACK}.yaml"))["config"]
    return {key.removeprefix("vllm-blue-green:"): value for key, value in config.items()}


def test_a_release_is_ramped_on_one_host_and_the_old_colour_reaped_on_the_other(
    running: World, webhook: tuple[Server, str]
) -> None:
    notified, url = webhook
    for name in (".github", "ci"):
        shutil.copytree(ROOT / name, running.checkout / name)
    shutil.copy2(ROOT / ".gitignore", running.checkout / ".gitignore")
    origin = origin_of(running.checkout, running.folder / "origin.git")

    first = Runner(*fresh(running, origin, "first", url))
    assert first.run("ramp", "Find the cluster").returncode == 0
    assert (first.folder / "aws").read_text().split() == [
        *("eks", "update-kubeconfig", "--name", CLUSTER, "--region"),
        running.environment["AWS_REGION"],
    ]
    with scenarios(running, RehearsalSettings(open_streams=30)).traffic():
        ramped = first.run("ramp", "Ramp")
    assert ramped.returncode == 0, ramped.stdout + ramped.stderr
    code = first.outputs["Ramp"]["code"]
    assert first.run("ramp", "Commit the config file back").returncode == 0
    assert first.run("ramp", "Say how it ended", CODE=code).returncode == 0
    assert f"## ramp {STACK}: done" in first.summary
    assert "green is active" in first.summary
    promoted = committed(origin)
    assert (promoted["green_weight"], promoted["active_color"]) == (100, "green")
    assert (notified.events[0], *notified.events[-2:]) == ("started", "promoted", "ended")
    assert "step_in_effect" in notified.events

    second = GitLabRunner(*fresh(running, origin, "second", url))
    ready = {name: running.environment[name] for name in ("KUBECONFIG", "PULUMI_HOME")}
    shown = second.run("preview", **ready)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert second.summary.startswith(f"## preview of {STACK}: no policy and no guard refuses it")
    early = second.run("reap", **ready)
    assert early.returncode == 0, early.stdout + early.stderr
    assert "not due: keep_until: blue is kept warm until" in early.stdout
    assert notified.events[-1] == "reap_due"
    until = datetime.now(UTC) + timedelta(seconds=NEW_PROMISE_SECONDS)
    keep = ("-m", "scripts.keep", "--stack", STACK, "--until", until.isoformat(), "--shorten", "the test is over")
    variables = second.variables("reap", **ready)
    subprocess.run([sys.executable, *keep], cwd=second.checkout, env=variables, check=True, timeout=300)
    time.sleep(max((until - datetime.now(UTC)).total_seconds(), 0) + 1)
    due = second.run("reap", **ready)
    assert due.returncode == 0, due.stdout + due.stderr
    assert "USD an hour" in due.stdout
    assert "bringing green up (nodes and replicas) took" in due.stdout
    assert second.run("reap", "after_script", **ready).returncode == 0
    assert f"## reap {STACK}: done" in second.summary
    assert committed(origin)["blue"]["parked"] is True
    assert committed(origin)["blue"]["provisioned"] is False
    assert notified.events[-1] == "ended"
    assert notified.all_genuine
