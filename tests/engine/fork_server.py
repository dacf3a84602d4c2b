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
    "pydantic.fields",
    "pydantic.main",
    "pydantic.type_adapter",
    "pydantic.types",
    "pulumi_policy",
    "pulumi_aws.cloudwatch",
    "pulumi_aws.ec2",
    "pulumi_aws.eks",
    "pulumi_aws.iam",
    "pulumi_aws.lb",
    "pulumi_aws.vpc",
    "pulumi_kubernetes",
    "pulumi_kubernetes.apiextensions",
    "pulumi_kubernetes.apps.v1",
    "pulumi_kubernetes.core.v1",
    "pulumi_kubernetes.meta.v1",
    "pulumi_kubernetes.networking.v1",
    "pulumi_kubernetes.policy.v1",
)
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
def fork_server() -> Generator[ForkServer]:
    """Run a fork server for the length of the block."""
    # A short folder name: the kernel limits a socket's path to 107 characters.
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        path = Path(folder) / "socket"
        with warm_process(path, MODULES) as process:
            yield ForkServer(process.pid, path)
