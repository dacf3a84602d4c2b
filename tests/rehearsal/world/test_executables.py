"""The world's PATH has the CLI, a language host and the provider plugins. Real ones take precedence."""

import errno
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from rehearsal.world.executables import (
    ExecutableError,
    kubernetes_provider,
    language_host,
    path_with,
    pulumi_home,
    pulumi_version,
    write_executables,
)
from rehearsal.world.leftovers import left_running


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, for executables that the machine should have."""
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
    folder = tmp_path / "cli"
    folder.mkdir()
    have(folder, "pulumi")
    return folder / "pulumi"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """The folder of a world."""
    return tmp_path / "world"


def plugins_in(world: Path) -> list[str]:
    return sorted(str(path.relative_to(pulumi_home(world))) for path in pulumi_home(world).glob("*/*/*"))


@pytest.mark.usefixtures("real")
def test_stand_ins_replace_what_the_machine_lacks(world: Path, pulumi: Path) -> None:
    write_executables(world, pulumi)
    assert kubernetes_provider(world) == "stand-in"
    assert language_host(world) == "stand-in"
    assert names_in(world / "bin") == [".rehearsal", "pulumi", "pulumi-language-python", "rehearsal"]
    assert plugins_in(world) == [
        f"plugins/resource-{package}-v{version(f'pulumi-{package}')}/pulumi-resource-{package}"
        for package in ("aws", "kubernetes")
    ]


@pytest.mark.usefixtures("real")
def test_the_cli_lies_beside_our_language_host_even_across_disks(
    world: Path, pulumi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_executables(world, pulumi)
    assert not (world / "bin" / "pulumi").is_symlink()
    assert os.access(world / "bin" / "pulumi", os.X_OK)


def test_a_real_kubernetes_provider_takes_our_stand_ins_place(real: Path, world: Path, pulumi: Path) -> None:
    have(real, "pulumi-resource-kubernetes")
    write_executables(world, pulumi)
    assert [Path(plugin).name for plugin in plugins_in(world)] == ["pulumi-resource-aws"]
    assert path_with(world / "bin").split(os.pathsep)[-1] == str(real)
    assert kubernetes_provider(world) == "pulumi-resource-kubernetes"


@pytest.mark.parametrize("place", ["on PATH", "beside the CLI"])
def test_a_real_language_host_takes_our_stand_ins_place(real: Path, world: Path, pulumi: Path, place: str) -> None:
    have(real if place == "on PATH" else pulumi.parent, "pulumi-language-python")
    write_executables(world, pulumi)
    assert "pulumi-language-python" not in names_in(world / "bin")
    assert language_host(world) == "pulumi-language-python"


def test_a_language_host_beside_what_the_cli_is_a_link_to_is_found(tmp_path: Path, world: Path, pulumi: Path) -> None:
    have(pulumi.parent, "pulumi-language-python")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "pulumi").symlink_to(pulumi)
    write_executables(world, tmp_path / "link" / "pulumi")
    assert language_host(world) == "pulumi-language-python"


def test_the_clis_version_is_its_output(pulumi: Path) -> None:
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
