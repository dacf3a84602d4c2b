"""Commands killed at a known instant: what the state then says, and how the next commands go on from there."""

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.engine.conftest import World
from tests.engine.killing import (
    HOLD,
    cloud,
    deployment,
    descendants,
    end_of,
    kill_all,
    pending,
    recorded,
    run_killed,
    start,
    state_file,
)

UP = ("up", "--yes", "--skip-preview")
REFRESH = ("refresh", "--yes", "--skip-preview")
DESTROY = ("destroy", "--yes", "--skip-preview")
CLEAR = (*REFRESH, "--clear-pending-creates")


@dataclass(frozen=True)
class Kill:
    """A command that is killed at a point, and what it leaves.

    Attributes:
        before: the program that was there first (empty: none).
        after: the program when the command is killed.
        point: where it is killed.
        pending: the operations that the state then calls pending.
        recorded: the things in the state then: id to `delete`, `replace` (its replacement is pending) or nothing.
        exist: ids of what exists in the cloud then.
        finally_: ids of what exists, and is recorded, after the repair.
        command: the command.
    """

    before: str
    after: str
    point: str
    pending: list[tuple[str, str]]
    recorded: dict[str, str]
    exist: set[str]
    finally_: set[str]
    command: tuple[str, ...] = UP


ONE, TWO = 'Thing("a", size=1)', 'Thing("a", size=2)'
X, Y = 'Thing("a", name="x")', 'Thing("a", name="y")'
LEFT, RIGHT = 'Thing("a", slot="left")', 'Thing("a", slot="right")'
READ = 'Thing("g", opts=ResourceOptions(id="g-0"))'

KILLS = {
    "before a create": Kill("", ONE, "create-a", [("a", "creating")], {}, set(), {"a-1"}),
    "before an update": Kill(ONE, TWO, "update-a", [("a", "updating")], {"a-1": ""}, {"a-1"}, {"a-1"}),
    "after an update": Kill(ONE, TWO, "updated-a", [("a", "updating")], {"a-1": ""}, {"a-1"}, {"a-1"}),
    "before a delete": Kill(ONE, "", "delete-a", [("a", "deleting")], {"a-1": ""}, {"a-1"}, set()),
    "after a delete": Kill(ONE, "", "deleted-a", [("a", "deleting")], {"a-1": ""}, set(), set()),
    "create, then delete: before the create": Kill(
        X, Y, "create-a", [("a", "creating")], {"a-1": ""}, {"a-1"}, {"a-2"}
    ),
    "create, then delete: before the delete": Kill(
        X, Y, "delete-a", [("a", "deleting")], {"a-2": "", "a-1": "delete"}, {"a-1", "a-2"}, {"a-2"}
    ),
    "create, then delete: after the delete": Kill(
        X, Y, "deleted-a", [("a", "deleting")], {"a-2": "", "a-1": "delete"}, {"a-2"}, {"a-2"}
    ),
    "delete, then create: before the delete": Kill(
        LEFT, RIGHT, "delete-a", [("a", "deleting")], {"a-1": ""}, {"a-1"}, {"a-2"}
    ),
    "delete, then create: after the delete": Kill(
        LEFT, RIGHT, "deleted-a", [("a", "deleting")], {"a-1": ""}, set(), {"a-2"}
    ),
    "delete, then create: before the create": Kill(
        LEFT, RIGHT, "create-a", [("a", "creating")], {"a-1": "replace"}, set(), {"a-2"}
    ),
    "a read": Kill("", READ, "read-g", [("g", "reading")], {}, {"g-0"}, {"g-0"}),
    "a refresh": Kill(ONE, ONE, "read-a", [], {"a-1": ""}, {"a-1"}, {"a-1"}, REFRESH),
    "before a destroy's delete": Kill(ONE, ONE, "delete-a", [("a", "deleting")], {"a-1": ""}, {"a-1"}, set(), DESTROY),
    "after a destroy's delete": Kill(ONE, ONE, "deleted-a", [("a", "deleting")], {"a-1": ""}, set(), set(), DESTROY),
}


def _begin(world: World, before: str, after: str) -> None:
    world.program(before)
    world.pulumi("stack", "init", "dev")
    if "g-0" in after:
        (world.cloud / "g-0.json").write_text('{"size": 1}', encoding="utf-8")
    if before:
        world.pulumi(*UP)
    world.program(after)


