"""Our language host under the CLI: the output of failing programs and policy packs, and the processes that remain.

The messages are those of Pulumi's own host, unless a test notes a difference. Tests of endings cover runs that are
forked from a warm process and runs that start by themselves.
"""

import re
from collections.abc import Iterable, Iterator

import pytest

from rehearsal.world.executables import find_real
from tests.engine.conftest import UP, World
from tests.engine.fork_server import ForkServer
from tests.engine.held import HOLD, Held, left_running

pytestmark = [
    pytest.mark.binaries,
    pytest.mark.skipif(find_real("pulumi-language-python") is not None, reason="Pulumi's own language host is on PATH"),
]

PACK = """
from pulumi_policy import PolicyPack, ResourceValidationPolicy
{}
PolicyPack("pack", [ResourceValidationPolicy("never", "Nothing.", lambda args, report: None)])
"""
GOOD = 'Thing("a", size=1)'


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, warm: ForkServer) -> World:
    """A world with an empty stack. Tests must not change it."""
    is_cold = getattr(request, "param", "warm") == "cold"
    made = World(tmp_path_factory.mktemp("host") / "world", None if is_cold else warm)
    made.program("")
    made.open()
    return made


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The same world; nothing may be left running."""
    yield shared
    assert left_running(shared) == []


cold_too = pytest.mark.parametrize("shared", ["warm", "cold"], indirect=True)


def cold_for(cases: Iterable[str], *cold: str) -> pytest.MarkDecorator:
    """Run all cases warm, and some cold too."""
    wanted = [("warm", case) for case in cases] + [("cold", case) for case in cold]
    return pytest.mark.parametrize(("shared", "case"), wanted, indirect=["shared"])


def preview_output(world: World, *arguments: str, status: int = 1) -> str:
    """Return a preview's output, independent of the CLI's terminal width."""
    answer = world.pulumi("preview", *arguments, status=status)
    return answer.stdout + answer.stderr


FAILING = {
    "raises": (
        'def f():\n    raise ValueError("nonsense")\nThing("a", size=1)\nf()',
        "error: Program failed with an unhandled exception:",
        "ValueError: nonsense",
    ),
    "does not parse": ('Thing("a", size=1\n', "error: Program failed", "SyntaxError: '(' was never closed"),
    "imports what is not there": ("import nowhere", "error: Program failed", "No module named 'nowhere'"),
    "has a module that raises": ("import helper", "helper.py", "KeyError: 'deep'"),
    "has a callback that raises": (
        "pulumi.export('x', pulumi.Output.from_input(1).apply(lambda n: n / 0))",
        "error: Program failed",
        "ZeroDivisionError: division by zero",
    ),
    "gives up": (
        'raise pulumi.RunError("no such thing")',
        "error: no such thing",
        "error: an unhandled error occurred: program exited with non-zero exit code: 1",
    ),
    "exits": ("import sys\nsys.exit(3)", "program exited with non-zero exit code: 3"),
    "exits with words": ('import sys\nsys.exit("that was it")', "that was it", "non-zero exit code: 1"),
    "crashes": ("import os\nos._exit(3)", "program exited with non-zero exit code: 3"),
    "is killed": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "error: an unhandled error occurred: program exited with non-zero exit code: -1",
    ),
}


@cold_for(FAILING, "raises", "is killed")
def test_a_failing_program_is_reported_with_the_reason(world: World, case: str) -> None:
    program, *words = FAILING[case]
    (world.project / "helper.py").write_text("raise KeyError('deep')\n", encoding="utf-8")
    world.program(program)
    text = preview_output(world)
    for one in words:
        assert one in text
    assert "rehearsal/warm" not in text, text


def test_a_traceback_is_shown_once_and_begins_in_the_program(world: World) -> None:
    world.program(FAILING["raises"][0])
    diagnostics = preview_output(world).partition("Diagnostics:")[2]
    assert diagnostics.count("Traceback (most recent call last)") == 1
    assert diagnostics.count("ValueError: nonsense") == 1
    assert re.search(r'Traceback \(most recent call last\):\s+File "[^"]*/project/__main__\.py"', diagnostics)


def test_a_missing_program_is_named(world: World) -> None:
    world.program("")
    (world.project / "__main__.py").unlink()
    assert f"error: unable to find main python program `__main__.py` in `{world.project}`" in preview_output(world)


@cold_too
def test_what_a_program_prints_to_either_stream_is_shown_in_whole_lines(world: World) -> None:
    lines = [f"{'x' * 300}{number}" for number in range(200)]
    world.program("import os\nfor n in range(200):\n    os.write(1 + n % 2, f\"{'x' * 300}{n}\\n\".encode())")
    shown = {line.strip() for line in preview_output(world, status=0).splitlines()}
    assert shown >= set(lines)


FAILING_PACKS = {
    "imports what is not there": ("import nowhere", "No module named 'nowhere'", "exit status 1"),
    "does not parse": ("x = (", "SyntaxError: '(' was never closed", "exit status 1"),
    "exits": ("import sys\nsys.exit(3)", "exit status 3"),
    "is killed": ("import os\nos.kill(os.getpid(), 9)", "exit status"),
    "is none": ("", "could not read plugin"),
    # Without our host's check the CLI would wait for ever.
    "prints before it is ready": (
        PACK.format("for n in range(9): print('line', n)"),
        "the policy pack printed 'line 0' where its port was expected: print to standard error while it loads",
    ),
}


@cold_for(FAILING_PACKS, "is killed", "prints before it is ready")
def test_a_pack_that_does_not_load_is_reported_with_the_reason(world: World, case: str) -> None:
    text, *words = FAILING_PACKS[case]
    world.program(GOOD)
    pack = world.pack(text)
    output = preview_output(world, "--policy-pack", str(pack))
    for one in (*words, f'error: policy pack "{pack}" failed to start'):
        assert one in output


def test_a_pack_that_is_not_there_is_named(world: World) -> None:
    world.program(GOOD)
    pack = world.pack("")
    (pack / "PulumiPolicy.yaml").unlink()
    for folder in (pack, world.root / "nowhere"):
        output = preview_output(world, "--policy-pack", str(folder))
        assert f'failed to load Pulumi policy project located at "{folder}": open {folder}/PulumiPolicy.yaml' in output


def test_a_policy_that_raises_is_shown_and_stops_the_preview(world: World) -> None:
    world.program(GOOD)
    pack = world.pack(
        """
        from pulumi_policy import PolicyPack, ResourceValidationPolicy
        def fail(args, report):
            raise ValueError("no reason")
        PolicyPack("broken", [ResourceValidationPolicy("fails", "It must fail.", fail)])
        """
    )
    output = preview_output(world, "--policy-pack", str(pack))
    assert "error: failed to run policy: Exception calling application: no reason" in output


def test_what_a_pack_prints_to_standard_error_is_shown(world: World) -> None:
    world.program(GOOD)
    pack = world.pack(PACK.format("import sys\nfor n in range(3): print('heard', n, file=sys.stderr)"))
    shown = {line.strip() for line in preview_output(world, "--policy-pack", str(pack), status=0).splitlines()}
    assert shown >= {"heard 0", "heard 1", "heard 2"}


def test_a_virtual_environment_that_is_not_there_is_named(world: World) -> None:
    """Pulumi's own host would create one."""
    project = world.project / "Pulumi.yaml"
    kept = project.read_text(encoding="utf-8")
    project.write_text("name: probe\nruntime:\n  name: python\n  options:\n    virtualenv: venv\n", encoding="utf-8")
    try:
        assert "runtime.options.virtualenv=venv: " in preview_output(world)
    finally:
        project.write_text(kept, encoding="utf-8")


