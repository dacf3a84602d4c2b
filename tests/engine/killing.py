"""Commands that are stopped at a named point and killed there, and what they left."""

import json
import os
import select
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.engine.conftest import World

_LONGEST_SECONDS = 120

HOLD = """
import os
import stat
import threading


def hold(point):
    pipe = f"{os.environ['TEST_CLOUD']}/hold-{point}"
    if os.path.exists(pipe) and stat.S_ISFIFO(os.stat(pipe).st_mode):
        with open(pipe, "w") as file:
            file.write(f"{os.getpid()}\\n")
        threading.Event().wait()


"""
"""For programs: `hold("point")` stops as the plugin's points do."""


def start(world: World, *arguments: str, until: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Start a command and return when all the points are reached; there it waits for ever."""
    pipes: list[int] = []
    for point in until:
        path = world.cloud / f"hold-{point}"
        os.mkfifo(path)
        pipes.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    output = world.root / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["pulumi", *arguments],
            cwd=world.project,
            env={**os.environ, **world.environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ended = os.pidfd_open(process.pid)
    waiting = set(pipes)
    while waiting:
        ready = select.select([*waiting, ended], [], [], _LONGEST_SECONDS)[0]
        if not ready or ended in ready:
            kill_all(process)
            raise AssertionError(f"never came to {until}:\n{output.read_text(encoding='utf-8')}")
        waiting -= set(ready)
    for descriptor in (*pipes, ended):
        os.close(descriptor)
    for point in until:
        (world.cloud / f"hold-{point}").unlink()
    return process


def descendants(pid: int) -> list[int]:
    """All processes that a process has started, and those that these have."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = list(children.get(pid, []))
    for each in found:
        found += children.get(each, [])
    return found


def kill_all(process: "subprocess.Popen[bytes]") -> None:
    """Kill a command at once with its program and plugins."""
    process.send_signal(signal.SIGSTOP)
    for pid in (*descendants(process.pid), process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def end_of(pids: Sequence[int]) -> list[int]:
    """Wait for processes to end by themselves; returns those that did not."""
    alive: list[int] = []
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        if not select.select([descriptor], [], [], _LONGEST_SECONDS)[0]:
            alive.append(pid)
        os.close(descriptor)
    return alive


def run_killed(world: World, *arguments: str, until: Sequence[str]) -> None:
    """Run a command up to some points and kill it there."""
    kill_all(start(world, *arguments, until=until))


# -- what is left


def state_file(world: World) -> Path:
    """Where both engines keep the stack."""
    return world.root / "state" / ".pulumi" / "stacks" / "probe" / "dev.json"


def deployment(world: World) -> dict[str, Any]:
    """The recorded deployment."""
    return json.loads(state_file(world).read_text(encoding="utf-8"))["checkpoint"].get("latest") or {}


def pending(world: World) -> list[tuple[str, str]]:
    """The recorded pending operations, as (resource name, kind), sorted."""
    operations = deployment(world).get("pending_operations", [])
    return sorted((each["resource"]["urn"].rsplit("::")[-1], each["type"]) for each in operations)


def recorded(world: World) -> dict[str, str]:
    """The recorded things: id to what is to be done with it (`delete`, `replace`, or nothing)."""
    found: dict[str, str] = {}
    for each in deployment(world).get("resources", []):
        if each["type"] == "test:index:Thing":
            found[each["id"]] = "delete" if each.get("delete") else "replace" if each.get("pendingReplacement") else ""
    return found


def cloud(world: World) -> set[str]:
    """The ids of what exists in the test cloud."""
    return {path.stem for path in world.cloud.glob("*.json")}
