"""A whole world with a running service: no request is lost, whatever happens to pods and weights."""

import json
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from rehearsal.kube.client import KubeClient
from rehearsal.load.live import last_snapshot
from rehearsal.load.records import by_color, open_streams, started_between, summarize
from rehearsal.report.journal import JournalTail
from rehearsal.report.result import read_requests
from rehearsal.report.view import LiveView
from rehearsal.scenarios.scenarios import Scenarios
from rehearsal.world.checkout import SERVICE, STACK, release_file
from rehearsal.world.leftovers import left_running
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.world import World, world

pytestmark = pytest.mark.timeout(600)

SETTINGS = RehearsalSettings(open_streams=60)


@pytest.fixture(scope="module")
def running(control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """A world in which release A serves on blue."""
    folder = tmp_path_factory.mktemp("rehearsal") / "world"
    with world(folder, SETTINGS, control_plane_binaries, lambda _: None) as started:
        scenarios_in(started).first_release()
        yield started
    assert left_running(folder) == []


def scenarios_in(running: World) -> Scenarios:
    return Scenarios(running, SETTINGS, LiveView(Console(quiet=True)), JournalTail(running.folder / "none"))


def wait_for_pods(kube: KubeClient, color: str, count: int) -> list[dict[str, Any]]:
    """Wait until this many pods of a colour are ready and no others are left."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pods = kube.list("v1", "Pod", SERVICE, label_selector=f"vllm-blue-green/color={color}")["items"]
        ready = [
            pod
            for pod in pods
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]
        if len(ready) == len(pods) == count:
            return pods
        time.sleep(0.5)
    raise AssertionError(f"no {count} ready pods of {color}")


def test_pods_deleted_in_the_middle_of_their_streams_finish_them(running: World) -> None:
    with KubeClient.from_kubeconfig(running.kubeconfig) as kube:
        victim, survivor = wait_for_pods(kube, "blue", 2)
        with scenarios_in(running).traffic():
            wait_for_streams(running, 50)
            deleted_at = time.time()
            kube.delete("v1", "Pod", SERVICE, victim["metadata"]["name"])
            wait_for_pods_without(kube, victim)
            gone_at = time.time()
        wait_for_pods(kube, "blue", 2)
    records = read_requests(running.requests_log, running.access_log)
    on_victim = requests_on(running, victim["status"]["podIP"], open_at=deleted_at)
    assert open_streams(records, deleted_at) >= 40
    assert len(on_victim) >= 10, "the deleted pod should have streams"
    assert summarize(records).failed == 0
    assert gone_at - deleted_at > 2, "the pod should drain, not vanish"
    assert survivor["status"]["podIP"] != victim["status"]["podIP"]


def wait_for_streams(running: World, count: int) -> None:
    """Wait until the load generator has this many streams open."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if last_snapshot(running.logs / "load.log").get("open_streams", 0) >= count:
            return
        time.sleep(0.2)
    raise AssertionError(f"no {count} open streams")


def wait_for_pods_without(kube: KubeClient, victim: dict[str, Any]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pods = kube.list("v1", "Pod", SERVICE)["items"]
        if victim["metadata"]["uid"] not in [pod["metadata"]["uid"] for pod in pods]:
            return
        time.sleep(0.2)
    raise AssertionError("the deleted pod is still there")


def requests_on(running: World, address: str, *, open_at: float) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in running.access_log.read_text().splitlines()]
    return [
        entry
        for entry in entries
        if str(entry["target"]).startswith(f"{address}:")
        and entry["stream"]
        and entry["started_at"] <= open_at < entry["finished_at"]
    ]


def test_a_plain_up_with_another_green_weight_shifts_traffic(running: World) -> None:
    config_file = running.checkout / f"Pulumi.{STACK}.yaml"
    config = yaml.safe_load(config_file.read_text())
    release = yaml.safe_load(release_file(running.checkout, "b").read_text())
    config["config"]["vllm-blue-green:green"] |= {"release": release}
    config_file.write_text(yaml.safe_dump(config, sort_keys=False))
    up = ("pulumi", "up", "--yes", "--non-interactive", "--stack", STACK)
    running.run("deploy-by-hand", *up)
    running.run("set-weight", "pulumi", "config", "set", "green_weight", "50", "--stack", STACK)
    running.run("shift-by-hand", *up)
    time.sleep(SETTINGS.weight_lag_seconds)
    running.requests_log.unlink(missing_ok=True)
    began_at = time.time()
    with scenarios_in(running).traffic():
        time.sleep(3)  # Enough requests for the share to be near the weight.
    records = started_between(read_requests(running.requests_log, running.access_log), began_at, time.time())
    colors = by_color(records)
    assert summarize(records).failed == 0
    assert 0.35 < colors["green"].total / len(records) < 0.65
