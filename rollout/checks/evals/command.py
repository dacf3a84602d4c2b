"""Runs somebody's evaluation command against one colour, and finds the score that it leaves."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from components.config.check_settings import EvalSettings
from rollout.checks.evals.judgement import Score
from rollout.checks.evals.score import NoScoreError, last_line, read_score
from rollout.ports import Clock
from rollout.system.endpoint_key import VARIABLE

LOOK_SECONDS = 0.1
END_SECONDS = 5.0
SHOWN_CHARACTERS = 300

# What a command must not learn: its requests get the key from the relay, and it has nothing to do with the stack.
_WITHHELD = frozenset({VARIABLE, "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"})


class CommandError(Exception):
    """The command gave no score; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a command is told of the colour that it evaluates."""

    base_url: str
    model: str
    color: str
    release_id: str
    release_model: str

    def values(self, folder: Path) -> Mapping[str, str]:
        """Return the placeholders of the command's words."""
        return {
            "base_url": self.base_url,
            "model": self.model,
            "color": self.color,
            "release_id": self.release_id,
            "release_model": self.release_model,
            "folder": str(folder),
        }


def filled(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Put values for ``{placeholders}``; other braces are left alone, since words may be JSON."""
    done: list[str] = []
    for word in words:
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", value)
        done.append(word)
    return done


def run_command(settings: EvalSettings, target: Target, *, folder: Path, work_dir: Path, clock: Clock) -> Score:
    """Run the command in ``work_dir``, its files in ``folder``, and read its score.

    Raises:
        CommandError: it did not begin, failed, took too long, or left no score.
        StoppedError: somebody asked the rollout to stop; the command was ended.
    """
    values = target.values(folder)
    environment = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
    environment |= {f"EVAL_{name.upper()}": value for name, value in values.items()}
    # What OpenAI's own clients look for; they insist on a key.
    key = "none-needed"
    environment |= {"OPENAI_BASE_URL": target.base_url, "OPENAI_API_KEY": key, "EVAL_API_KEY": key}
    output, errors = folder / "output.log", folder / "errors.log"
    with output.open("wb") as out, errors.open("wb") as err:
        try:
            process = subprocess.Popen(
                filled(settings.command, values),
                cwd=work_dir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(f"{settings.command[0]!r} cannot be run: {error.strerror}") from error
        try:
            code = _await(process, settings.timeout_seconds, clock)
        finally:
            _end(process)
    if code != 0:
        told = _tail(errors) or _tail(output) or "it printed nothing"
        raise CommandError(f"{settings.command[0]!r} ended with {code}: {told}")
    try:
        return read_score(_document(settings, folder, output), settings)
    except NoScoreError as error:
        raise CommandError(f"no score: {error}") from error


def _await(process: subprocess.Popen[bytes], timeout_seconds: float, clock: Clock) -> int:
    deadline = clock.monotonic() + timeout_seconds
    while (code := process.poll()) is None:
        if clock.monotonic() > deadline:
            raise CommandError(f"it did not end within {timeout_seconds:g} s (rollout.gates.eval.timeout_seconds)")
        clock.sleep(LOOK_SECONDS)
    return code


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and whatever it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
            return


def _document(settings: EvalSettings, folder: Path, output: Path) -> str:
    if settings.score_file is None:
        return last_line(output.read_text(encoding="utf-8", errors="replace"))
    found = sorted(folder.glob(settings.score_file), key=lambda path: path.stat().st_mtime)
    if not found:
        raise NoScoreError(f"it left no {settings.score_file!r} in {{folder}}")
    return found[-1].read_text(encoding="utf-8", errors="replace")


def _tail(path: Path) -> str:
    text = " ".join(path.read_text(encoding="utf-8", errors="replace").split())
    return text[-SHOWN_CHARACTERS:]
