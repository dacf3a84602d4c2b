"""Starts and stops child processes that log to a file and never outlive their parent."""

import contextlib
import ctypes
import os
import random
import re
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
# Below the kernel's ports for outgoing connections, so that those never collide.
_PORTS = range(20000, 30000)
_CLAIM_ADDRESS = "127.255.0.1"  # Pods are on 127.64.0.0/10.
_claims: list[socket.socket] = []
_LOG_TAIL_CHARACTERS = 600
_STACK_IN_JSON = re.compile(r',"stacktrace":"(?:[^"\\]|\\.)*"')


class ProcessError(Exception):
    """A child process ended too early or was not ready in time. The message contains the end of its log."""


def die_with(parent_pid: int) -> Callable[[], None]:
    """Return a ``preexec_fn`` that lets the kernel kill the child when the *thread* that started it ends.

    A long-lived process must therefore be started from a long-lived thread, such as the main one.
    """

    def in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # The parent ended before the call took effect.
            os._exit(1)

    return in_child


def terminate_with_parent(*, enabled: bool) -> None:
    """Let the kernel send this process SIGTERM when the thread that started it ends, or no longer do so."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM if enabled else 0)


def free_port() -> int:
    """Claim a free TCP port of 127.0.0.1 that no other rehearsal takes while this process lives.

    The claim is a socket on the same port of another loopback address, so it ends with the process.
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
    """A child process in its own session, so that Ctrl-C reaches only its parent."""

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
        """Start ``command`` and append its output to ``log``. ``env`` replaces our environment.

        Raises ProcessError when the executable does not exist.
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

    def check(self) -> None:
        """Raise ProcessError when the process has ended."""
        if not self.running:
            raise ProcessError(f"{self.name} ended with code {self.exit_code}: {self._log_tail()}")

    def wait_until(self, ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Wait until ``ready()`` is true. Raises ProcessError when the process ends first or the time is up."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            self.check()
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
        """Send SIGTERM, then SIGKILL to its whole process group after ``grace_seconds``."""
        stop_all([self], grace_seconds=grace_seconds)

    def kill(self) -> None:
        """Send SIGKILL to the whole process group, even if the process itself has ended, and wait for the end."""
        self.send(signal.SIGKILL)
        self._popen.wait()

    def restart(self) -> None:
        """Start the same command again if the process has ended."""
        if not self.running:
            self._popen = self._start()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the end and return whether it came within the time."""
        try:
            self._popen.wait(max(timeout_seconds, 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _log_tail(self) -> str:
        # A Go program writes its reason before the stacks of its threads, and perhaps one more in the reason's line.
        text, _, _ = self.log.read_text(errors="replace").partition("\ngoroutine ")
        text = _STACK_IN_JSON.sub("", text)
        lines = text[-_LOG_TAIL_CHARACTERS:].splitlines()
        return " | ".join(line.strip() for line in lines if line.strip()) or "no output"


def stop_all(processes: Iterable[Process], *, grace_seconds: float = 5.0) -> None:
    """Stop several processes at once: SIGTERM to all, then SIGKILL to the rest after ``grace_seconds``."""
    # Leave ended processes alone: their ids may belong to other processes by now.
    stopping = [process for process in processes if process.running]
    for process in stopping:
        process.terminate()
    deadline = time.monotonic() + grace_seconds
    for process in stopping:
        process.wait(deadline - time.monotonic())
        process.kill()
