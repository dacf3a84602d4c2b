"""Operations that fail: what is reported, what is recorded, and how the next run goes on."""

import os
import re
import signal
import subprocess
import time

import pulumi.automation as auto
import pytest

from tests.engine.conftest import World


def test_a_failure_in_the_middle_keeps_what_was_done_and_reports_the_plugins_words(world: World) -> None:
    program = """
    a = Thing("a", size=1)
    b = Thing("b", size=a.serial, fail="create")
    Thing("c", size=b.serial)
    """
    world.program(program)
    stack = world.open()
    with pytest.raises(auto.CommandError) as caught:
        stack.up()
    assert "the cloud refuses to create this" in str(caught.value)
    assert {"a", "b", "c"} & set(world.resources()) == {"a"}
    assert stack.history()[0].result == "failed"
    world.program(program.replace(', fail="create"', ""))
    assert world.up() == {"create": 2}


def test_operations_under_way_end_when_another_one_fails(world: World) -> None:
    world.program('Thing("slow", slow=3)\nThing("bad", slow=1, fail="create")')
    stack = world.open()
    with pytest.raises(auto.CommandError):
        stack.up()
    assert "slow" in world.resources()


def test_a_resource_that_never_becomes_ready_is_recorded_with_the_reasons(world: World) -> None:
    world.program('Thing("a", unready=True)')
    stack = world.open()
    with pytest.raises(auto.CommandError, match="it never became ready"):
        stack.up()
    assert world.resources()["a"]["initErrors"] == ["it never became ready"]
    assert world.up() == {"update": 1}
    assert "initErrors" not in world.resources()["a"]


def test_inputs_that_the_plugin_rejects_stop_the_preview(world: World) -> None:
    world.program('Thing("a", size=-1)')
    with pytest.raises(auto.CommandError, match="must not be negative"):
        world.open().preview()


def test_an_exception_in_the_program_is_shown_with_its_traceback(world: World) -> None:
    world.program('Thing("a", size=1)\nraise ValueError("nonsense in line seven")')
    with pytest.raises(auto.errors.RuntimeError) as caught:
        world.open().up()
    assert "nonsense in line seven" in str(caught.value)
    assert "__main__.py" in str(caught.value)


def test_two_resources_of_one_name_are_refused(world: World) -> None:
    world.program('Thing("a", size=1)\nThing("a", size=2)')
    with pytest.raises(auto.CommandError, match="Duplicate resource URN"):
        world.open().preview()


def test_a_missing_plugin_is_named(world: World) -> None:
    world.program('pulumi.CustomResource("nowhere:index:Thing", "a", {})')
    with pytest.raises(auto.CommandError, match="nowhere"):
        world.open().preview()


def test_a_failed_deletion_is_tried_again_by_the_next_run(world: World) -> None:
    program = 'Thing("a", name="first", fail="delete")'
    world.program(program)
    stack = world.open()
    stack.up()
    world.program(program.replace("first", "second").replace("delete", "never"))
    with pytest.raises(auto.CommandError, match="refuses to delete"):
        stack.up()
    recorded = (stack.export_stack().deployment or {})["resources"]
    assert [each.get("delete", False) for each in recorded if each["type"] == "test:index:Thing"].count(True) == 1


def _begin_up(world: World, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--stack", "dev", *arguments],
        cwd=world.project,
        env={**os.environ, **world.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait_for_call(world: World, operation: str) -> None:
    deadline = time.monotonic() + 60
    while not world.calls(operation):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_second_update_is_told_that_the_stack_is_locked(world: World) -> None:
    world.program('Thing("a", slow=6)')
    stack = world.open()
    running = _begin_up(world)
    try:
        _wait_for_call(world, "create")
        with pytest.raises(auto.ConcurrentUpdateError, match="currently locked by 1 lock"):
            stack.up()
    finally:
        output, _ = running.communicate(timeout=60)
    assert running.returncode == 0, output
    assert world.up() == {}


def test_an_update_that_was_killed_leaves_its_operation_pending_and_a_lock_that_cancel_removes(world: World) -> None:
    world.program('Thing("a", slow=30)\nThing("b", size=1)')
    stack = world.open()
    running = _begin_up(world)
    _wait_for_call(world, "create")
    time.sleep(1)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate(timeout=60)
    with pytest.raises(auto.ConcurrentUpdateError):
        stack.up()
    stack.cancel()
    deployment = stack.export_stack().deployment or {}
    assert [(each["resource"]["urn"].rsplit("::")[-1], each["type"]) for each in deployment["pending_operations"]] == [
        ("a", "creating")
    ]
    world.program('Thing("a", size=2)\nThing("b", size=1)')
    result = stack.up()
    assert re.search("interrupted while creating", result.stdout)
    assert {"a", "b"} <= set(world.resources())


def test_an_interrupt_ends_the_update_in_order(world: World) -> None:
    world.program('a = Thing("a", slow=3)\nThing("b", size=a.serial)')
    world.open()
    running = _begin_up(world)
    _wait_for_call(world, "create")
    os.kill(running.pid, signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode != 0
    assert "a" in world.resources()
    assert "b" not in world.resources()
    world.program('a = Thing("a", slow=3)')
    assert world.up() == {}
