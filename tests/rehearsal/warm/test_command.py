"""Commands that the kubelet runs as forks of the warm process: probes, which are many."""

import asyncio
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from rehearsal.warm.command import run_warm, script_of
from rehearsal.warm.server import warm_process

SCRIPT = """
import os, sys, time
from pathlib import Path

Path("began").write_text(f"{os.getpid()} {os.environ['POD_IP']} {sys.argv[1:]}")
print("not shown")
print("not ready: no model", file=sys.stderr)
time.sleep(float(sys.argv[1]))
sys.exit(3)
"""


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    socket = tmp_path_factory.mktemp("warm") / "warm.sock"
    with warm_process(socket, []):
        yield str(socket)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "probe.py"
    path.write_text(SCRIPT)
    return path


async def run(warm: str, script: Path, seconds: float) -> int | None:
    with (script.parent / "log").open("ab") as log:
        words = [str(script), str(seconds)]
        environment = {"POD_IP": "127.0.0.9"}
        return await run_warm(warm, words, folder=script.parent, environment=environment, errors=log.fileno())


def test_a_script_runs_in_its_folder_with_its_environment_and_its_status_and_errors_are_kept(
    warm: str, script: Path
) -> None:
    assert asyncio.run(run(warm, script, 0)) == 3
    assert (script.parent / "began").read_text().endswith(" 127.0.0.9 ['0']")
    assert (script.parent / "log").read_text() == "not ready: no model\n"


@pytest.mark.slow
def test_a_cancelled_script_is_killed(warm: str, script: Path) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(run(warm, script, 60), 2))
    process = Path("/proc", (script.parent / "began").read_text().split()[0])
    deadline = time.monotonic() + 10
    while process.exists():
        assert time.monotonic() < deadline, "it runs on"
        time.sleep(0.02)


def test_without_a_warm_process_nothing_runs(script: Path) -> None:
    assert asyncio.run(run(str(script.parent / "none.sock"), script, 0)) is None
    assert not (script.parent / "began").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([sys.executable, "-I", "/probe/probe.py", "--port=8000"], ["/probe/probe.py", "--port=8000"]),
        ([sys.executable, "/probe/probe.py"], ["/probe/probe.py"]),
        ([sys.executable, "-c", "pass"], None),
        ([sys.executable], None),
        (["python4", "probe.py"], None),
        (["sh", "-c", "exit 1"], None),
    ],
)
def test_only_scripts_of_this_python_can_be_forked(command: list[str], words: list[str] | None) -> None:
    assert script_of(command) == words
