"""A world's folder belongs to the process that holds its lock. The kernel releases the lock when that process ends."""

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rehearsal.world.leftovers import own_processes
from rehearsal.world.preflight import OutFolderError

KEEPER_MODULE = "rehearsal.standing.keeper"
_MARK = ".rehearsal"
"""A file in every folder that we may empty. It is removed last."""
_POLL_SECONDS = 0.05
_KILL_TIMEOUT_SECONDS = 10.0
_REMOVE_ATTEMPTS = 5


def hold(folder: Path) -> int | None:
    """Take the folder's lock and return its descriptor, which the caller closes.

    Returns None when another process has the lock, or the folder does not exist.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        if holds(descriptor, folder):
            return descriptor
    os.close(descriptor)
    return None


def holds(descriptor: int, folder: Path) -> bool:
    """Return whether the folder is still the locked one: it may have been removed, and made again, since then."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def keeper_of(folder: Path) -> int | None:
    """Return the process that keeps up the world in this folder."""
    return next((found.pid for found in own_processes(folder) if KEEPER_MODULE.encode() in found.words), None)


def mark(folder: Path) -> None:
    """Mark a folder as one that may be emptied."""
    (folder / _MARK).touch()


def is_ours(folder: Path) -> bool:
    """Return whether a folder may be emptied: it is marked or empty."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / _MARK).exists() or not any(folder.iterdir())
    return False


@contextmanager
def empty_and_held(folder: Path) -> Generator[None]:
    """Make or empty a folder and hold it for the length of a ``with`` block.

    Raises:
        OutFolderError: another process holds the folder, or it contains files that are not ours.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = hold(folder)
    if lock is None:
        raise OutFolderError(f"another rehearsal runs in {folder}; wait for its end or set REHEARSAL_OUT")
    try:
        if not is_ours(folder):
            raise OutFolderError(f"{folder} has files that are not the rehearsal's; remove it or set REHEARSAL_OUT")
        mark(folder)
        _empty(folder)
        yield
    finally:
        os.close(lock)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _MARK:
            entry.unlink()


def end_processes(folder: Path) -> None:
    """Kill all processes of a world."""
    deadline = time.monotonic() + _KILL_TIMEOUT_SECONDS
    while (left := own_processes(folder)) and time.monotonic() < deadline:
        for found in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def remove_held(folder: Path) -> None:
    """Kill all processes of a world and remove its folder, whose lock the caller holds."""
    end_processes(folder)
    for attempt in range(1, _REMOVE_ATTEMPTS + 1):
        try:
            _empty(folder)
            shutil.rmtree(folder)
        except OSError:  # Another process changed its content meanwhile.
            if attempt == _REMOVE_ATTEMPTS:
                raise
        if not folder.exists():
            return


def remove_if_left(folder: Path) -> bool:
    """Remove the remains of a world without a keeper. Return whether there were any."""
    if not is_ours(folder):
        return False
    descriptor = hold(folder)
    if descriptor is None:
        return False
    try:
        remove_held(folder)
    finally:
        os.close(descriptor)
    return True


def take_down(folder: Path, *, grace_seconds: float = 30.0) -> None:
    """Ask the world's keeper to end, kill it after the grace period, and return when nothing is left."""
    deadline = time.monotonic() + grace_seconds
    asked: set[int] = set()
    while folder.exists() or own_processes(folder):
        keeper = keeper_of(folder)
        if keeper is None:
            remove_if_left(folder)
        elif time.monotonic() > deadline:
            _signal(keeper, signal.SIGKILL)
        elif keeper not in asked:
            asked.add(keeper)
            _signal(keeper, signal.SIGTERM)
        time.sleep(_POLL_SECONDS)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
