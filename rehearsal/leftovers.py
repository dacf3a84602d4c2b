"""Finds processes that a world left behind, by the world's folder in their environment or command line."""

import os
from pathlib import Path


def left_running(folder: Path) -> list[str]:
    """Return ``pid command`` of every process, other than this one, that names the world's folder."""
    needle = os.fsencode(folder)
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            command = (process / "cmdline").read_bytes()
            if needle in command or needle in (process / "environ").read_bytes():
                found.append(f"{process.name} {command.replace(bytes(1), b' ').decode(errors='replace').strip()}")
        except OSError:
            continue  # It ended meanwhile, or belongs to somebody else.
    return found
