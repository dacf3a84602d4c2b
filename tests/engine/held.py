"""Commands that are stopped at a named point, to be interrupted or killed there, and what they leave running."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.engine.conftest import World

LONGEST_SECONDS = 120

HOLD = """
import os
import threading


def hold(point):
    pipe = f"{os.environ['TEST_CLOUD']}/hold-{point}"
    if os.path.exists(pipe):
        with open(pipe, "w") as file:
            file.write("here")
        threading.Event().wait()


"""
"""For programs: `hold("point")` stops as the plugin's points do."""


class Points:
    """Points at which programs and plugins stop for ever."""

    def __init__(self, world: World, *names: str) -> None:
        """Have them stop at these."""
        self._paths = [world.cloud / f"hold-{name}" for name in names]
        for path in self._paths:
            os.mkfifo(path)
        self._waiting = {os.open(path, os.O_RDONLY | os.O_NONBLOCK) for path in self._paths}

    def wait(self) -> bool:
        """Wait until all are reached; tells whether they were, and has nobody stop there any more."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while self._waiting and time.monotonic() < deadline:
            for descriptor in select.select(list(self._waiting), [], [], 1)[0]:
                self._waiting.remove(descriptor)
                os.close(descriptor)
        for path in self._paths:
            path.unlink()
        return not self._waiting


class Held:
    """A command of the CLI that runs."""

    def __init__(self, world: World, *arguments: str, until: Sequence[str], **environment: str) -> None:
        """Start it, and wait until all the points are reached; there it waits for ever."""
        self._output = world.root / "output.txt"
        points = Points(world, *until)
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                [world.root / "bin" / "pulumi", *arguments],
                cwd=world.project,
                env={**os.environ, **world.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if not points.wait():
            self.kill()
            raise AssertionError(f"never came to {until}:\n{self.said()}")

    def interrupt(self) -> None:
        """Send it what Ctrl-C sends."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill the CLI, and nothing else."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Wait for its end; returns the exit status."""
        return self.process.wait(timeout=LONGEST_SECONDS)

    def said(self) -> str:
        """All of its output so far."""
        return self._output.read_text(encoding="utf-8")


def left_running(world: World, *, patience_seconds: float = 20) -> list[str]:
    """What of a world's processes still runs when patience is over: their words."""
    deadline = time.monotonic() + patience_seconds
    while (found := _running(world)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _running(world: World) -> list[str]:
    """What was started with the world's environment, and what the fork server has forked."""
    mark = f"TEST_CLOUD={world.cloud}".encode()
    forked = world.warm.children() if world.warm else []
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if int(folder.name) in forked or mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
