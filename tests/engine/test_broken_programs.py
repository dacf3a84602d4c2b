"""Programs and plugins that fail on the embedded engine: the reason is shown, once."""

import os
import signal
from pathlib import Path

import pytest

from tests.engine.conftest import World
from tests.engine.killing import cloud, descendants, recorded, start
from tests.engine.refusals import UP, begin

pytestmark = pytest.mark.parametrize("engine", ["embedded"], indirect=True)


def test_a_program_that_raises_is_shown_once_with_its_traceback(world: World) -> None:
    begin(world, 'Thing("a", size=1)\nraise ValueError("nonsense")')
    answer = world.pulumi(*UP, status=1)
    text = answer.stdout + answer.stderr
    assert text.count("Traceback (most recent call last)") == 1
    assert text.count("ValueError: nonsense") == 1
    assert "rehearsal/engine" not in text


def test_a_program_that_cannot_be_parsed_is_shown_with_the_line(world: World) -> None:
    begin(world, 'Thing("a", size=1\n')
    answer = world.pulumi(*UP, status=1)
    assert "SyntaxError: '(' was never closed" in answer.stdout
    assert "__main__.py" in answer.stdout
    assert cloud(world) == set()


def test_a_missing_program_is_named(world: World) -> None:
    begin(world)
    (world.project / "__main__.py").unlink()
    answer = world.pulumi(*UP, status=1)
    assert "__main__" in answer.stdout
    assert recorded(world) == {}


def _plugin(world: World, script: str) -> None:
    path = world.root / "bin" / "pulumi-resource-test"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo sorry >&2; exit 3", "it ended with status 3 before it printed a port"),
        ("echo hello", "expected a port number, got 'hello'"),
        ("exec /nowhere/plugin", "it ended with status 127 before it printed a port"),
    ],
)
def test_a_plugin_that_does_not_start_is_named_with_the_reason(world: World, script: str, message: str) -> None:
    begin(world)
    _plugin(world, script)
    answer = world.pulumi(*UP, status=1)
    assert f"could not start the resource plugin 'pulumi-resource-test': {message}" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr
    assert cloud(world) == set()


def test_a_plugin_that_is_no_program_is_named(world: World) -> None:
    begin(world)
    (world.root / "bin" / "pulumi-resource-test").write_text("neither", encoding="utf-8")
    answer = world.pulumi(*UP, status=1)
    assert "could not start the resource plugin 'pulumi-resource-test': " in answer.stdout
    assert "Exec format error" in answer.stdout


def test_a_plugin_that_is_not_there_is_named(world: World) -> None:
    begin(world)
    (world.root / "bin" / "pulumi-resource-test").unlink()
    answer = world.pulumi(*UP, status=1)
    assert "no resource plugin 'pulumi-resource-test' found" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr


def test_a_plugin_that_dies_during_a_step_fails_it_and_the_next_run_goes_on(world: World) -> None:
    begin(world)
    process = start(world, *UP, until=["create-a"])
    for pid in descendants(process.pid):
        if b"tests.engine.provider" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    assert process.wait(timeout=120) == 1
    said = (world.root / "output.txt").read_text(encoding="utf-8")
    assert "pulumi-resource-test" in said
    assert "Traceback" not in said
    assert recorded(world) == {}
    world.pulumi(*UP)
    assert cloud(world) == set(recorded(world)) == {"a-1"}
