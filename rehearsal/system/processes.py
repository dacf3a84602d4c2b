"""Starts and stops child processes that log to a file and never outlive the process that started them."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_POLL_SECONDS = 0.05
# Below the ports that the kernel gives to outgoing connections, so that none of those is in the way.
_PORTS = range(20000, 30000)
_CLAIM_ADDRESS = "127.255.0.1"  # Pods are on 127.64.0.0/10.
_claims: list[socket.socket] = []
_LOG_TAIL_CHARACTERS = 600


class ProcessError(Exception):
    """A child process ended too early, or was not ready in time; the message has the end of its log."""


def die_with(parent_pid: int) -> Callable[[], None]:
    """A ``preexec_fn``: the kernel kills the child when the *thread* that started it ends.

    So processes that must live are started from a thread that lives as long, such as the main one.
    """

    def in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # The parent ended before the call above took effect.
            os._exit(1)

    return in_child


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free, and that no other rehearsal takes as long as this process lives.

    It is claimed by a socket on the same port of another loopback address, so the claim ends with the process.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        claim = socket.socket()
        try:
            claim.bind((_CLAIM_ADDRESS, port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
    raise ProcessError(f"no free port between {_PORTS.start} and {_PORTS.stop - 1} on 127.0.0.1")


class Process:
    """A running child process in a session of its own, so that a Ctrl-C reaches only its parent."""

    def __init__(self, name: str, start: "Callable[[], subprocess.Popen[bytes]]", log: Path) -> None:
        self.name = name
        self.log = log
        self._start = start
        self._popen = start()

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Self:
        """Start ``command``; output is appended to ``log``; the environment is ours unless ``env`` is given.

        Raises ProcessError when there is no such executable.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = None if env is None else dict(env)

        def start() -> "subprocess.Popen[bytes]":
            with log.open("ab") as output:
                try:
                    return subprocess.Popen(
                        [str(word) for word in command],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env=environment,
                        cwd=folder,
                        start_new_session=True,
                        preexec_fn=die_with(os.getpid()),
                    )
                except OSError as error:
                    raise ProcessError(f"cannot start {name}: {error}") from error

        return cls(name, start, log)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs, negative when a signal ended it."""
        return self._popen.poll()

    def wait_until(self, ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Wait until ``ready()`` is true. Raises ProcessError when the process ends or the time is up."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if not self.running:
                raise ProcessError(f"{self.name} ended with code {self.exit_code}: {self._log_tail()}")
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} not ready after {timeout_seconds:g} s: {self._log_tail()}")
            time.sleep(_POLL_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its whole process group, without waiting."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end (SIGTERM), without waiting."""
        self.send(signal.SIGTERM)

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """SIGTERM, then SIGKILL to its whole process group after ``grace_seconds``."""
        stop_all([self], grace_seconds=grace_seconds)

    def kill(self) -> None:
        """SIGKILL to the whole process group, also to what an ended process left behind, and wait for the end."""
        self.send(signal.SIGKILL)
        self._popen.wait()

    def restart(self) -> None:
        """Start it anew, with the same command, in the place of one that has ended."""
        if not self.running:
            self._popen = self._start()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it ended within the time."""
        try:
            self._popen.wait(max(timeout_seconds, 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:].splitlines()
        return " | ".join(line.strip() for line in lines if line.strip()) or "no output"


def stop_all(processes: Iterable[Process], *, grace_seconds: float = 5.0) -> None:
    """Stop several processes at once: SIGTERM to all, then SIGKILL to whatever is left after ``grace_seconds``."""
    # One that has ended by itself is left alone: its number may be another process's by now.
    stopping = [process for process in processes if process.running]
    for process in stopping:
        process.terminate()
    deadline = time.monotonic() + grace_seconds
    for process in stopping:
        process.wait(deadline - time.monotonic())
        process.kill()