@pytest.mark.parametrize("kill", KILLS.values(), ids=KILLS.keys())
def test_a_killed_step_is_pending_and_the_next_run_says_so_and_completes_it(world: World, kill: Kill) -> None:
    _begin(world, kill.before, kill.after)
    run_killed(world, *kill.command, until=[kill.point])
    assert (pending(world), recorded(world), cloud(world)) == (kill.pending, kill.recorded, kill.exist)
    world.pulumi("cancel", "--yes")
    said = world.pulumi(*kill.command).stdout
    for name, kind in kill.pending:
        assert f"with {len(kill.pending)} pending operations from previous deployment" in said
        assert f"Thing::{name}, interrupted while {kind}" in said
    creating = [each for each in kill.pending if each[1] == "creating"]
    assert pending(world) == creating
    if creating:
        world.pulumi(*CLEAR)
    assert pending(world) == []
    assert cloud(world) == set(recorded(world)) == kill.finally_
    assert set(recorded(world).values()) <= {""}


@pytest.mark.parametrize(("before", "after"), [("", ONE), (X, Y), (LEFT, RIGHT)], ids=["create", "before", "after"])
def test_a_create_that_took_effect_is_put_into_the_state_by_export_and_import(
    world: World, before: str, after: str
) -> None:
    _begin(world, before, after)
    run_killed(world, *UP, until=["created-a"])
    assert pending(world) == [("a", "creating")]
    world.pulumi("cancel", "--yes")
    document = json.loads(world.pulumi("stack", "export").stdout)
    exported = document["deployment"]
    (created,) = sorted(cloud(world) - set(recorded(world)))
    (operation,) = exported["pending_operations"]
    for resource in exported["resources"]:
        resource["delete"] = resource["urn"] == operation["resource"]["urn"] and not resource.get("pendingReplacement")
    exported["resources"] = [each for each in exported["resources"] if not each.get("pendingReplacement")]
    exported["resources"].append({**operation["resource"], "id": created})
    (world.root / "edited.json").write_text(json.dumps(document), encoding="utf-8")
    answer = world.pulumi("stack", "import", "--file", str(world.root / "edited.json"))
    assert "removing pending operation 'creating' on" in answer.stderr
    assert pending(world) == []
    world.pulumi(*REFRESH)
    world.pulumi(*UP)
    assert pending(world) == []
    assert cloud(world) == set(recorded(world)) == {created}
    world.pulumi("preview", "--expect-no-changes")


def test_what_each_command_says_after_a_kill(world: World) -> None:
    _begin(world, "", ONE)
    process = start(world, *UP, until=["create-a"])
    kill_all(process)
    for command in (UP, REFRESH, DESTROY):
        refused = world.pulumi(*command, status=None)
        assert refused.returncode != 0
        assert "the stack is currently locked by 1 lock(s)" in refused.stderr
        assert "`pulumi cancel`" in refused.stderr
        assert f"(pid {process.pid}) at 2" in refused.stderr
    assert "pending operations" not in world.pulumi("preview").stdout
    assert '"creating"' in world.pulumi("stack", "export").stdout
    assert "has been canceled" in world.pulumi("cancel", "--yes").stdout
    assert "has been canceled" in world.pulumi("cancel", "--yes").stdout
    assert "pending operations" not in world.pulumi(*REFRESH).stdout
    assert pending(world) == [("a", "creating")]
    assert "interrupted while creating" in world.pulumi(*DESTROY).stdout
    assert pending(world) == [("a", "creating")]
    world.pulumi(*CLEAR)
    assert pending(world) == []


def test_operations_in_flight_together_are_all_pending(world: World) -> None:
    _begin(
        world, 'Thing("a", size=1)\nThing("c", size=1)', 'Thing("a", size=2)\nThing("b", size=1)\nThing("c", size=1)'
    )
    run_killed(world, *UP, until=["update-a", "create-b"])
    assert pending(world) == [("a", "updating"), ("b", "creating")]
    assert recorded(world) == {"a-1": "", "c-1": ""}
    world.pulumi("cancel", "--yes")
    said = world.pulumi(*UP).stdout
    assert "with 2 pending operations" in said
    world.pulumi(*CLEAR)
    assert pending(world) == []
    assert cloud(world) == set(recorded(world)) == {"a-1", "b-1", "c-1"}


