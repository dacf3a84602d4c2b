"""Failures and interrupts whose moment matters; what a failure leaves is in the parity scenarios."""

import os
import re
import signal
import subprocess
import time

import pulumi.automation as auto
import pytest

from tests.engine.conftest import World
from tests.engine.killing import kill_all, start

UP = ("up", "--yes", "--skip-preview")


def test_operations_under_way_end_when_another_one_fails(world: World) -> None:
    world.program('Thing("slow", slow=3)\nThing("bad", slow=1, fail="create")')
    stack = world.open()
    with pytest.raises(auto.CommandError):
        stack.up()
    assert "slow" in world.resources()


def test_an_exception_in_the_program_is_shown_with_its_traceback(world: World) -> None:
    world.program('Thing("a", size=1)\nraise ValueError("nonsense in line seven")')
    with pytest.raises(auto.errors.RuntimeError) as caught:
        world.open().up()
    assert "nonsense in line seven" in str(caught.value)
    assert "__main__.py" in str(caught.value)


def test_a_policy_that_fails_is_shown_and_stops_the_update(world: World) -> None:
    world.program('Thing("a", size=1)')
    pack = world.root / "pack"
    pack.mkdir()
    (pack / "PulumiPolicy.yaml").write_text("runtime: python\n", encoding="utf-8")
    (pack / "__main__.py").write_text(
        "from pulumi_policy import PolicyPack, ResourceValidationPolicy\n"
        "def fail(args, report):\n    raise ValueError('nobody knows')\n"
        "PolicyPack('broken', [ResourceValidationPolicy('fails', 'It must fail.', fail)])\n",
        encoding="utf-8",
    )
    with pytest.raises(auto.CommandError, match="failed to run policy: Exception calling application: nobody knows"):
        world.open().up(policy_packs=[str(pack)])
    assert world.calls("create") == []


def _wait_for_call(world: World, operation: str) -> None:
    deadline = time.monotonic() + 60
    while not world.calls(operation):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_second_update_is_told_that_the_stack_is_locked_until_the_lock_is_cancelled(world: World) -> None:
    world.program('Thing("a", size=1)')
    stack = world.open()
    running = start(world, *UP, until=["create-a"])
    with pytest.raises(auto.ConcurrentUpdateError, match="currently locked by 1 lock"):
        stack.up()
    kill_all(running)
    with pytest.raises(auto.ConcurrentUpdateError):
        stack.up()
    stack.cancel()
    assert re.search("interrupted while creating", stack.up().stdout)
    assert "a" in world.resources()


def test_an_interrupt_ends_the_update_in_order(world: World) -> None:
    world.program('a = Thing("a", slow=3)\nThing("b", size=a.serial)')
    world.open()
    running = subprocess.Popen(
        ["pulumi", *UP],
        cwd=world.project,
        env={**os.environ, **world.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _wait_for_call(world, "create")
    os.kill(running.pid, signal.SIGINT)
    assert running.wait(timeout=60) != 0
    assert (world.cloud / "cancelled").exists()
    assert "a" in world.resources()
    assert "b" not in world.resources()
    world.program('a = Thing("a", slow=3)')
    assert world.up() == {}
