"""The user's own commands that run after a promotion or a rollback, for example to empty a semantic cache."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from rollout.model.serving import HookResult
from rollout.system.waits import waiting

_SLICE_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 2.0
_STDERR: Final = 2


class CommandHooks:
    """Runs hooks as child processes, without a shell. Their output goes to stderr and is not recorded."""

    def __init__(self, work_dir: Path, check: Callable[[], None]) -> None:
        """Run hooks in ``work_dir``; ``check`` raises when the rollout should stop."""
        self._work_dir = work_dir
        self._check = check

    def run(self, command: Sequence[str], variables: Mapping[str, str], *, timeout_seconds: float) -> HookResult:
        """Run a hook and wait for its end.

        Raises:
            StoppedError: the rollout was asked to stop; the hook is ended.
        """
        began = time.monotonic()

        def result(error: str) -> HookResult:
            return HookResult(seconds=round(time.monotonic() - began, 3), error=error)

        try:
            process = subprocess.Popen(
                list(command),
                cwd=self._work_dir,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=_STDERR,  # stdout is for what the command itself prints
                start_new_session=True,
            )
        except OSError as error:
            return result(f"{command[0]} cannot be run ({error.strerror})")
        try:
            with waiting(f"the hook {command[0]}", at_most_seconds=timeout_seconds):
                while time.monotonic() - began < timeout_seconds:
                    self._check()
                    with suppress(subprocess.TimeoutExpired):
                        code = process.wait(_SLICE_SECONDS)
                        return result(f"{command[0]} exited with {code}" if code else "")
            return result(f"{command[0]} took longer than {timeout_seconds:g} s and was ended")
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a hook and the processes that it started. Do nothing if it has already ended."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
            return
