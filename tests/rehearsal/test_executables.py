"""The world's PATH has the CLI, a language host and the provider plugins; what is real takes precedence."""

import os
import subprocess
from pathlib import Path

import pytest

from rehearsal.executables import (
    ExecutableError,
    kubernetes_provider,
    language_host,
    path_with,
    pulumi_version,
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


@pytest.fixture
def pulumi(tmp_path: Path) -> Path:
    """A CLI without a language host beside it."""
    have(tmp_path, "pulumi")
    return tmp_path / "pulumi"


@pytest.mark.usefixtures("real")
def test_what_the_machine_lacks_is_ours(tmp_path: Path, pulumi: Path) -> None:
    write_executables(tmp_path / "bin", pulumi)
    assert kubernetes_provider(tmp_path / "bin") == "stand-in"
    assert language_host(tmp_path / "bin") == "stand-in"
    assert names_in(tmp_path / "bin") == [
        ".rehearsal",
        "pulumi",
        "pulumi-language-python",
        "pulumi-resource-aws",
        "pulumi-resource-kubernetes",
        "rehearsal",
    ]


def test_a_real_kubernetes_provider_takes_our_stand_ins_place(real: Path, tmp_path: Path, pulumi: Path) -> None:
    have(real, "pulumi-resource-kubernetes")
    write_executables(tmp_path / "bin", pulumi)
    assert "pulumi-resource-kubernetes" not in names_in(tmp_path / "bin")
    assert path_with(tmp_path / "bin").split(os.pathsep)[-1] == str(real)
    assert kubernetes_provider(tmp_path / "bin") == "pulumi-resource-kubernetes"


@pytest.mark.parametrize("place", ["on PATH", "beside the CLI"])
def test_a_real_language_host_takes_our_stand_ins_place(real: Path, tmp_path: Path, pulumi: Path, place: str) -> None:
    have(real if place == "on PATH" else pulumi.parent, "pulumi-language-python")
    write_executables(tmp_path / "bin", pulumi)
    assert "pulumi-language-python" not in names_in(tmp_path / "bin")
    assert language_host(tmp_path / "bin") == "pulumi-language-python"


def test_a_language_host_beside_what_the_cli_is_a_link_to_is_found(tmp_path: Path, pulumi: Path) -> None:
    have(tmp_path, "pulumi-language-python")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "pulumi").symlink_to(pulumi)
    write_executables(tmp_path / "bin", tmp_path / "link" / "pulumi")
    assert language_host(tmp_path / "bin") == "pulumi-language-python"


def test_the_clis_version_is_what_it_says(pulumi: Path) -> None:
    pulumi.write_text("#!/bin/sh\necho v3.274.1\n")
    assert pulumi_version(pulumi) == "v3.274.1"


@pytest.mark.parametrize(("script", "why"), [("#!/bin/sh\necho broken >&2; exit 3", "broken"), ("", "cannot be run")])
def test_a_cli_that_does_not_run_is_named(pulumi: Path, script: str, why: str) -> None:
    pulumi.write_text(script)
    with pytest.raises(ExecutableError, match=f"{pulumi}.*{why}"):
        pulumi_version(pulumi)


def test_a_process_left_behind_is_found_by_the_worlds_folder(tmp_path: Path) -> None:
    assert left_running(tmp_path) == []
    process = subprocess.Popen(["sleep", "30"], env={"KUBECONFIG": str(tmp_path / "kubeconfig"), "PATH": os.defpath})
    try:
        assert [line.split()[0] for line in left_running(tmp_path)] == [str(process.pid)]
    finally:
        process.kill()
        process.wait()