# -- interrupted and killed


def held_in_the_program(world: World) -> Held:
    world.program(HOLD + 'hold("program")')
    pack = world.pack(PACK.format(""))
    return Held(world, "preview", "--policy-pack", str(pack), until=["program"])


@cold_too
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupted_program_ends_with_all_its_processes(world: World, times: int) -> None:
    held = held_in_the_program(world)
    for _ in range(times):
        held.interrupt()
    assert held.end() != 0
    assert left_running(world) == []
    assert "rehearsal/warm" not in held.output()


@cold_too
def test_nothing_outlives_a_cli_that_is_killed_while_the_program_runs(world: World) -> None:
    held = held_in_the_program(world)
    assert left_running(world, patience_seconds=0) != []
    held.kill()
    assert left_running(world) == []


@pytest.fixture(params=["warm", "cold"])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, warm: ForkServer) -> World:
    """A world that tests may change."""
    made = World(tmp_path_factory.mktemp("host") / "world", warm if request.param == "warm" else None)
    made.program(GOOD)
    made.open()
    return made


def test_a_second_interrupt_aborts_a_plugins_work_and_nothing_is_left(fresh: World) -> None:
    held = Held(fresh, *UP, "--policy-pack", str(fresh.pack(PACK.format(""))), until=["create-a"])
    held.interrupt()
    assert left_running(fresh, patience_seconds=2) != []  # operations in flight may take a while
    held.interrupt()
    assert held.end() != 0
    assert left_running(fresh) == []
    assert "a" not in fresh.resources()


def test_nothing_outlives_a_cli_that_is_killed_while_a_plugin_works(fresh: World) -> None:
    held = Held(fresh, *UP, "--policy-pack", str(fresh.pack(PACK.format(""))), until=["create-a"])
    held.kill()
    assert left_running(fresh) == []