def test_the_repair_may_be_killed_too(world: World) -> None:
    _begin(world, X, Y)
    run_killed(world, *UP, until=["create-a"])
    world.pulumi("cancel", "--yes")
    run_killed(world, *UP, until=["create-a"])
    assert pending(world) == [("a", "creating"), ("a", "creating")]
    world.pulumi("cancel", "--yes")
    run_killed(world, *UP, until=["delete-a"])
    assert pending(world) == [("a", "creating"), ("a", "creating"), ("a", "deleting")]
    world.pulumi("cancel", "--yes")
    run_killed(world, *CLEAR, until=["read-a"])
    world.pulumi("cancel", "--yes")
    world.pulumi(*CLEAR)
    world.pulumi(*UP)
    assert pending(world) == []
    assert cloud(world) == set(recorded(world)) == {"a-2"}


def _with_hook(kind: str) -> str:
    return HOLD + (
        'hook = pulumi.ResourceHook("held", lambda arguments: hold("hook"))\n'
        f'Thing("a", size=1, opts=ResourceOptions(hooks=pulumi.ResourceHookBinding({kind}=[hook])))'
    )


@pytest.mark.parametrize(("kind", "exist"), [("before_create", set[str]()), ("after_create", {"a-1"})])
def test_a_kill_inside_a_hook_leaves_its_operation_pending(world: World, kind: str, exist: set[str]) -> None:
    _begin(world, "", _with_hook(kind))
    run_killed(world, *UP, until=["hook"])
    assert pending(world) == [("a", "creating")]
    assert recorded(world) == {}
    assert cloud(world) == exist


@pytest.mark.parametrize("command", [("preview",), UP], ids=["preview", "up"])
def test_a_kill_while_the_program_runs_changes_nothing(world: World, command: Sequence[str]) -> None:
    _begin(world, ONE, HOLD + 'hold("program")\n' + TWO)
    before = deployment(world)["resources"]
    run_killed(world, *command, until=["program"])
    assert deployment(world)["resources"] == before
    assert pending(world) == []
    if command == UP:
        assert "locked" in world.pulumi(*UP, status=None).stderr
        world.pulumi("cancel", "--yes")
    assert "pending operations" not in world.pulumi(*UP).stdout
    assert recorded(world) == {"a-1": ""}


def test_programs_and_plugins_end_when_only_the_engine_is_killed(world: World) -> None:
    if world.engine == "real":
        pytest.skip("the Pulumi CLI leaves this to its plugins; the test plugin does nothing about it")
    _begin(world, "", ONE)
    process = start(world, *UP, until=["create-a"])
    children = descendants(process.pid)
    assert len(children) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert end_of(children) == []


_STOPPING_ENGINE = """
import os, runpy, sys, threading
from pathlib import Path

replace = Path.replace

def stop(self, target):
    pipe = Path(os.environ["TEST_CLOUD"]) / "hold-write"
    if Path(target).name == "dev.json" and pipe.is_fifo():
        pipe.write_text("0")
        threading.Event().wait()
    return replace(self, target)

Path.replace = stop
sys.argv[0] = "rehearsal.engine"
runpy.run_module("rehearsal.engine", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("engine", ["embedded"], indirect=True)
def test_a_kill_between_writing_the_state_and_putting_it_in_place_keeps_the_state_before(world: World) -> None:
    _begin(world, ONE, TWO)
    script = world.root / "stopping.py"
    script.write_text(_STOPPING_ENGINE, encoding="utf-8")
    engine = world.root / "bin" / "pulumi"
    text = engine.read_text(encoding="utf-8")
    engine.write_text(text.replace("-m rehearsal.engine", str(script)), encoding="utf-8")
    before = state_file(world).read_bytes()
    run_killed(world, *UP, until=["write"])
    assert state_file(world).read_bytes() == before
    assert len(list(state_file(world).parent.glob(".dev.json.*.tmp"))) == 1
    world.pulumi("cancel", "--yes")
    world.pulumi(*UP)
    assert list(state_file(world).parent.glob(".dev.json.*.tmp")) == []
    assert recorded(world) == {"a-1": ""}
    assert cloud(world) == {"a-1"}
