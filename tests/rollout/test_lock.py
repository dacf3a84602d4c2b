"""One rollout per stack."""

import json
import multiprocessing
import socket
from pathlib import Path

import pytest

from rollout.errors import RefusedError
from rollout.lock import Lock
from tests.rollout.full_disk import no_room


def test_a_second_rollout_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with Lock(tmp_path, "ramp"), pytest.raises(RefusedError, match=r"in use by ramp \(process \d+ on .*, since"):
        Lock(tmp_path, "reap").__enter__()


def test_a_lock_is_free_again_after_its_block(tmp_path: Path) -> None:
    with Lock(tmp_path, "ramp"):
        pass
    with Lock(tmp_path, "reap") as lock:
        assert lock.owner() is not None


def _pid_of_an_ended_process() -> int:
    process = multiprocessing.get_context("spawn").Process()
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


def _leave_lock(folder: Path, host: str) -> None:
    owner = {"what": "ramp", "host": host, "pid": _pid_of_an_ended_process(), "since": "2026-11-21T08:00:00Z"}
    (folder / "lock").write_text(json.dumps(owner))


def test_the_lock_of_a_process_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    _leave_lock(tmp_path, socket.gethostname())
    with Lock(tmp_path, "ramp"):
        pass


def test_another_hosts_process_cannot_be_judged(tmp_path: Path) -> None:
    _leave_lock(tmp_path, "elsewhere")
    with pytest.raises(RefusedError, match="on elsewhere"):
        Lock(tmp_path, "ramp").__enter__()


def test_a_stop_mark_reaches_the_owner_and_ends_with_it(tmp_path: Path) -> None:
    with Lock(tmp_path, "ramp") as lock:
        assert lock.asked_to_stop() is None
        Lock(tmp_path, "rollback").ask_to_stop("users complain")
        assert lock.asked_to_stop() == "users complain"
    with Lock(tmp_path, "ramp") as lock:
        assert lock.asked_to_stop() is None


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense", '{"what": 1, "more": 2}'])
def test_a_lock_that_says_nothing_is_refused_with_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    with pytest.raises(RefusedError, match=r"cannot be read as a lock .* delete the file"):
        Lock(tmp_path, "ramp").__enter__()


def test_a_lock_that_does_not_fit_on_the_disk_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with no_room(), pytest.raises(RefusedError, match=r"lock: cannot be written \(File too large\)"):
        Lock(tmp_path, "ramp").__enter__()
    assert list(tmp_path.iterdir()) == []
