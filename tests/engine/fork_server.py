"""Runs a fork server for the length of a block."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rehearsal.warm.server import warm_process

MODULES = (
    "pulumi",
    "grpc.aio",
    "yaml",
    "pydantic",
    "pulumi_policy",
    "pulumi_aws.lb",
    "pulumi_aws.eks",
    "pulumi_aws.ec2",
    "pulumi_kubernetes.apps.v1",
    "pulumi_kubernetes.core.v1",
)
"""What the programs, packs and plugins of these tests import."""


@dataclass(frozen=True)
class ForkServer:
    """A fork server that runs."""

    pid: int
    socket: Path

    def children(self) -> list[int]:
        """The runs that are not over."""
        return [int(word) for word in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


@contextmanager
def fork_server() -> Generator[ForkServer]:
    """Start a fork server, and end it after the block."""
    # In a folder with a short name: the kernel's limit for a socket's is 107 characters.
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        path = Path(folder) / "socket"
        with warm_process(path, MODULES) as process:
            yield ForkServer(process.pid, path)
