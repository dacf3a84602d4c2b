"""The Pulumi CLI as a child process that can be interrupted. The automation API keeps no handle of its process."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import IO, Final

from pulumi.automation import CommandResult, OnOutput, PulumiCommand
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from rollout.adapters.pulumi.lock import OURS
from rollout.system.waits import waiting

OLDEST: Final = VersionInfo(3, 182, 0)
"""The first CLI with resource hooks. Guards are resource hooks.
https://github.com/pulumi/pulumi/blob/master/CHANGELOG.md"""


_NAMED_ELSEWHERE: Final = frozenset({"preview", "up"})


class InterruptiblePulumi(PulumiCommand):
    """Runs Pulumi commands one at a time, each in its own process group."""

    def __init__(self, stack: str) -> None:
        """Find ``pulumi`` on PATH, and mark its processes as ours, for ``stack``, however qualified its name is."""
        with waiting("`pulumi version`"):
            super().__init__(version=OLDEST)
        self._mark = {OURS: stack.rpartition("/")[2]}
        self._process: subprocess.Popen[str] | None = None

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        """Run one command to its end.

        Raises:
            CommandError: the exit status is not 0.
        """
        environment = {**os.environ, **additional_env, **self._mark, "PULUMI_AUTOMATION_API": "true"}
        command = [self.command, "--non-interactive", *args]
        # Who previews or updates says what for, and until when at most.
        words = " ".join(args[:2] if args[1:2] and not args[1].startswith("-") else args[:1])
        named = nullcontext() if args[0] in _NAMED_ELSEWHERE else waiting(f"`pulumi {words}`")
        try:
            with (
                named,
                subprocess.Popen(
                    command,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=cwd,
                    env=environment,
                    encoding="utf-8",
                    # Ctrl-C reaches the terminal's whole process group, but we decide when an update ends.
                    start_new_session=True,
                ) as process,
            ):
                self._process = process
                errors = _Reader(process.stderr, on_error)
                output = _Reader(process.stdout, on_output)
                result = CommandResult(stdout=output.text(), stderr=errors.text(), code=process.wait())
        finally:
            self._process = None
        if result.code != 0:
            raise create_command_error(result)
        return result

    def interrupt(self) -> None:
        """Ask a running command to end, as Ctrl-C does: it finishes the operations in flight and saves its state."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)


class _Reader:
    """Collects the lines of a pipe in its own thread, so that neither of the two pipes fills up."""

    def __init__(self, pipe: IO[str] | None, callback: Callable[[str], object] | None) -> None:
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(pipe, callback), daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Wait for the end of the pipe, and return its text."""
        self._thread.join()
        return "\n".join(self._lines)

    def _read(self, pipe: IO[str] | None, callback: Callable[[str], object] | None) -> None:
        for line in pipe or ():
            self._lines.append(line.rstrip())
            if callback is not None:
                callback(line.rstrip())
