"""The fork server: programs and plugins run in its forks as they run by themselves."""

import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.warm import launch
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


def test_program_and_plugin_run_in_forks_with_their_own_folder_and_environment(world: World, warm: ForkServer) -> None:
    world.program(PARENTS)
    world.pulumi(*UP)
    values = world.outputs()
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
    assert world.outputs()["value"] == 2000


@pytest.mark.parametrize("socket", ["", "/nowhere/warm.sock"])
def test_without_a_server_at_the_socket_runs_start_by_themselves(world: World, warm: ForkServer, socket: str) -> None:
    world.program(PARENTS)
    world.pulumi(*UP, REHEARSAL_WARM_SOCKET=socket)
    assert world.outputs()["parent"] != warm.pid
    assert world.calls() == [("create", "a")]


ENDS = {
    "at its last line": "print('done', end='')",
    "with a number": "raise SystemExit(3)",
    "with words": "raise SystemExit('no such stack')",
    "without a number": "raise SystemExit",
    "with an error": "1 / 0",
    "with an error in two steps": "try:\n    1 / 0\nexcept ArithmeticError as error:\n    raise ValueError from error",
    "interrupted": "raise KeyboardInterrupt",
    "after its threads": "import threading, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()\nprint('main')",
    "after a pool": "from concurrent.futures import ThreadPoolExecutor\n"
    "ThreadPoolExecutor(2).submit(lambda: print('pool'))",
    "after its hooks": "import atexit\natexit.register(print, 'one')\natexit.register(print, 'two')",
    "without output": "import sys\nsys.stdout.close()",
}


@pytest.mark.parametrize("ends", ENDS)
def test_a_run_ends_as_one_that_starts_by_itself(warm: ForkServer, tmp_path: Path, ends: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(ENDS[ends] + "\n", encoding="utf-8")

    def run(socket: str) -> tuple[int, str, str]:
        command = [sys.executable, "-I", "-S", launch.__file__, str(script)]
        environment = {launch.SOCKET_VARIABLE: socket}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
        # A forked run's traceback begins in what carried it out.
        errors = done.stderr.splitlines()
        return done.returncode, done.stdout, errors[-1] if errors else ""

    assert run(str(warm.socket)) == run("")
