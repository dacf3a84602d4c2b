"""Files that the embedded engine cannot write: nothing is torn, and nothing begins without its record."""

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.engine.conftest import World
from tests.engine.killing import cloud, deployment, pending, recorded, state_file
from tests.engine.refusals import UP, begin, refused

pytestmark = pytest.mark.parametrize("engine", ["embedded"], indirect=True)


def _limited(world: World, size: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in which no file may grow beyond a size in bytes, as on a full disk."""
    return subprocess.run(
        ["pulumi", *arguments],
        cwd=world.project,
        env={**os.environ, **world.environment},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


def _leftovers(world: World) -> list[Path]:
    return [path for path in world.root.rglob("*.tmp") if path.is_file()]


def test_no_operation_begins_without_room_for_its_record(world: World) -> None:
    begin(world)
    world.pulumi(*UP)
    before = deployment(world)["resources"]
    size = len(state_file(world).read_bytes())
    world.program('Thing("a", size=1)\nThing("b", blob="x" * 500)')
    answer = _limited(world, size + 100, *UP)
    assert answer.returncode == 1
    assert f"cannot write {state_file(world)}: File too large" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr
    assert cloud(world) == {"a-1"}
    assert (deployment(world)["resources"], pending(world)) == (before, [])
    assert _leftovers(world) == []
    world.pulumi(*UP)
    assert cloud(world) == set(recorded(world)) == {"a-1", "b-1"}


def test_an_operation_whose_end_finds_no_room_stays_pending(world: World) -> None:
    begin(world)
    world.pulumi(*UP)
    size = len(state_file(world).read_bytes())
    world.program('Thing("a", size=1)\nThing("b", blob="x" * 2000)')
    answer = _limited(world, size + 4000, *UP)
    assert answer.returncode == 1
    assert f"cannot write {state_file(world)}: File too large" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr
    assert (pending(world), recorded(world), cloud(world)) == ([("b", "creating")], {"a-1": ""}, {"a-1", "b-1"})
    assert _leftovers(world) == []


def test_without_room_for_the_lock_nothing_begins(world: World) -> None:
    begin(world)
    answer = _limited(world, 20, *UP)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: cannot write {world.root}/state/.pulumi/locks/organization/probe/dev/")
    assert answer.stderr.endswith(".json: File too large\n")
    assert cloud(world) == set()
    assert _leftovers(world) == []


def test_without_room_for_the_config_it_stays_as_it_is(world: World) -> None:
    begin(world)
    path = world.project / "Pulumi.dev.yaml"
    before = path.read_bytes()
    answer = _limited(world, 20, "config", "set", "size", "3")
    assert (answer.returncode, answer.stderr) == (1, f"error: cannot write {path}: File too large\n")
    assert path.read_bytes() == before
    assert _leftovers(world) == []


def test_an_event_log_that_cannot_be_written_is_given_up_with_a_warning(world: World) -> None:
    begin(world)
    answer = world.pulumi(*UP, "--event-log", "/dev/full")
    assert answer.stderr == "warning: cannot write the event log /dev/full: No space left on device\n"
    assert recorded(world) == {"a-1": ""}


def test_a_backend_that_cannot_be_written_is_named(world: World) -> None:
    begin(world)
    (world.root / "state" / ".pulumi" / "locks").write_text("in the way", encoding="utf-8")
    text = refused(world, *UP)
    assert text.startswith(f"cannot write {world.root}/state/.pulumi/locks/organization/probe/dev/")
    assert text.endswith("Not a directory")
    assert cloud(world) == set()
