"""Runs a fork server for the length of a block."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
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

_START_TIMEOUT_SECONDS = 120.0


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
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rehearsal.warm", "--socket", str(path), *MODULES],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        try:
            deadline = time.monotonic() + _START_TIMEOUT_SECONDS
            while not path.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield ForkServer(process.pid, path)
        finally:
            process.terminate()
            process.wait(timeout=30)
