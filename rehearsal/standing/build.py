"""Builds a world that stays up: starts a keeper that outlives the shell, and follows it until the world is up."""

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
    """Build a world. After a failure or an interrupt, nothing of it is left.

    Args:
        worlds: the worlds to add it to.
        name: its name, which must be free.
        say: called with a few words on what is being started.

    Raises:
        StandingError: the world could not be built.
    """
    folder, lock = worlds.claim(name)
    try:
        try:
            keeper, progress = _start_keeper(folder, lock)
        finally:
            os.close(lock)  # From here on only the keeper has it.
        _follow(keeper, progress, folder, say)
        return worlds.get(name)
    except BaseException:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        take_down(folder)
        raise


def _start_keeper(folder: Path, lock: int) -> tuple["subprocess.Popen[bytes]", int]:
    """Start the keeper. Return it and the read end of the pipe for its messages."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-P", "-m", KEEPER_MODULE, "--folder", str(folder), "--lock", str(lock)]
    # It starts in our working folder, because variables may name files relative to it.
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
                start_new_session=True,  # It outlives the shell's terminal.
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
