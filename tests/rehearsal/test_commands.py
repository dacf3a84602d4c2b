"""A wrong command of the rehearsal prints one line, exits with status 2 and leaves nothing behind."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.warm import launch
from rehearsal.warm.server import warm_process
from rehearsal.world.settings import OUT_VARIABLE

pytestmark = pytest.mark.slow

Answer = subprocess.CompletedProcess[str]
Rehearsal = Callable[..., Answer]

SYSTEM_PATH = "/usr/bin:/bin"
"""Has neither the Pulumi CLI nor Go."""


IMPORTED = (
    *("aiohttp.web", "boto3", "cryptography.x509", "httpx", "jinja2", "rich.progress", "typer"),
    *("components.config.settings", "rollout.model.records", "rollout.report.page"),
)
"""What takes most of a command's start, two CPU seconds. It is imported once, and each command is a fork."""


@pytest.fixture(scope="module")
def warm() -> Generator[Path]:
    """The socket of the process that forks the commands."""
    # A short folder name: the kernel limits a socket's path to 107 characters.
    with TemporaryDirectory(prefix="warm-") as folder, warm_process(Path(folder) / "socket", IMPORTED):
        yield Path(folder) / "socket"


@pytest.fixture
def rehearsal(warm: Path) -> Rehearsal:
    """Run a command of the rehearsal; tests/rehearsal/standing starts the commands in a new Python."""

    def rehearsal(*arguments: str, out: Path, **environment: str) -> Answer:
        forked = {launch.SOCKET_VARIABLE: str(warm), "PYTHONPATH": str(PROJECT_FOLDER)}
        words = [sys.executable, "-I", "-S", launch.__file__, "-m", "rehearsal", *arguments]
        return run(words, out, {**forked, **environment})

    return rehearsal


def run(command: list[str], out: Path, environment: Mapping[str, str]) -> Answer:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REHEARSAL_")}
    return subprocess.run(
        command,
        env={**kept, OUT_VARIABLE: str(out), **environment},
        cwd=PROJECT_FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def assert_refused(answer: Answer, message: str) -> None:
    """Assert that stderr is one line with ``message`` and that there is nothing for a shell to evaluate."""
    assert answer.returncode == 2, answer
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: ")
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1, answer.stderr


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"REHEARSAL_POD_COMMAND": "vllm-next serve"}, "there is no executable 'vllm-next'"),
        ({"REHEARSAL_OPEN_STREAMS": "many"}, "REHEARSAL_OPEN_STREAMS=many: Input should be a valid integer"),
    ],
    ids=["pod command", "open streams"],
)
@pytest.mark.parametrize("command", ["up", "run"])
def test_a_wrong_variable_is_refused(
    rehearsal: Rehearsal, tmp_path: Path, command: str, variables: dict[str, str], message: str
) -> None:
    assert_refused(rehearsal(command, out=tmp_path, **variables), message)
    assert list(tmp_path.iterdir()) == []


def test_without_go_or_binaries_the_error_names_the_go_version_to_install(rehearsal: Rehearsal, tmp_path: Path) -> None:
    variables = {"PATH": SYSTEM_PATH, "REHEARSAL_CACHE_DIR": str(tmp_path / "cache"), "KUBEBUILDER_ASSETS": ""}
    answer = rehearsal("up", out=tmp_path / "out", **variables)
    assert_refused(answer, "pulumi must be built, but there is no Go: install Go 1.26")
    assert_refused(answer, "pulumi on PATH")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_out_folder_that_cannot_be_made_is_refused(rehearsal: Rehearsal, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_refused(rehearsal("up", out=tmp_path / "file" / "out"), "Not a directory; set REHEARSAL_OUT")


@pytest.mark.parametrize("command", ["env", "load", "down"])
def test_commands_for_a_world_that_is_not_up_are_refused(rehearsal: Rehearsal, tmp_path: Path, command: str) -> None:
    assert_refused(rehearsal(command, "--world", "demo", out=tmp_path), "no world demo is up; `up` builds one")
    assert_refused(rehearsal(command, out=tmp_path, REHEARSAL_WORLD="demo"), "no world demo is up")
    assert_refused(rehearsal(command, "--world", "Demo!", out=tmp_path), "--world Demo!: a name has up to 31")


def test_status_and_down_all_work_without_any_world(rehearsal: Rehearsal, tmp_path: Path) -> None:
    assert rehearsal("status", out=tmp_path).stdout == "no world is up; `up` builds one\n"
    answer = rehearsal("down", "--all", out=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "no world is up\n")


def test_a_python_without_the_packages_is_refused_with_the_command_that_installs_them(tmp_path: Path) -> None:
    answer = run([sys.executable, "-S", "-m", "rehearsal", "status"], tmp_path, {})
    assert_refused(answer, "lacks the required packages; run `make setup` once, then `.venv/bin/python -m rehearsal`")


def test_an_old_python_is_refused_before_it_reads_newer_syntax(tmp_path: Path) -> None:
    pretend = "import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_module('rehearsal', run_name='__main__')"
    answer = run([sys.executable, "-c", pretend], tmp_path, {})
    assert_refused(answer, "is older than Python 3.11")
