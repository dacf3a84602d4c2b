"""Runs the warm process by itself, for use outside a world."""

import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rehearsal.system.processes import Process
from rehearsal.system.project import PROJECT_FOLDER

_START_TIMEOUT_SECONDS = 120.0


@contextmanager
def warm_process(socket: Path, modules: Sequence[str], options: Sequence[str | Path] = ()) -> Generator[Process]:
    """Serve forks on a socket for the length of a ``with`` block, with these modules imported. Logs beside the socket.

    Raises:
        ProcessError: it does not start.
    """
    words = [sys.executable, "-P", "-m", "rehearsal.warm", "--socket", socket, *options, *modules]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_FOLDER)}
    process = Process.start("warm", words, log=socket.with_suffix(".log"), env=environment)
    try:
        process.wait_until(socket.exists, timeout_seconds=_START_TIMEOUT_SECONDS)
        yield process
    finally:
        process.stop()
