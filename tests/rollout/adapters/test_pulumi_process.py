"""The CLI as a child process that can be interrupted."""

import threading
import time
from pathlib import Path

import pytest
from pulumi.automation.errors import CommandError

from rollout.adapters.pulumi.process import InterruptiblePulumi

FAKE = """\
#!/bin/sh
if [ "$1" = version ]; then echo v3.272.0; exit 0; fi
if [ "$2" = fail ]; then echo sorry >&2; exit 255; fi
if [ "$2" = wait ]; then
  trap 'echo interrupted; exit 7' INT
  echo begun
  while true; do sleep 0.05; done
fi
echo "$@ $EXTRA"
"""


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InterruptiblePulumi:
    executable = tmp_path / "pulumi"
    executable.write_text(FAKE)
    executable.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return InterruptiblePulumi("prod")


def test_a_command_runs_without_prompts_and_with_its_environment(pulumi: InterruptiblePulumi) -> None:
    assert pulumi.run(["up", "--yes"], ".", {"EXTRA": "more"}).stdout == "--non-interactive up --yes more"


def test_a_failed_command_is_an_error_with_its_output(pulumi: InterruptiblePulumi) -> None:
    with pytest.raises(CommandError, match="sorry"):
        pulumi.run(["fail"], ".", {})


def test_an_interrupted_command_may_end_in_its_own_way(pulumi: InterruptiblePulumi) -> None:
    begun = threading.Event()
    failures: list[str] = []

    def run() -> None:
        try:
            pulumi.run(["wait"], ".", {}, on_output=lambda _: begun.set())
        except CommandError as error:
            failures.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(10)
    pulumi.interrupt()
    thread.join(10)
    assert not thread.is_alive()
    assert "code: 7" in failures[0]
    assert "interrupted" in failures[0]


def test_interrupting_when_nothing_runs_does_nothing(pulumi: InterruptiblePulumi) -> None:
    pulumi.interrupt()
    started = time.monotonic()
    assert pulumi.run(["up"], ".", {}).code == 0
    assert time.monotonic() - started < 10
