"""Runs the user's evaluation command against one colour, and reads its score."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from components.config.sections.check_settings import EvalSettings
from rollout.checks.evals.judgement import Score
from rollout.checks.evals.score import NoScoreError, last_line, read_score
from rollout.ports import Clock
from rollout.system.endpoint_key import VARIABLE
from rollout.system.waits import waiting

LOOK_SECONDS = 0.1
END_SECONDS = 5.0
SHOWN_CHARACTERS = 300

# Hidden from the command: the relay adds the API key to its requests, and it has nothing to do with the stack.
_WITHHELD = frozenset({VARIABLE, "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"})


class CommandError(Exception):
    """The command gave no score. The message says why."""


@dataclass(frozen=True, kw_only=True)
class EvaluatedColor:
    """What a command gets to know about the colour that it evaluates."""

    base_url: str
    model: str
    color: str
    release_id: str
    release_model: str

    def values(self, folder: Path) -> Mapping[str, str]:
        """Return the values of the placeholders in the command."""
        return {
            "base_url": self.base_url,
            "model": self.model,
            "color": self.color,
            "release_id": self.release_id,
            "release_model": self.release_model,
            "folder": str(folder),
        }


def filled(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Replace ``{placeholders}`` by their values. Other braces stay, because the words may be JSON."""
    done: list[str] = []
    for word in words:
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", value)
        done.append(word)
    return done


def run_command(settings: EvalSettings, target: EvaluatedColor, *, folder: Path, work_dir: Path, clock: Clock) -> Score:
    """Run the command in ``work_dir``, with its files in ``folder``, and read its score.

    Raises:
        CommandError: the command did not start, failed, took too long, or left no score.
        StoppedError: the rollout was asked to stop; the command was ended.
    """
    values = target.values(folder)
    environment = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
    environment |= {f"EVAL_{name.upper()}": value for name, value in values.items()}
    # OpenAI's own clients read these variables, and require a key.
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
        printed = _tail(errors) or _tail(output) or "it printed nothing"
        raise CommandError(f"{settings.command[0]!r} exited with {code}: {printed}")
    try:
        return read_score(_document(settings, folder, output), settings)
    except NoScoreError as error:
        raise CommandError(f"no score: {error}") from error


def _await(process: subprocess.Popen[bytes], timeout_seconds: float, clock: Clock) -> int:
    deadline = clock.monotonic() + timeout_seconds
    with waiting("the evaluation's command", at_most_seconds=timeout_seconds):
        while (code := process.poll()) is None:
            if clock.monotonic() > deadline:
                raise CommandError(f"it did not end within {timeout_seconds:g} s (rollout.gates.eval.timeout_seconds)")
            clock.sleep(LOOK_SECONDS)
    return code


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and the processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
            return


def _document(settings: EvalSettings, folder: Path, output: Path) -> str:
    if settings.score_file is None:
        return last_line(output.read_text(encoding="utf-8", errors="replace"))
    files = [path for path in folder.glob(settings.score_file) if path.is_file()]
    found = sorted(files, key=lambda path: path.stat().st_mtime)
    if not found:
        raise NoScoreError(f"it left no {settings.score_file!r} in {{folder}}")
    return found[-1].read_text(encoding="utf-8", errors="replace")


def _tail(path: Path) -> str:
    text = " ".join(path.read_text(encoding="utf-8", errors="replace").split())
    return text[-SHOWN_CHARACTERS:]
