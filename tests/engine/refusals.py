"""Commands that must be refused."""

import signal

from tests.engine.conftest import World

UP = ("up", "--yes", "--skip-preview")


def begin(world: World, program: str = 'Thing("a", size=1)') -> None:
    """Write a program and create the stack."""
    world.program(program)
    world.pulumi("stack", "init", "dev")


def refused(world: World, *arguments: str, **environment: str) -> str:
    """Run a command that must be refused with one line, which is returned, and nothing else."""
    answer = world.pulumi(*arguments, status=None, **environment)
    assert answer.returncode not in (0, -signal.SIGKILL), answer.stdout
    assert answer.stderr.startswith("error: "), answer.stderr
    assert answer.stderr.count("\n") == 1, answer.stderr
    assert "Traceback" not in answer.stdout
    return answer.stderr.removeprefix("error: ").strip()
