"""Commands that stop at a named point, to be interrupted or killed there, and the processes that they leave."""

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
"""For programs: `hold("point")` stops like the plugin's points."""


class Points:
    """Points at which programs and plugins stop for ever."""

    def __init__(self, world: World, *names: str) -> None:
        """Make programs and plugins stop at these points."""
        self._paths = [world.cloud / f"hold-{name}" for name in names]
        for path in self._paths:
            os.mkfifo(path)
        self._waiting = {os.open(path, os.O_RDONLY | os.O_NONBLOCK) for path in self._paths}

    def wait(self) -> bool:
        """Wait until all points are reached, then remove them. Return whether all were reached."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while self._waiting and time.monotonic() < deadline:
            for descriptor in select.select(list(self._waiting), [], [], 1)[0]:
                self._waiting.remove(descriptor)
                os.close(descriptor)
        for path in self._paths:
            path.unlink()
        return not self._waiting


class Held:
    """A running command of the CLI."""

    def __init__(self, world: World, *arguments: str, until: Sequence[str], **environment: str) -> None:
        """Start the command and wait until all points are reached. It waits there for ever."""
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
            raise AssertionError(f"never reached {until}:\n{self.output()}")

    def interrupt(self) -> None:
        """Interrupt it like Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill only the CLI."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Wait for its end and return the exit status."""
        return self.process.wait(timeout=LONGEST_SECONDS)

    def output(self) -> str:
        """Return all of its output so far."""
        return self._output.read_text(encoding="utf-8")


def left_running(world: World, *, patience_seconds: float = 20) -> list[str]:
    """Return the command lines of a world's processes that still run after the timeout."""
    deadline = time.monotonic() + patience_seconds
    while (found := _running(world)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _running(world: World) -> list[str]:
    """Return the command lines of processes with the world's environment and of the fork server's runs."""
    mark = f"TEST_CLOUD={world.cloud}".encode()
    forked = world.warm.children() if world.warm else []
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or belongs to another user
            if int(folder.name) in forked or mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
