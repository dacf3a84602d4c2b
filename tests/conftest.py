"""Shared by tests of several parts: a real Kubernetes control plane per test process, and the test tiers."""

import gc
import os
import signal
import uuid
import zlib
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from rehearsal.binaries.build import COMPONENTS, binaries, can_build, find
from rehearsal.controlplane.run import ControlPlane
from rehearsal.controlplane.run import control_plane as running_control_plane
from rehearsal.kube.client import KubeClient

# No time limit for one example: other processes may take the machine for a while.
settings.register_profile("patient", deadline=None)
# The same examples on every run, for a check that decides about a change: `--hypothesis-profile=repeatable`.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("patient")

# No test uses an image of moto's, and every new account would list a thousand of them.
# https://docs.getmoto.org/en/latest/docs/configuration/environment_variables.html
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

_NEED_PLANE = pytest.StashKey[set[Path]]()
"""The files with tests that need the control plane."""
_CONTROL_PLANE = pytest.StashKey[ExitStack]()
"""Ends the running control plane."""

_NEED_BINARIES = frozenset({"control_plane_binaries"})
"""The fixtures that build or find a world's binaries. Tests that use one belong to the tiers that need binaries."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need binaries, from their fixtures, and begin with their files, then with slow ones.

    These files mostly wait for processes or for real time. Run last, they would leave the other workers without work.
    Those that need the control plane follow each other, because it takes CPU time even when it is idle.
    """
    for item in items:
        if _NEED_BINARIES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.binaries)
    waiting = {item.path for item in items if item.get_closest_marker("binaries")}
    plane = {item.path for item in items if "control_plane" in getattr(item, "fixturenames", ())}
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    # Neighbours wait alike. All at once, they would leave a core idle.
    spread = {path: zlib.crc32(str(path.relative_to(config.rootpath)).encode()) for path in slow - waiting}
    first = {path: path in plane for path in waiting}
    items.sort(key=lambda item: (first.get(item.path, 2), item.path not in slow, spread.get(item.path, 0)))
    config.stash[_NEED_PLANE] = plane


def pytest_runtest_setup(item: pytest.Item) -> None:
    """End this process's control plane once no test may need it any more: idle, it takes a twentieth of a core."""
    stash = item.config.stash
    if _CONTROL_PLANE in stash and item.path not in stash[_NEED_PLANE]:
        stash[_CONTROL_PLANE].close()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what is imported and collected out of garbage collection: each full one would visit millions of objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        # As in the program, which sets this for the rest of a process in which a test runs it, and the rehearsal.
        gc.set_threshold(50_000, 20, 100)


_LEFT_OUT = pytest.StashKey[int]()
"""How many tests the selected tier leaves out."""


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count the tests that the selected tier leaves out."""
    if items:
        stash = items[0].config.stash
        stash[_LEFT_OUT] = stash.get(_LEFT_OUT, 0) + len(items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In an xdist worker, send the count to the process that prints."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash.get(_LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Receive the count. It is the same from every xdist worker, because each has collected the same tests."""
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print how many tests the tier left out."""
    if config.option.markexpr and (left_out := config.stash.get(_LEFT_OUT, 0)):
        terminalreporter.write_line(
            f"{left_out} tests belong to other tiers (`make help`): -m {config.option.markexpr!r}"
        )


def pytest_configure() -> None:
    """Enable Ctrl-C here and in all processes that tests start: a shell disables it for background processes."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def control_plane_binaries() -> dict[str, Path]:
    """etcd, the Kubernetes binaries and Prometheus by name, built if they are missing."""
    missing = [component.name for component in COMPONENTS if find(component) is None]
    if missing and not can_build():
        pytest.skip(f"no {', '.join(missing)} on this machine, and no Go to build them with")
    return binaries()


@pytest.fixture(scope="session")
def control_plane(
    control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Generator[ControlPlane]:
    """A real control plane that all tests of this process share. Each test uses its own namespace."""
    folder = tmp_path_factory.mktemp("control-plane")
    with ExitStack() as stack:
        pytestconfig.stash[_CONTROL_PLANE] = stack
        yield stack.enter_context(running_control_plane(folder, control_plane_binaries))


@pytest.fixture(scope="session")
def kube(control_plane: ControlPlane) -> Generator[KubeClient]:
    """The administrator's client of the control plane."""
    with KubeClient.from_kubeconfig(control_plane.kubeconfig) as client:
        yield client


@pytest.fixture
def namespace(kube: KubeClient) -> Generator[str]:
    """The test's own namespace. Everything in it is deleted afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    kube.delete("v1", "Namespace", None, name)
