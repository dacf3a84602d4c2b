"""The fork server: programs and plugins run in forks of it as they would run by themselves."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import REPOSITORY, World
from tests.engine.fork_server import running_fork_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A fork server with the SDK loaded."""
    with running_fork_server(tmp_path / "warm.sock", "pulumi") as process:
        yield process


@pytest.fixture
def warm_world(tmp_path: Path, server: "subprocess.Popen[str]") -> Iterator[World]:
    """A world whose engine uses the fork server."""
    assert server.poll() is None
    path = os.environ["PATH"]
    world = World(tmp_path / "world", "embedded")
    world.environment["PULUMI_EMBEDDED_WARM_SOCKET"] = str(tmp_path / "warm.sock")
    yield world
    os.environ["PATH"] = path


PARENTS = """
import os, sys
from pathlib import Path
Thing("a", size=1)
pulumi.export("parent", os.getppid())
pulumi.export("path", list(sys.path))
pulumi.export("cwd", str(Path.cwd()))
pulumi.export("home", os.environ["PULUMI_HOME"])
"""


def test_program_and_plugin_run_in_forks_with_their_own_folder_and_environment(
    warm_world: World, server: "subprocess.Popen[str]"
) -> None:
    warm_world.program(PARENTS)
    stack = warm_world.open()
    assert warm_world.up() == {"create": 2}
    outputs = {key: output.value for key, output in stack.outputs().items()}
    assert outputs["parent"] == server.pid
    assert outputs["cwd"] == str(warm_world.project)
    assert outputs["home"] == str(warm_world.root / "home")
    assert outputs["path"][0] == str(warm_world.project)
    assert str(REPOSITORY) not in outputs["path"]
    assert warm_world.calls() == [("create", "a")]


def test_a_failing_program_fails_the_same_way(warm_world: World) -> None:
    warm_world.program('raise ValueError("nonsense in line seven")')
    warm_world.open()
    answer = warm_world.pulumi("preview", status=1)
    assert "nonsense in line seven" in answer.stdout


def test_each_run_loads_the_projects_modules_anew(warm_world: World) -> None:
    (warm_world.project / "local.py").write_text("VALUE = 1\n", encoding="utf-8")
    warm_world.program("import local\npulumi.export('value', local.VALUE)")
    stack = warm_world.open()
    stack.up()
    (warm_world.project / "local.py").write_text("VALUE = 2000\n", encoding="utf-8")
    stack.up()
    assert stack.outputs()["value"].value == 2000


def test_forks_end_when_their_engine_is_killed(warm_world: World, server: "subprocess.Popen[str]") -> None:
    warm_world.program('Thing("a", slow=60)')
    warm_world.open()
    running = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview"],
        cwd=warm_world.project,
        env={**os.environ, **warm_world.environment},
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not warm_world.calls("create"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert _children(server.pid)
    os.kill(running.pid, signal.SIGKILL)
    running.wait(timeout=30)
    while _children(server.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()


def test_without_a_server_at_the_socket_everything_starts_by_itself(tmp_path: Path) -> None:
    path = os.environ["PATH"]
    world = World(tmp_path, "embedded")
    world.environment["PULUMI_EMBEDDED_WARM_SOCKET"] = str(tmp_path / "nobody.sock")
    world.program('Thing("a", size=1)')
    try:
        world.open()
        assert world.up() == {"create": 2}
    finally:
        os.environ["PATH"] = path
