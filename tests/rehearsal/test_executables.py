"""The world's PATH has an engine and the provider plugins; what is real takes precedence."""

import os
import subprocess
from pathlib import Path

import pytest

from rehearsal.executables import (
    ExecutableError,
    kubernetes_provider,
    path_with,
    resolve_engine,
    write_executables,
)
from rehearsal.leftovers import left_running


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, for executables that the machine is to have."""
    folder = tmp_path / "real"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def have(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


def test_auto_takes_a_real_pulumi_when_there_is_one(real: Path) -> None:
    assert resolve_engine("auto") == "embedded"
    have(real, "pulumi")
    assert resolve_engine("auto") == "pulumi"
    assert resolve_engine("embedded") == "embedded"


@pytest.mark.usefixtures("real")
def test_asking_for_a_pulumi_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ExecutableError, match="no `pulumi` is on PATH"):
        resolve_engine("pulumi")


@pytest.mark.usefixtures("real")
def test_with_a_real_engine_only_the_plugins_are_ours(tmp_path: Path) -> None:
    write_executables(tmp_path / "bin", "pulumi")
    assert kubernetes_provider(tmp_path / "bin") == "stand-in"
    assert names_in(tmp_path / "bin") == [
        ".rehearsal",
        "pulumi-resource-aws",
        "pulumi-resource-kubernetes",
        "rehearsal",
    ]


def test_a_real_kubernetes_provider_takes_our_stand_ins_place(real: Path, tmp_path: Path) -> None:
    have(real, "pulumi-resource-kubernetes")
    write_executables(tmp_path / "bin", "embedded")
    assert names_in(tmp_path / "bin") == [".rehearsal", "pulumi", "pulumi-resource-aws", "rehearsal"]
    assert path_with(tmp_path / "bin").split(os.pathsep)[-1] == str(real)
    assert kubernetes_provider(tmp_path / "bin") == "pulumi-resource-kubernetes"


def test_the_embedded_engine_runs_from_any_folder(tmp_path: Path) -> None:
    write_executables(tmp_path / "bin", "embedded")
    version = subprocess.run(
        [tmp_path / "bin" / "pulumi", "version"], cwd="/", capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("v3.")


def test_a_process_left_behind_is_found_by_the_worlds_folder(tmp_path: Path) -> None:
    assert left_running(tmp_path) == []
    process = subprocess.Popen(["sleep", "30"], env={"KUBECONFIG": str(tmp_path / "kubeconfig"), "PATH": os.defpath})
    try:
        assert [line.split()[0] for line in left_running(tmp_path)] == [str(process.pid)]
    finally:
        process.kill()
        process.wait()
