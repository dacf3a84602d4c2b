"""A world's folder belongs to the process that holds its lock. Only the remains of a dead holder are removed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from rehearsal.world.hold import empty_and_held, hold, holds, mark, remove_if_left, take_down
from rehearsal.world.leftovers import own_processes
from rehearsal.world.preflight import OutFolderError
from rehearsal.world.settings import CHECKOUT_VARIABLE, FOLDER_VARIABLE

# A stand-in for a keeper: it holds the given folder, prints "up", and then handles SIGTERM as asked.
HOLDER = """
import os, signal, sys, time
lock, end = int(sys.argv[2]), sys.argv[3]
os.set_inheritable(lock, False)
signal.signal(signal.SIGTERM, signal.SIG_IGN if end == "stubborn" else signal.SIG_DFL)
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "worlds" / "a"
    path.mkdir(parents=True)
    mark(path)
    return path


@pytest.fixture
def sleepers() -> Generator[list["subprocess.Popen[bytes]"]]:
    """The processes that a test starts. None outlives it."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def keeper(folder: Path, end: str) -> "subprocess.Popen[bytes]":
    lock = hold(folder)
    assert lock is not None
    command = [sys.executable, "-c", HOLDER, "rehearsal.standing.keeper", str(lock), end]
    environment = {FOLDER_VARIABLE: str(folder)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, pass_fds=(lock,))
    os.close(lock)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


def sleeper(**environment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "60"], env={"PATH": os.defpath, **environment})


def test_one_process_holds_a_folder_and_its_end_frees_it(
    folder: Path, sleepers: list["subprocess.Popen[bytes]"]
) -> None:
    sleepers.append(keeper(folder, "willing"))
    assert hold(folder) is None
    assert not remove_if_left(folder)
    sleepers[0].kill()
    sleepers[0].wait()
    lock = hold(folder)
    assert lock is not None
    os.close(lock)


def test_a_folder_that_was_made_again_is_another_folder(folder: Path) -> None:
    lock = hold(folder)
    assert lock is not None
    assert holds(lock, folder)
    shutil.rmtree(folder)
    assert not holds(lock, folder)
    folder.mkdir()
    assert not holds(lock, folder)
    os.close(lock)


def test_only_the_remains_of_a_world_are_ended_and_removed(
    folder: Path, sleepers: list["subprocess.Popen[bytes]"]
) -> None:
    own = sleeper(**{FOLDER_VARIABLE: str(folder)})
    neighbour = sleeper(**{FOLDER_VARIABLE: f"{folder}b"})
    by_hand = sleeper(**{CHECKOUT_VARIABLE: str(folder / "checkout"), "PWD": str(folder), "KUBECONFIG": f"{folder}/k"})
    sleepers += [own, neighbour, by_hand]
    (folder / "checkout").mkdir()
    assert [found.pid for found in own_processes(folder)] == [own.pid]

    assert remove_if_left(folder)

    assert own.wait(5) == -signal.SIGKILL
    assert neighbour.poll() is None
    assert by_hand.poll() is None
    assert not folder.exists()


@pytest.mark.parametrize("end", ["willing", "stubborn"])
def test_taking_down_ends_a_keeper_that_obeys_and_one_that_does_not(
    folder: Path, sleepers: list["subprocess.Popen[bytes]"], end: str
) -> None:
    process = keeper(folder, end)
    sleepers.append(process)

    take_down(folder, grace_seconds=0.5)

    assert process.wait(5) == -(signal.SIGKILL if end == "stubborn" else signal.SIGTERM)
    assert not folder.exists()


def test_a_folder_is_emptied_for_only_one_holder(folder: Path) -> None:
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "link").symlink_to(folder.parent)
    (folder / "file").touch()
    with empty_and_held(folder):
        assert [path.name for path in folder.iterdir()] == [".rehearsal"]
        with pytest.raises(OutFolderError, match=f"another rehearsal runs in {folder}"), empty_and_held(folder):
            pass
    with empty_and_held(folder):
        assert folder.is_dir()


def test_foreign_files_are_neither_emptied_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "letters").touch()
    assert not remove_if_left(tmp_path)
    with pytest.raises(OutFolderError, match="has files that are not the rehearsal's"), empty_and_held(tmp_path):
        pass
    assert (tmp_path / "letters").exists()


def test_taking_down_nothing_returns_at_once(folder: Path) -> None:
    shutil.rmtree(folder)
    began = time.monotonic()
    take_down(folder)
    assert time.monotonic() - began < 5
