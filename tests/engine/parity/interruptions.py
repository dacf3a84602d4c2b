"""Scenarios: two updates at once, and updates that end too early."""

import subprocess

from tests.engine.killing import kill_all, start
from tests.engine.parity.driver import Driver
from tests.engine.parity.registry import scenario


def _begin_up(stack: Driver) -> "subprocess.Popen[bytes]":
    """Begin an update whose first creation never ends."""
    return start(stack.world, "up", "--yes", "--skip-preview", until=["create-a"])


@scenario
def a_second_update_is_told_that_the_stack_is_locked(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    running = _begin_up(stack)
    stack.up(fails="the stack is currently locked by 1 lock")
    stack.preview()
    kill_all(running)
    stack.command("cancel", "--yes")


@scenario
def kill_and_resume(stack: Driver) -> None:
    stack.program('a = Thing("a", size=1)\nThing("b", size=a.serial)')
    kill_all(_begin_up(stack))
    stack.command("cancel", "--yes")
    stack.program('Thing("b", size=1)')
    outcome = stack.up()
    assert "interrupted while creating" in "".join(outcome.messages("warning"))
    assert stack.in_cloud() == {"b-1"}
    stack.refresh("--clear-pending-creates")
    assert stack.up().messages("warning") == [
        each for each in stack.transcript[-1].messages("warning") if "interrupted" not in each
    ]
