"""Commands of the user's that run after a promotion or a rollback, such as one that empties a semantic cache."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from components.naming import Color
from components.release import Release

_SLICE_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class HookResult:
    """How a hook ended."""

    seconds: float
    fault: str
    """Why it did not do its work; empty: it did."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Who serves now, and who did before: what a hook is told, and what the journal says."""

    service: str
    color: Color
    release: Release | None
    previous: Release | None

    @property
    def namespace(self) -> str:
        """The semantic-cache namespace of the answers that users get now; empty: nothing serves."""
        return self.release.semantic_cache_namespace if self.release else ""

    @property
    def previous_namespace(self) -> str:
        """That of the answers they got before."""
        return self.previous.semantic_cache_namespace if self.previous else ""

    @property
    def changed(self) -> bool:
        """Whether cached answers of before may differ from those of now."""
        return self.namespace != self.previous_namespace

    def variables(self) -> dict[str, str]:
        """Return the environment variables of a hook."""
        return {
            "ROLLOUT_SERVICE": self.service,
            "ROLLOUT_COLOR": self.color,
            "ROLLOUT_RELEASE_ID": self.release.release_id if self.release else "",
            "ROLLOUT_PREVIOUS_RELEASE_ID": self.previous.release_id if self.previous else "",
            "ROLLOUT_CACHE_NAMESPACE": self.namespace,
            "ROLLOUT_PREVIOUS_CACHE_NAMESPACE": self.previous_namespace,
            "ROLLOUT_CACHE_NAMESPACE_CHANGED": str(self.changed).lower(),
        }


class CommandHooks:
    """Runs hooks as child processes, without a shell; what they print is seen, and not kept."""

    def __init__(self, work_dir: Path, check: Callable[[], None]) -> None:
        """Run hooks in ``work_dir``; ``check`` raises when the rollout should stop."""
        self._work_dir = work_dir
        self._check = check

    def run(self, command: Sequence[str], variables: Mapping[str, str], *, timeout_seconds: float) -> HookResult:
        """Run one and wait for its end.

        Raises:
            StoppedError: somebody asked the rollout to stop; the hook is ended.
        """
        began = time.monotonic()

        def result(fault: str) -> HookResult:
            return HookResult(seconds=round(time.monotonic() - began, 3), fault=fault)

        try:
            process = subprocess.Popen(
                list(command),
                cwd=self._work_dir,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return result(f"{command[0]} cannot be run ({error.strerror})")
        try:
            while time.monotonic() - began < timeout_seconds:
                self._check()
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(_SLICE_SECONDS)
                    return result(f"{command[0]} exited with {code}" if code else "")
            return result(f"{command[0]} took longer than {timeout_seconds:g} s and was ended")
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a hook and what it has started; nothing happens when it is over."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
            return
