"""Child processes: readiness, orderly stop, no survivors."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rehearsal.system import processes
from rehearsal.system.processes import Process, ProcessError, stop_all

STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.1; done"


def start(script: str, log: Path) -> Process:
    return Process.start("child", ["sh", "-c", script], log=log)


def says_up(process: Process) -> None:
    process.wait_until(lambda: "up" in process.log.read_text(), timeout_seconds=5)


def is_running(pid: int) -> bool:
    """Return whether the process runs and is not only a zombie that waits for init."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 5
    while is_running(pid):
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.02)


def test_an_end_before_readiness_is_an_error_with_the_end_of_the_log(tmp_path: Path) -> None:
    process = start("echo no such flag; exit 3", tmp_path / "log")
    with pytest.raises(ProcessError, match="ended with code 3: no such flag"):
        process.wait_until(lambda: False, timeout_seconds=5)


def test_the_reason_of_a_go_program_is_not_lost_in_its_stacks(tmp_path: Path) -> None:
    said = [
        r'{"level":"panic","msg":"no WAL","error":"write wal: file too large","stacktrace":"a \"b\"\n\tc.go:1"}',
        "panic: no WAL",
        "",
        "goroutine 1 [running]:",
        "main.main()" * 100,
    ]
    (tmp_path / "log").write_text("\n".join(said))
    process = start("exit 2", tmp_path / "log")
    with pytest.raises(ProcessError) as raised:
        process.wait_until(lambda: False, timeout_seconds=5)
    reason = '{"level":"panic","msg":"no WAL","error":"write wal: file too large"} | panic: no WAL'
    assert str(raised.value) == f"child ended with code 2: {reason}"


def test_a_process_that_is_not_ready_in_time_is_an_error(tmp_path: Path) -> None:
    process = start("sleep 60", tmp_path / "log")
    with pytest.raises(ProcessError, match=r"not ready after 0.1 s: no output"):
        process.wait_until(lambda: False, timeout_seconds=0.1)
    process.kill()


def test_a_missing_executable_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"cannot start child.*no-such-program"):
        Process.start("child", ["no-such-program"], log=tmp_path / "log")


def test_stop_sends_sigterm_first_and_sigkill_to_those_that_ignore_it(tmp_path: Path) -> None:
    willing = start("echo up; exec sleep 60", tmp_path / "willing")
    stubborn = start(STUBBORN, tmp_path / "stubborn")
    says_up(willing)
    says_up(stubborn)

    stop_all([willing, stubborn], grace_seconds=0.5)

    assert willing.exit_code == -signal.SIGTERM
    assert stubborn.exit_code == -signal.SIGKILL


def test_restart_starts_an_ended_process_and_leaves_a_running_one_alone(tmp_path: Path) -> None:
    process = start("echo up; exec sleep 60", tmp_path / "log")
    says_up(process)
    first = process.pid
    process.restart()
    assert process.pid == first
    process.kill()

    process.restart()

    assert process.running
    assert process.pid != first
    process.kill()


def test_stop_leaves_no_descendant_behind(tmp_path: Path) -> None:
    parent = start("(trap '' TERM; exec sleep 60) & echo $!; echo up; wait", tmp_path / "log")
    says_up(parent)
    descendant = int((tmp_path / "log").read_text().split()[0])
    assert is_running(descendant)

    parent.stop()

    wait_for_end(descendant)


def test_children_die_with_their_parent(tmp_path: Path) -> None:
    program = f"""
import os, time
from pathlib import Path
from rehearsal.system import processes
from rehearsal.system.processes import Process
print(Process.start("child", ["sleep", "60"], log=Path({str(tmp_path / "log")!r})).pid, flush=True)
time.sleep(60)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_running(child)

    parent.kill()
    parent.wait()

    wait_for_end(child)


def test_a_free_port_is_neither_listened_on_nor_claimed_by_another_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    port = processes.free_port()
    monkeypatch.setattr(processes, "_PORTS", range(port, port + 1))
    with pytest.raises(ProcessError, match=f"no free port between {port} and {port} on 127.0.0.1"):
        processes.free_port()
    # Pretend that it is unclaimed.
    monkeypatch.setattr(processes, "_CLAIM_ADDRESS", "127.255.0.2")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        with pytest.raises(ProcessError, match="no free port"):
            processes.free_port()
    assert processes.free_port() == port
