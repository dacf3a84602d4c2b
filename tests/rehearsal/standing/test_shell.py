"""With the lines of `up` and `env`, a shell works in the world, however often they are evaluated."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rehearsal.standing.shell import exports, outer_environment
from rehearsal.standing.worlds import Record
from rehearsal.world.executables import write_executables


def record(folder: Path, **environment: str) -> Record:
    folder.mkdir()
    (folder / "pulumi").touch()
    write_executables(folder, folder / "pulumi")
    return Record(
        name=folder.name,
        folder=folder,
        since=datetime.now(UTC),
        keeper=1,
        processes={},
        engine="v3.274.1",
        load_balancer_controller="stand-in",
        endpoint_url="http://127.0.0.1:1",
        kubeconfig=folder / "kubeconfig",
        environment={"KUBECONFIG": str(folder / "kubeconfig"), "HOME": "/somewhere", **environment},
    )


def evaluated(lines: str, show: str) -> str:
    shell = subprocess.run(["sh", "-c", f'eval "$1"; {show}', "sh", lines], capture_output=True, text=True, check=True)
    return shell.stdout


def test_values_survive_the_shell_and_the_persons_own_variables_stay(tmp_path: Path) -> None:
    lines = exports(record(tmp_path / "a", AWS_SECRET_ACCESS_KEY="it's $HOME; exit 3"))
    assert evaluated(lines, 'printf "%s" "$AWS_SECRET_ACCESS_KEY"') == "it's $HOME; exit 3"
    assert evaluated(lines, 'printf "%s" "$REHEARSAL_CHECKOUT"') == str(tmp_path / "a" / "checkout")
    assert "HOME=" not in lines
    assert all(line.startswith("export ") for line in lines.splitlines())


def test_the_worlds_executables_come_first_once_and_without_those_of_other_worlds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = record(tmp_path / "a"), record(tmp_path / "b")
    before = os.environ["PATH"]
    for turn in (first, second, second):
        path = evaluated(exports(turn), 'printf "%s" "$PATH"')
        monkeypatch.setenv("PATH", path)
    entries = path.split(os.pathsep)
    assert entries[:2] == [str(tmp_path / "b" / "bin"), str(Path(sys.executable).parent)]
    assert str(tmp_path / "a" / "bin") not in entries
    assert len(entries) <= len(before.split(os.pathsep)) + 2


def test_a_world_built_from_such_a_shell_inherits_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in exports(record(tmp_path / "a", PULUMI_HOME=str(tmp_path / "a"))).splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        monkeypatch.setenv(name, value)
    assert str(tmp_path) not in " ".join(outer_environment().values())
