"""Worlds that stay up: typed commands work, two worlds do not interfere, and nothing is left after any end."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from rehearsal.kube.client import KubeClient
from rehearsal.kube.conditions import is_met
from rehearsal.load.live import last_snapshot
from rehearsal.load.records import open_streams, summarize
from rehearsal.report.result import read_requests
from rehearsal.standing.worlds import Worlds
from rehearsal.world.checkout import SERVICE
from rehearsal.world.hold import keeper_of
from rehearsal.world.leftovers import left_running, own_processes
from rehearsal.world.settings import OUT_VARIABLE, RehearsalSettings
from rehearsal.world.world import World
from tests.rehearsal.standing.commands import Text, folder, rehearsal, wait_until_nothing_is_left

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def exports(environment: Mapping[str, str]) -> str:
    """The output of `up` for the world `demo`."""
    return rehearsal(environment, "up", "--world", "demo").stdout


def typed(exports: str, line: str, environment: Mapping[str, str]) -> Text:
    """Run a line in a new shell that works in the world."""
    script = f'eval "$1"; cd "$REHEARSAL_CHECKOUT"; {line}'
    shell = ["bash", "-ec", script, "bash", exports]
    answer = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer


def test_traffic_needs_a_load_balancer_rule(exports: str, environment: Mapping[str, str]) -> None:
    assert exports
    assert (
        "no load balancer rule yet; run `pulumi up` first"
        in rehearsal(environment, "load", "--world", "demo", status=2).stderr
    )


def test_pulumi_kubectl_and_the_scripts_work_in_the_shell(exports: str, environment: Mapping[str, str]) -> None:
    typed(exports, "pulumi up --yes", environment)
    assert "chat-blue" in typed(exports, "pulumi stack", environment).stdout
    assert "blue is active" in typed(exports, "python -m scripts.status --stack rehearsal", environment).stdout
    served = typed(exports, 'curl --silent --fail "$REHEARSAL_ENDPOINT/v1/models"', environment)
    assert json.loads(served.stdout)["data"][0]["id"] == "chat"
    if shutil.which("kubectl"):
        assert typed(exports, "kubectl get pods --namespace chat --no-headers", environment).stdout.count("1/1") == 2


def test_up_on_a_running_world_prints_the_same_again(exports: str, environment: Mapping[str, str]) -> None:
    again = rehearsal(environment, "up", "--world", "demo")
    assert again.stdout == exports == rehearsal(environment, "env", "--world", "demo").stdout
    assert "world demo has been up since" in again.stderr


def outcome(summary: str, row: str) -> tuple[int, int, int]:
    """Read a row of what `load` prints: requests, lost requests and broken streams."""
    (line,) = [line for line in summary.splitlines() if f"│ {row}" in line]
    _, _, requests, lost, _, broken, *_ = (cell.strip() for cell in line.split("│"))
    return int(requests), int(lost), int(broken)


def test_pods_deleted_in_the_middle_of_their_streams_finish_them(exports: str, environment: Mapping[str, str]) -> None:
    with in_world(environment) as world, KubeClient.from_kubeconfig(world.kubeconfig) as kube:
        victim, survivor = wait_for_pods(kube, "blue", 2)
        with loading(exports, {**environment, "REHEARSAL_OPEN_STREAMS": "60"}) as load:
            wait_for_streams(world, 50)
            deleted_at = time.time()
            kube.delete("v1", "Pod", SERVICE, victim["metadata"]["name"])
            wait_for_pods_without(kube, victim)
            gone_at = time.time()
            load.send_signal(signal.SIGINT)
            assert load.wait(60) == 0
        wait_for_pods(kube, "blue", 2)
    records = read_requests(world.requests_log, world.access_log)
    on_victim = requests_on(world, victim["status"]["podIP"], open_at=deleted_at)
    assert open_streams(records, deleted_at) >= 40
    assert len(on_victim) >= 10, "the deleted pod should have streams"
    assert summarize(records).failed == 0
    assert gone_at - deleted_at > 2, "the pod should drain, not vanish"
    assert survivor["status"]["podIP"] != victim["status"]["podIP"]


@contextmanager
def in_world(environment: Mapping[str, str], name: str = "demo") -> Generator[World]:
    with Worlds(Path(environment[OUT_VARIABLE]), print).get(name).world() as world:
        yield world


def pod_network(environment: Mapping[str, str], name: str) -> IPv4Network:
    settings = json.loads((folder(environment, name) / "kubelet.json").read_bytes())
    return IPv4Network(settings["pod_network"])


def pod_addresses(environment: Mapping[str, str], name: str) -> list[IPv4Address]:
    with in_world(environment, name) as world, KubeClient.from_kubeconfig(world.kubeconfig) as kube:
        return [IPv4Address(pod["status"]["podIP"]) for pod in kube.list("v1", "Pod", SERVICE)["items"]]


@contextmanager
def loading(exports: str, environment: Mapping[str, str]) -> Generator["subprocess.Popen[bytes]"]:
    """Run `load` until a signal ends it."""
    shell = ["bash", "-ec", 'eval "$1"; exec rehearsal load', "bash", exports]
    with subprocess.Popen(shell, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, f"not {what}"
        time.sleep(0.2)


def wait_for_pods(kube: KubeClient, color: str, count: int) -> list[dict[str, Any]]:
    """Wait until this many pods of a colour are ready and no others are left."""
    pods: list[dict[str, Any]] = []

    def are_ready() -> bool:
        pods[:] = kube.list("v1", "Pod", SERVICE, label_selector=f"vllm-blue-green/color={color}")["items"]
        return len(pods) == count and all(map(is_met, pods))

    wait_for(f"{count} ready pods of {color}", are_ready)
    return pods


def wait_for_pods_without(kube: KubeClient, victim: dict[str, Any]) -> None:
    def is_gone() -> bool:
        pods = kube.list("v1", "Pod", SERVICE)["items"]
        return victim["metadata"]["uid"] not in [pod["metadata"]["uid"] for pod in pods]

    wait_for("without the deleted pod", is_gone)


def wait_for_streams(world: World, count: int) -> None:
    """Wait until the load generator has this many streams open."""
    log = world.logs / "load.log"
    wait_for(f"{count} open streams", lambda: last_snapshot(log).get("open_streams", 0) >= count)


def requests_on(world: World, address: str, *, open_at: float) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in world.access_log.read_text().splitlines()]
    return [
        entry
        for entry in entries
        if str(entry["target"]).startswith(f"{address}:")
        and entry["stream"]
        and entry["started_at"] <= open_at < entry["finished_at"]
    ]


def test_traffic_while_a_person_deploys_to_green_loses_nothing_and_is_summed_up(
    exports: str, environment: Mapping[str, str]
) -> None:
    release = {
        "model": "acme/assistant-8b",
        "model_revision": "bbbbbbb",
        "image": f"vllm/vllm-openai@sha256:{'5f' * 32}",
    }
    for key, value in release.items():
        typed(exports, f"pulumi config set --path green.release.{key} {value}", environment)
    line = "rehearsal load --seconds 8 & pulumi up --yes --refresh >&2; wait $!"
    summary = typed(exports, line, environment).stdout
    requests, lost, broken = outcome(summary, "all")
    assert requests > 100
    assert (lost, broken) == (0, 0)
    assert "│ green" not in summary


def test_status_shows_processes_weights_and_pods(exports: str, environment: Mapping[str, str]) -> None:
    assert exports
    shown = rehearsal(environment, "status").stdout
    assert "blue 100 %, green 0 %" in shown
    assert "blue 2 of 2 ready" in shown
    assert "(dead)" not in shown


def test_a_plain_up_with_another_green_weight_shifts_traffic(exports: str, environment: Mapping[str, str]) -> None:
    typed(exports, "pulumi config set green_weight 50; pulumi up --yes --skip-preview", environment)
    time.sleep(RehearsalSettings().weight_lag_seconds)
    busy = {**environment, "REHEARSAL_REQUESTS_PER_SECOND": "100"}  # Enough for the share to be near the weight.
    summary = typed(exports, "rehearsal load --seconds 3", busy).stdout
    requests, lost, broken = outcome(summary, "all")
    assert (lost, broken) == (0, 0)
    assert 0.35 < outcome(summary, "green")[0] / requests < 0.65


def test_two_worlds_can_be_up_at_once(exports: str, environment: Mapping[str, str]) -> None:
    other = rehearsal(environment, "up", "--world", "other").stdout
    demos, others = (pod_network(environment, name) for name in ("demo", "other"))
    assert not demos.overlaps(others)
    addresses = pod_addresses(environment, "demo")
    assert len(addresses) == 4
    assert all(address in demos for address in addresses)
    assert pod_addresses(environment, "other") == []
    assert "create" in typed(other, "pulumi preview", environment).stdout
    typed(exports, "pulumi up --yes --skip-preview --expect-no-changes", environment)
    rehearsal(environment, "down", "--world", "other")
    assert left_running(folder(environment, "other")) == []
    assert not folder(environment, "other").exists()
    assert "(dead)" not in rehearsal(environment, "status").stdout


def test_status_shows_which_process_has_died(exports: str, environment: Mapping[str, str]) -> None:
    assert exports
    record = json.loads((folder(environment, "demo") / "world.json").read_bytes())
    os.kill(record["processes"]["prometheus"], signal.SIGKILL)
    shown = rehearsal(environment, "status").stdout
    assert "prometheus (dead)" in shown
    assert shown.count("(dead)") == 1


def test_a_killed_keeper_ends_all_processes_and_status_tidies_up(exports: str, environment: Mapping[str, str]) -> None:
    assert exports
    world = folder(environment, "demo")
    keeper = keeper_of(world)
    assert keeper is not None
    assert len(own_processes(world)) >= 10
    os.kill(keeper, signal.SIGKILL)
    wait_until_nothing_is_left(world)
    assert world.exists()

    answer = rehearsal(environment, "status")

    assert "world demo has lost its keeper" in answer.stderr
    assert answer.stdout == "no world is up; `up` builds one\n"
    assert not world.exists()
