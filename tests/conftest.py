"""What tests of several parts need: a real Kubernetes control plane, one for each test process."""

import signal
import uuid
from collections.abc import Generator
from pathlib import Path

import pytest

from rehearsal.binaries.build import COMPONENTS, binaries, can_build, find
from rehearsal.controlplane.run import ControlPlane
from rehearsal.controlplane.run import control_plane as running_control_plane
from rehearsal.kube import KubeClient

_NEED_BINARIES = frozenset({"control_plane_binaries"})
"""The fixtures that build, or find, what a world runs; whoever asks for one belongs to the tiers that need them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need binaries, by what they ask for: nobody has to remember to."""
    for item in items:
        if _NEED_BINARIES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.binaries)


def pytest_configure() -> None:
    """Heed Ctrl-C, as do all processes that tests start: a shell has it ignored in what it starts in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def control_plane_binaries() -> dict[str, Path]:
    """etcd, the Kubernetes binaries and Prometheus by name, built when that has not been done yet."""
    missing = [component.name for component in COMPONENTS if find(component) is None]
    if missing and not can_build():
        pytest.skip(f"no {', '.join(missing)} on this machine, and no Go to build them with")
    return binaries()


@pytest.fixture(scope="session")
def control_plane(
    control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Generator[ControlPlane]:
    """A real control plane that all tests of this process share; use a namespace of your own in it."""
    with running_control_plane(tmp_path_factory.mktemp("control-plane"), control_plane_binaries) as running:
        yield running


@pytest.fixture(scope="session")
def kube(control_plane: ControlPlane) -> Generator[KubeClient]:
    """Administrator's client of the control plane."""
    with KubeClient.from_kubeconfig(control_plane.kubeconfig) as client:
        yield client


@pytest.fixture
def namespace(kube: KubeClient) -> Generator[str]:
    """A namespace of the test's own; everything in it is deleted afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    kube.delete("v1", "Namespace", None, name)
