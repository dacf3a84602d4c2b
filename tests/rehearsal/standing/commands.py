"""The commands of the standing worlds, as a person runs them."""

import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.world.leftovers import left_running
from rehearsal.world.settings import OUT_VARIABLE

REHEARSAL = (sys.executable, "-m", "rehearsal")
UP_TIMEOUT_SECONDS = 180
Text = subprocess.CompletedProcess[str]


@contextmanager
def environment_of(out: Path) -> Generator[Mapping[str, str]]:
    """The environment of a person with their own out folder. No world outlives it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REHEARSAL_")}
    cache = {name: os.environ[name] for name in ("REHEARSAL_CACHE_DIR",) if name in os.environ}
    # Other tests may run on the same two cores, so send little traffic.
    traffic = {"REHEARSAL_REQUESTS_PER_SECOND": "20", "REHEARSAL_OPEN_STREAMS": "40"}
    chosen = kept | cache | traffic | {OUT_VARIABLE: str(out)}
    yield chosen
    rehearsal(chosen, "down", "--all")
    assert left_running(out / "worlds") == []


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


def folder(environment: Mapping[str, str], name: str) -> Path:
    return Path(environment[OUT_VARIABLE]) / "worlds" / name


def wait_until_nothing_is_left(world: Path) -> None:
    # The world's end is seen between two steps of its start; beside other tests, one took over 30 seconds.
    deadline = time.monotonic() + 90
    while left := left_running(world):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
