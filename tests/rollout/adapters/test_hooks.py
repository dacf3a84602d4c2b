"""The user's own commands, run as real processes."""

import sys
import time
from pathlib import Path

import pytest

from components.config.release.release import Release
from rollout.adapters.hooks import CommandHooks
from rollout.model.errors import StoppedError
from rollout.model.serving import Serving
from tests.rollout.fakes import NEW, OLD


def hooks(folder: Path) -> CommandHooks:
    return CommandHooks(folder, lambda: None)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_hook_sees_who_serves_and_runs_beside_the_program(tmp_path: Path) -> None:
    serving = Serving(service="chat", color="green", release=NEW, previous=OLD)
    code = "import os, pathlib; pathlib.Path('seen').write_text(os.environ['ROLLOUT_CACHE_NAMESPACE'])"
    result = hooks(tmp_path).run(python(code), serving.variables(), timeout_seconds=20)
    assert result.error == ""
    assert result.seconds > 0
    assert (tmp_path / "seen").read_text() == NEW.semantic_cache_namespace


def test_what_a_hook_prints_is_no_output_of_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hooks(tmp_path).run(python("print('emptied')"), {}, timeout_seconds=20)
    assert capfd.readouterr() == ("", "emptied\n")


def test_no_shell_reads_the_words(tmp_path: Path) -> None:
    code = "import pathlib, sys; pathlib.Path('seen').write_text(sys.argv[1])"
    hooks(tmp_path).run([*python(code), "$HOME; rm -rf *"], {}, timeout_seconds=20)
    assert (tmp_path / "seen").read_text() == "$HOME; rm -rf *"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (python("raise SystemExit(7)"), "exited with 7"),
        (["/no/such/program"], "cannot be run (No such file or directory)"),
    ],
)
def test_a_failing_hook_is_a_result(tmp_path: Path, command: list[str], message: str) -> None:
    assert message in hooks(tmp_path).run(command, {}, timeout_seconds=20).error


def test_a_hook_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    child = "import time, pathlib\nfor i in range(100): pathlib.Path('alive').write_text(str(i)); time.sleep(0.05)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    result = hooks(tmp_path).run(python(code), {}, timeout_seconds=1)
    assert "took longer than 1 s and was ended" in result.error
    alive = tmp_path / "alive"
    before = alive.read_text() if alive.exists() else ""
    time.sleep(0.3)
    assert (alive.read_text() if alive.exists() else "") == before


def test_a_request_to_stop_is_heard_while_a_hook_runs(tmp_path: Path) -> None:
    def check() -> None:
        raise StoppedError("stopped by SIGTERM")

    began = time.monotonic()
    with pytest.raises(StoppedError):
        CommandHooks(tmp_path, check).run(python("import time; time.sleep(60)"), {}, timeout_seconds=60)
    assert time.monotonic() - began < 10


def test_the_namespace_changes_exactly_when_answers_may() -> None:
    other_image = NEW.model_copy(update={"image": f"vllm/vllm-openai@sha256:{'c' * 64}"})

    def changed(release: Release, previous: Release | None) -> str:
        serving = Serving(service="chat", color="green", release=release, previous=previous)
        return serving.variables()["ROLLOUT_CACHE_NAMESPACE_CHANGED"]

    assert changed(NEW, OLD) == "true"
    assert changed(NEW, None) == "true"
    assert changed(other_image, NEW) == "false"
