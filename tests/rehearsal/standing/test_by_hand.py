"""Worlds that stay up: typed commands work, two worlds do not interfere, and nothing is left after any end."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import IO

import pytest

from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.world.hold import keeper_of
from rehearsal.world.leftovers import left_running, own_processes
from rehearsal.world.settings import OUT_VARIABLE

pytestmark = pytest.mark.timeout(600)

REHEARSAL = (sys.executable, "-m", "rehearsal")
UP_TIMEOUT_SECONDS = 180
Text = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def environment(
    control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Mapping[str, str]]:
    """The environment of a person with built binaries and their own out folder. No world outlives the tests."""
    assert control_plane_binaries
    out = tmp_path_factory.mktemp("by-hand")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REHEARSAL_")}
    cache = {name: os.environ[name] for name in ("REHEARSAL_CACHE_DIR",) if name in os.environ}
    # Other tests may run on the same two cores, so send little traffic.
    traffic = {"REHEARSAL_REQUESTS_PER_SECOND": "20", "REHEARSAL_OPEN_STREAMS": "40"}
    chosen = kept | cache | traffic | {OUT_VARIABLE: str(out)}
    yield chosen
    rehearsal(chosen, "down", "--all")
    assert left_running(out / "worlds") == []


@pytest.fixture(scope="module")
def exports(environment: Mapping[str, str]) -> str:
    """The output of `up` for the world `demo`."""
    return rehearsal(environment, "up", "--world", "demo").stdout


def rehearsal(environment: Mapping[str, str], *arguments: str, status: int = 0) -> Text:
    answer = subprocess.run(
        [*REHEARSAL, *arguments],
        env=environment,
        cwd=PROJECT_FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=UP_TIMEOUT_SECONDS,
    )
    assert answer.returncode == status, answer
    return answer


def typed(exports: str, line: str, environment: Mapping[str, str]) -> Text:
    """Run a line in a new shell that works in the world."""
    script = f'eval "$1"; cd "$REHEARSAL_CHECKOUT"; {line}'
    shell = ["bash", "-ec", script, "bash", exports]
    answer = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer


def folder(environment: Mapping[str, str], name: str) -> Path:
    return Path(environment[OUT_VARIABLE]) / "worlds" / name


def wait_until_nothing_is_left(world: Path) -> None:
    # The world's end is seen between two steps of its start; beside other tests, one took over 30 seconds.
    deadline = time.monotonic() + 90
    while left := left_running(world):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@contextlib.contextmanager
def building(environment: Mapping[str, str], name: str, lines: int) -> Generator["subprocess.Popen[str]"]:
    """Run `up` until it has printed this many lines."""
    command = [*REHEARSAL, "up", "--world", name]
    with subprocess.Popen(
        command,
        env=environment,
        cwd=PROJECT_FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            for _ in range(lines):
                assert stream(process.stderr).readline()
            yield process
        finally:
            process.kill()


def stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


# These come before the tests that keep a world up: it takes a quarter of a core even while nothing is asked of it.


@pytest.mark.parametrize(("lines", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM), (2, signal.SIGHUP)])
def test_an_interrupted_up_leaves_nothing(environment: Mapping[str, str], lines: int, number: signal.Signals) -> None:
    with building(environment, "broken", lines) as process:
        process.send_signal(number)
        assert process.wait(60) == 130
        assert stream(process.stdout).read() == ""
        assert "stopped; nothing of the world is left" in stream(process.stderr).read()
    assert left_running(folder(environment, "broken")) == []
    assert not folder(environment, "broken").exists()


def test_a_killed_up_ends_its_world(environment: Mapping[str, str]) -> None:
    # Then the kernel terminates the keeper, and nobody else removes the world.
    with building(environment, "broken", 2) as process:
        process.kill()
    wait_until_nothing_is_left(folder(environment, "broken"))
    assert not folder(environment, "broken").exists()


def test_a_full_disk_ends_up_with_a_one_line_error(environment: Mapping[str, str]) -> None:
    limited = ["bash", "-c", 'ulimit -f 64; exec "$@"', "bash", *REHEARSAL, "up", "--world", "full"]
    answer = subprocess.run(
        limited, env=environment, cwd=PROJECT_FOLDER, capture_output=True, text=True, check=False, timeout=120
    )
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    assert "error: etcd ended with code" in answer.stderr
    assert [line for line in answer.stderr.splitlines() if line.startswith("error: ")] == answer.stderr.splitlines()[
        -1:
    ]
    assert left_running(folder(environment, "full")) == []
    assert not folder(environment, "full").exists()


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


def test_traffic_while_a_person_types_loses_nothing_and_is_summed_up(
    exports: str, environment: Mapping[str, str]
) -> None:
    line = "rehearsal load --seconds 8 & pulumi up --yes --refresh >&2; wait $!"
    summary = typed(exports, line, environment).stdout
    (row,) = [line for line in summary.splitlines() if "│ all" in line]
    _, _, requests, lost, _, broken, *_ = (cell.strip() for cell in row.split("│"))
    assert int(requests) > 100
    assert (lost, broken) == ("0", "0")


def test_status_shows_processes_weights_and_pods(exports: str, environment: Mapping[str, str]) -> None:
    assert exports
    shown = rehearsal(environment, "status").stdout
    assert "blue 100 %, green 0 %" in shown
    assert "blue 2 of 2 ready" in shown
    assert "(dead)" not in shown


def test_two_worlds_can_be_up_at_once(exports: str, environment: Mapping[str, str]) -> None:
    other = rehearsal(environment, "up", "--world", "other").stdout
    typed(other, "pulumi up --yes --skip-preview", environment)
    addresses = [
        typed(lines, "kubectl get pods -n chat -o jsonpath='{.items[*].status.podIP}'", environment).stdout.split()
        if shutil.which("kubectl")
        else [lines]
        for lines in (exports, other)
    ]
    assert not set(addresses[0]) & set(addresses[1])
    typed(exports, "pulumi up --yes --skip-preview --expect-no-changes", environment)
    typed(other, "pulumi up --yes --skip-preview --expect-no-changes", environment)
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
