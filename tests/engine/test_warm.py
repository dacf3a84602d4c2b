"""The fork server: programs and plugins run in its forks as they run by themselves."""

import pytest

from rehearsal.system.project import PROJECT_FOLDER
from tests.engine.conftest import UP, World
from tests.engine.fork_server import ForkServer
from tests.engine.held import left_running

pytestmark = pytest.mark.binaries

PARENTS = """
import os, sys
from pathlib import Path
Thing("a", size=1)
pulumi.export("parent", os.getppid())
pulumi.export("path", list(sys.path))
pulumi.export("cwd", str(Path.cwd()))
pulumi.export("home", os.environ["PULUMI_HOME"])
"""


def outputs(world: World) -> dict[str, object]:
    return {key: output.value for key, output in world.stack.outputs().items()}


def test_program_and_plugin_run_in_forks_with_their_own_folder_and_environment(world: World, warm: ForkServer) -> None:
    world.program(PARENTS)
    world.pulumi(*UP)
    values = outputs(world)
    assert values["parent"] == warm.pid
    assert values["cwd"] == str(world.project)
    assert values["home"] == world.environment["PULUMI_HOME"]
    path = values["path"]
    assert isinstance(path, list)
    assert path[0] == str(world.project)
    assert str(PROJECT_FOLDER) not in path
    assert world.calls() == [("create", "a")]
    assert left_running(world) == []


def test_each_run_reloads_the_projects_modules(world: World) -> None:
    (world.project / "local.py").write_text("VALUE = 1\n", encoding="utf-8")
    world.program("import local\npulumi.export('value', local.VALUE)")
    world.pulumi(*UP)
    (world.project / "local.py").write_text("VALUE = 2000\n", encoding="utf-8")
    world.pulumi(*UP)
    assert outputs(world)["value"] == 2000


@pytest.mark.parametrize("socket", ["", "/nowhere/warm.sock"])
def test_without_a_server_at_the_socket_runs_start_by_themselves(world: World, warm: ForkServer, socket: str) -> None:
    world.program(PARENTS)
    world.pulumi(*UP, REHEARSAL_WARM_SOCKET=socket)
    assert outputs(world)["parent"] != warm.pid
    assert world.calls() == [("create", "a")]
