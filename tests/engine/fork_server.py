"""Runs a fork server for the length of a block."""

import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rehearsal.warm.server import warm_process
from rehearsal.world.world import WARM_MODULES

MODULES = (*WARM_MODULES, "grpc.aio", "yaml")
"""The modules that these tests' programs, packs and plugins import."""


@dataclass(frozen=True)
class ForkServer:
    """A running fork server."""

    pid: int
    socket: Path

    def children(self) -> list[int]:
        """Return the process ids of unfinished runs."""
        return [int(word) for word in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


@contextmanager
def fork_server(project: Path | None = None, own: Sequence[str] = ()) -> Generator[ForkServer]:
    """Run a fork server for the length of the block.

    Args:
        project: a folder whose own modules it imports in advance, too.
        own: the names of these modules.
    """
    options = ["--project", project, *(word for name in own for word in ("--own", name))] if project else []
    # A short folder name: the kernel limits a socket's path to 107 characters.
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        path = Path(folder) / "socket"
        with warm_process(path, MODULES, options) as process:
            yield ForkServer(process.pid, path)
