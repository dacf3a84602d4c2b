"""One AWS and one binder for all tests of the binder."""

import sys
from collections.abc import Generator

import pytest

from rehearsal.controlplane.run import ControlPlane
from rehearsal.processes import Process
from tests.rehearsal import world_parts
from tests.rehearsal.world_parts import Aws


@pytest.fixture(scope="module")
def bound_aws(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Generator[Aws]:
    """AWS with a binder that acts on it."""
    folder = tmp_path_factory.mktemp("binder")
    with world_parts.aws() as aws:
        quick = ["--health-poll-seconds", "0.1", "--resync-seconds", "1"]
        command = [sys.executable, "-m", "rehearsal.binder", "--kubeconfig", str(control_plane.kubeconfig), *quick]
        binder = Process.start("binder", command, log=folder / "binder.log", env=aws.environment)
        try:
            yield aws
        finally:
            binder.stop()
