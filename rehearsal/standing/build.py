"""Builds a world that stays: a keeper is started that outlives the shell, and followed until the world stands."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rehearsal.standing.shell import outer_environment
from rehearsal.standing.worlds import Record, StandingError, Worlds
from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.world.hold import KEEPER_MODULE, take_down
from rehearsal.world.settings import FOLDER_VARIABLE

_LOG_TAIL_CHARACTERS = 600


def build(worlds: Worlds, name: str, say: Callable[[str], None]) -> Record:
    """Build a world; when that fails or is interrupted, nothing of it is left.

    Args:
        worlds: where it is to stand.
        name: its name, not in use.
        say: told in a few words what is being started.

    Raises:
        StandingError: it could not be built.
    """
    folder, lock = worlds.claim(name)
    try:
        try:
            keeper, progress = _start_keeper(folder, lock)
        finally:
            os.close(lock)  # It is the keeper's alone from here on.
        _follow(keeper, progress, folder, say)
        return worlds.get(name)
    except BaseException:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        take_down(folder)
        raise


def _start_keeper(folder: Path, lock: int) -> tuple["subprocess.Popen[bytes]", int]:
    """Start the keeper; it and the end of a pipe from which its messages can be read."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-P", "-m", KEEPER_MODULE, "--folder", str(folder), "--lock", str(lock)]
    # Started in our own folder, for there may be variables that name files in it.
    environment = outer_environment() | {FOLDER_VARIABLE: str(folder), "PYTHONPATH": str(PROJECT_FOLDER)}
    try:
        with (folder / "keeper.log").open("ab") as log:
            keeper = subprocess.Popen(
                [*command, "--progress", str(write_end)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=(lock, write_end),
                start_new_session=True,  # It lives on when the shell's terminal is closed.
            )
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return keeper, read_end


def _follow(keeper: "subprocess.Popen[bytes]", progress: int, folder: Path, say: Callable[[str], None]) -> None:
    with os.fdopen(progress) as lines:
        for line in lines:
            match json.loads(line):
                case {"say": what}:
                    say(what)
                case {"error": what}:
                    raise StandingError(what)
                case _:
                    return
    log = folder / "keeper.log"
    tail = log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:].strip() if log.exists() else ""
    raise StandingError(f"the world's keeper ended with code {keeper.wait()}: {tail or 'no output'}")
