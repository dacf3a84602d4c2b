"""Runs a fork server for the length of a block."""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.engine.conftest import REPOSITORY

_START_TIMEOUT_SECONDS = 60.0


@contextmanager
def running_fork_server(path: Path, *modules: str) -> Generator["subprocess.Popen[str]"]:
    """Start a fork server on the socket ``path`` with these modules loaded, and end it after the block."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "rehearsal.engine.warm", "--socket", str(path), *modules],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        text=True,
    )
    try:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not path.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)
