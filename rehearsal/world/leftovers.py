"""Finds the processes of a world."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rehearsal.world.settings import FOLDER_VARIABLE


@dataclass(frozen=True, kw_only=True)
class Found:
    """Another process."""

    pid: int
    words: list[bytes]
    environment: list[bytes]

    def __str__(self) -> str:
        return f"{self.pid} {b' '.join(self.words).decode(errors='replace')}"


def left_running(folder: Path) -> list[str]:
    """Return ``pid command`` of every process with the world's folder in its command line or environment."""
    # `…/worlds/ab` does not match `…/worlds/a`.
    needle = re.compile(re.escape(os.fsencode(folder)) + rb"(?![\w.-])")
    return [
        str(found) for found in _processes() if any(needle.search(word) for word in found.words + found.environment)
    ]


def own_processes(folder: Path) -> list[Found]:
    """Return the world's own processes, without those that a person has started in its folder."""
    mark = os.fsencode(f"{FOLDER_VARIABLE}={folder}")
    return [found for found in _processes() if mark in found.environment]


def _processes() -> Iterator[Found]:
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            words, environment = (
                (process / name).read_bytes().removesuffix(bytes(1)).split(bytes(1)) for name in ("cmdline", "environ")
            )
        except OSError:
            continue  # It ended meanwhile, or belongs to another user.
        yield Found(pid=int(process.name), words=words, environment=environment)
