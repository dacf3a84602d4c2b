"""The binaries of a world are found or built."""

import io
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from rehearsal.binaries import build
from rehearsal.binaries.build import COMPONENTS, BuildError, binaries, find
from rehearsal.system.project import PROJECT_FOLDER

ETCD = COMPONENTS[0]


def executable(path: Path, script: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with neither Go nor any binary."""
    monkeypatch.setenv("REHEARSAL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)


def test_assets_come_before_path_and_path_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(ETCD) is None
    cached = executable(ETCD.cached)
    assert find(ETCD) == cached
    on_path = executable(tmp_path / "path" / "etcd")
    assert find(ETCD) == on_path
    asset = executable(tmp_path / "assets" / "etcd")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    assert find(ETCD) == asset


def test_a_changed_pin_changes_the_path_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ETCD.cached
    shutil.copytree(ETCD.folder, tmp_path / "modules" / "etcd")
    monkeypatch.setattr(build, "_MODULES", tmp_path / "modules")
    assert ETCD.cached == before
    with (tmp_path / "modules" / "etcd" / "go.mod").open("a") as module:
        module.write("// changed\n")
    assert ETCD.cached != before


def test_without_go_the_error_names_the_version_to_install() -> None:
    with pytest.raises(BuildError, match=r"there is no Go: install Go 1\.26.* or newer, or put etcd, .*pulumi on PATH"):
        binaries()


def test_an_old_go_is_refused_with_both_versions(tmp_path: Path) -> None:
    executable(tmp_path / "path" / "go", f"echo go1.21.5; echo {tmp_path}; echo {tmp_path}")
    with pytest.raises(BuildError, match=r"found go1\.21\.5, but .* needs Go 1\.26"):
        binaries()


def test_too_little_space_is_refused_before_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "path" / "go", f"echo go1.99.0; echo {tmp_path}; echo {tmp_path}")
    usage = shutil.disk_usage(tmp_path)._replace(free=2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(BuildError, match=r"needs 10 GiB in .*; 1\.0 GiB are free"):
        binaries()


def test_missing_binaries_are_built_once_and_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    output = io.StringIO()
    go = f"""
if [ "$1" = env ]; then echo go1.99.0; echo {tmp_path}; echo {tmp_path}; exit; fi
echo "$PWD $*" >> {tmp_path}/calls
while [ $# -gt 1 ]; do [ "$1" = -o ] && target=$2; shift; done
case "$1" in */pulumi) echo cannot find module >&2; exit 1;; esac
echo built > "$target" && /bin/chmod +x "$target"
"""
    executable(tmp_path / "path" / "go", go)
    for tool in ("nice", "sh"):
        (tmp_path / "path" / tool).symlink_to(f"/bin/{tool}")

    with pytest.raises(BuildError, match="building pulumi failed: cannot find module"):
        binaries(Console(file=output))

    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[-1].rsplit("/", 1)[-1] for call in calls] == [
        "v3",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "prometheus",
        "pulumi",
    ]
    assert "building 6 binaries, once: about 13 minutes" in output.getvalue()
    assert "building pulumi (6 of 6, about 4 min)" in output.getvalue()
    assert all("-trimpath" in call for call in calls)
    assert find(ETCD) == ETCD.cached
    assert list(COMPONENTS[-1].cached.parent.iterdir()) == []


def test_an_interrupt_ends_go_properly_and_leaves_no_unfinished_binary(tmp_path: Path) -> None:
    go = f"""
if [ "$1" = env ]; then echo go1.99.0; echo {tmp_path}; echo {tmp_path}; exit; fi
while [ $# -gt 1 ]; do [ "$1" = -o ] && target=$2; shift; done
trap 'echo interrupted > {tmp_path}/end; exit 130' INT
echo half > "$target"
/bin/head -c 200000 /dev/zero >&2 # more than a pipe holds: from here on Go is being read
echo > {tmp_path}/begun
while :; do /bin/sleep 0.05; done
"""
    executable(tmp_path / "path" / "go", go)
    (tmp_path / "path" / "nice").symlink_to("/bin/nice")
    builder = subprocess.Popen([sys.executable, "-m", "rehearsal.binaries", "build"], cwd=PROJECT_FOLDER)
    while not (tmp_path / "begun").exists():
        assert builder.poll() is None
        time.sleep(0.05)
    builder.send_signal(signal.SIGINT)
    assert builder.wait(30) != 0
    assert (tmp_path / "end").read_text() == "interrupted\n"
    assert list(ETCD.cached.parent.iterdir()) == []
