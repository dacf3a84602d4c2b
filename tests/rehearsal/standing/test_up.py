"""However `up` ends before its world is up, nothing of the world is left."""

import contextlib
import signal
import subprocess
from collections.abc import Generator, Mapping
from typing import IO

import pytest

from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.world.leftovers import left_running
from tests.rehearsal.standing.commands import REHEARSAL, folder, wait_until_nothing_is_left

pytestmark = pytest.mark.timeout(600)


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
