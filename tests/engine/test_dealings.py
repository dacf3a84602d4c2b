"""The scripts and the real CLI: locks, kills, interrupts, refusals, state, targets and secrets.

All tests go through `PulumiStack`, as the scripts do. The clouds are files.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.domain.naming import PROJECT
from rollout.adapters.pulumi.lock import OURS
from rollout.adapters.pulumi.stack import PulumiStack
from rollout.model.errors import PolicyRefusedError, RefusedError, StackLockedError, UpdateFailedError
from rollout.system.processes import process_start_time
from tests.components.example import SECRET, release
from tests.engine.conftest import UP, World
from tests.engine.held import HOLD, LONGEST_SECONDS, Held, Points, left_running
from tests.engine.program import PROGRAM, Stack

pytestmark = [pytest.mark.binaries, pytest.mark.timeout(600)]

GOOD = 'Thing("a", size=1)'


def open_stack(
    world: World, name: str = "dev", *, log: Callable[[str], None] = lambda _: None, seconds: float = 300
) -> PulumiStack:
    """Open the world's stack as a script does."""
    return PulumiStack(name, world.project, update_timeout_seconds=seconds, check=lambda: None, log=log)


@pytest.fixture
def world(world: World) -> Iterator[World]:
    """A new world, whose environment this process has. Nothing may be left running in it."""
    with world.around():
        yield world
    assert left_running(world) == []


# -- locks


def test_the_lock_of_a_killed_update_is_cancelled_and_the_next_update_succeeds(world: World) -> None:
    world.program(GOOD)
    held = Held(world, *UP, until=["create-a"], **{OURS: "dev"})
    held.kill()
    assert len(world.locks()) == 1
    messages: list[str] = []
    open_stack(world, log=messages.append).up("again")
    assert len(messages) == 1
    assert messages[0].startswith("cancelling Pulumi's lock, whose update ended without releasing it: ")
    assert f"(pid {held.process.pid})" in messages[0]
    assert "\n" not in messages[0]
    assert world.locks() == []
    assert "a" in world.resources()


def test_our_own_orphaned_update_is_interrupted_and_waited_for(world: World) -> None:
    world.program('a = Thing("a", size=1)\n' + HOLD + 'a.serial.apply(lambda _: hold("program"))')
    held = Held(world, *UP, until=["program"], **{OURS: "dev"})
    # Nothing else waits for an orphan; without this thread it would stay a zombie.
    threading.Thread(target=held.process.wait, daemon=True).start()
    messages: list[str] = []
    open_stack(world, log=messages.append).up("again")
    assert messages[0] == (f"an update outlived the script that began it; interrupting it (process {held.process.pid})")
    assert world.calls() == [("create", "a")]
    assert world.locks() == []


@pytest.fixture
def other(world: World) -> Iterator[Held]:
    """Another person's running update."""
    world.program(GOOD)
    held = Held(world, *UP, until=["create-a"])
    yield held
    held.kill()


def test_another_persons_update_is_left_alone_and_its_lock_holder_is_named(world: World, other: Held) -> None:
    messages: list[str] = []
    with pytest.raises(StackLockedError) as raised:
        open_stack(world, log=messages.append).up("mine")
    message = str(raised.value)
    assert message.startswith("update 'mine' failed: ")
    assert re.search(rf"currently locked by 1 lock.* created by \S+@\S+ \(pid {other.process.pid}\)", message)
    assert "\n" not in message
    assert messages == []
    assert process_start_time(other.process.pid)
    assert len(world.locks()) == 1


def test_a_lock_is_cancelled_once_its_holder_has_ended_even_if_it_was_not_ours(world: World, other: Held) -> None:
    other.kill()
    open_stack(world).up("mine")
    assert "a" in world.resources()


# -- kills


def pending(world: World) -> list[tuple[str, str]]:
    operations = world.deployment().get("pending_operations") or []
    return [(one["type"], one["resource"]["urn"].rpartition("::")[2]) for one in operations]


@pytest.mark.parametrize("point", ["create-a", "created-a"])
def test_after_a_kill_during_a_creation_the_next_update_creates_again(world: World, point: str) -> None:
    world.program(GOOD)
    Held(world, *UP, until=[point], **{OURS: "dev"}).kill()
    assert pending(world) == [("creating", "a")]
    stack = open_stack(world)
    assert [change.op for change in stack.preview("again").changes] == ["create"]
    stack.up("again")
    assert world.calls() == [("create", "a")] * 2
    # The first one may exist too: the CLI keeps warning until a `pulumi refresh`.
    assert pending(world) == [("creating", "a")]
    stack.up("and again")
    assert world.calls() == [("create", "a")] * 2


def test_after_a_kill_during_an_update_the_next_one_repeats_it(world: World) -> None:
    world.program(GOOD)
    world.pulumi(*UP)
    world.program('Thing("a", size=2)')
    Held(world, *UP, until=["update-a"], **{OURS: "dev"}).kill()
    assert pending(world) == [("updating", "a")]
    open_stack(world).up("again")
    assert world.resources()["a"]["inputs"]["size"] == 2


# -- interrupts


class Running:
    """An update in a thread, as in a script that receives a stop signal."""

    def __init__(self, stack: PulumiStack) -> None:
        self.failure: Exception | None = None
        self._stack = stack
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._stack.up("slowly")
        except Exception as error:
            self.failure = error

    def end(self) -> Exception | None:
        self._thread.join(LONGEST_SECONDS)
        assert not self._thread.is_alive()
        return self.failure


def wait_for_call(world: World) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not world.calls():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_interrupt_ends_an_update_properly(world: World) -> None:
    world.program('a = Thing("a", slow=3)\nThing("b", size=a.serial)')
    stack = open_stack(world)
    running = Running(stack)
    wait_for_call(world)
    stack.interrupt()
    assert isinstance(running.end(), UpdateFailedError)
    assert (world.cloud / "cancelled").exists()
    assert "a" in world.resources()
    assert "b" not in world.resources()
    assert pending(world) == []
    assert world.locks() == []
    assert not stack.is_running()
    assert [change.urn.rpartition("::")[2] for change in stack.preview("next").changes if change.op == "create"] == [
        "b"
    ]


def test_a_second_interrupt_aborts_and_the_state_stays_readable(world: World) -> None:
    world.program(GOOD)
    stack = open_stack(world)
    points = Points(world, "create-a")
    running = Running(stack)
    assert points.wait()
    stack.interrupt()
    time.sleep(1)
    assert stack.is_running()
    stack.interrupt()
    assert isinstance(running.end(), UpdateFailedError)
    assert stack.rule_in_state("llm") is None
    assert pending(world) == [("creating", "a")]
    stack.up("again")
    assert "a" in world.resources()


def test_an_update_that_takes_too_long_is_interrupted(world: World) -> None:
    world.program('a = Thing("a", slow=6)\nThing("b", size=a.serial)')
    stack = open_stack(world, seconds=4)
    with pytest.raises(UpdateFailedError, match=r"took longer than rollout\.update_timeout_seconds \(4 s\)"):
        stack.up("slowly")
    deadline = time.monotonic() + LONGEST_SECONDS
    while stack.is_running():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert world.locks() == []


def test_running_operations_end_when_another_one_fails(world: World) -> None:
    world.program('Thing("slow", slow=3)\nThing("bad", slow=1, fail="create")')
    with pytest.raises(UpdateFailedError) as raised:
        open_stack(world).up("both")
    assert "the cloud refuses to create this" in str(raised.value)
    assert "slow" in world.resources()


# -- policies

PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

def too_big(args, report):
    if args.resource_type == "test:index:Thing" and args.props["size"] > 5:
        report(f"size {args.props['size']:g} is more than 5")

PolicyPack("sizes", [ResourceValidationPolicy("size-limit", "Things are small.", too_big, EnforcementLevel.LEVEL)])
"""


def write_pack(world: World, level: str) -> None:
    (world.project / "policies").symlink_to(world.pack(PACK.replace("LEVEL", level)))


def test_a_mandatory_policy_refuses_preview_and_update_by_name_and_nothing_changes(world: World) -> None:
    write_pack(world, "MANDATORY")
    world.program('Thing("a", size=9)')
    stack = open_stack(world)
    for command in (stack.preview, stack.up):
        with pytest.raises(PolicyRefusedError) as raised:
            command("grow")
        assert "policy refused: size-limit: " in str(raised.value)
        assert "size 9 is more than 5" in str(raised.value)
    assert world.calls() == []
    assert "a" not in world.resources()
    stack.up("grow", with_policies=False)
    assert world.calls() == [("create", "a")]


def test_an_advisory_policy_allows_the_update(world: World) -> None:
    write_pack(world, "ADVISORY")
    world.program('Thing("a", size=9)')
    stack = open_stack(world)
    assert stack.preview("grow").not_evaluated == ()
    stack.up("grow")
    assert "a" in world.resources()


def test_a_policy_that_cannot_run_yet_is_noted_in_the_preview_and_evaluates_the_update(world: World) -> None:
    write_pack(world, "MANDATORY")
    world.program('a = Thing("a", size=1)\nThing("b", size=a.serial.apply(lambda serial: serial * 9))')
    stack = open_stack(world)
    (note,) = stack.preview("grow").not_evaluated
    assert note.startswith("size-limit: can't run policy")
    with pytest.raises(PolicyRefusedError, match="size 9 is more than 5"):
        stack.up("grow")
    assert world.calls() == [("create", "a")]


# -- the program's stack

A, B = release(), release(model_revision="beef123")
LIVE: dict[str, Any] = {
    "rollout_serial": 7,
    "green_weight": 25,
    "blue": {"replicas": 3, "release": A},
    "green": {"replicas": 3, "release": B},
}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with two releases and a quarter of the requests on green."""
    made = Stack(World(tmp_path_factory.mktemp("dealings") / "world", secrets_provider="passphrase"), LIVE)
    with made.world.warmed(PROGRAM), made.world.around():
        made.up()
        yield made


@pytest.fixture
def live(deployed: Stack) -> Iterator[Stack]:
    """The same stack; tests must not change it."""
    with deployed.world.around():
        before = deployed.recorded()
        yield deployed
        deployed.configure()
        assert deployed.recorded() == before


def test_a_guard_refuses_preview_and_update_with_its_message_and_nothing_changes(live: Stack) -> None:
    live.configure(green_weight=90)
    stack = open_stack(live.world)
    for command in (stack.preview, stack.up):
        with pytest.raises(UpdateFailedError) as raised:
            command("leap")
        assert "guard refused: llm: the weight of green, the idle colour, may not go from 25 to 90" in str(raised.value)
        assert "before hook" not in str(raised.value)
        assert not isinstance(raised.value, PolicyRefusedError)
    assert live.world.calls() == []


OLD_CLI = """
import runpy
from pulumi.runtime import settings
from pulumi.runtime.proto import resource_pb2

settings.SETTINGS.monitor_features.remove(resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS)
runpy.run_path("program.py", run_name="__main__")
"""


def test_a_cli_without_resource_hooks_runs_nothing(live: Stack) -> None:
    program, kept = live.world.project / "__main__.py", live.world.project / "program.py"
    program.rename(kept)
    program.write_text(OLD_CLI, encoding="utf-8")
    try:
        live.configure(green_weight=90)
        with pytest.raises(UpdateFailedError, match="The Pulumi CLI does not support resource hooks"):
            open_stack(live.world).up("leap")
    finally:
        kept.rename(program)
    assert live.world.calls() == []


def test_the_rule_is_read_from_an_exported_and_imported_state(live: Stack) -> None:
    stack = open_stack(live.world)
    before = stack.rule_in_state("llm")
    kept = live.world.root / "state.json"
    live.world.pulumi("stack", "export", "--file", str(kept))
    live.world.pulumi("stack", "import", "--file", str(kept))
    assert stack.rule_in_state("llm") == before
    assert before is not None
    assert (before.urn, before.active_color, before.rollout_serial) == (live.urn("ListenerRule", "llm"), "blue", 7)
    assert sorted(before.weights.values()) == [25, 75]
    assert stack.rule_in_state("another") is None


def test_with_the_rule_as_target_nothing_else_is_updated(live: Stack) -> None:
    stack = open_stack(live.world)
    rule = live.urn("ListenerRule", "llm")
    others = {urn: recorded for urn, recorded in live.recorded().items() if urn != rule}
    live.configure(green_weight=50, green={"replicas": 4, "release": B}, cold_start_seconds=900)
    with live.world.put_back():
        assert len(stack.preview("both").changes) > 1
        stack.up("only the rule", targets=[rule])
        assert live.world.calls() == [("update", "llm")]
        assert {urn: recorded for urn, recorded in live.recorded().items() if urn != rule} == others
        changed = stack.rule_in_state("llm")
        assert changed is not None
        assert sorted(changed.weights.values()) == [50, 50]
    live.world.forget_calls()


def test_a_secret_is_decrypted(live: Stack) -> None:
    stack = open_stack(live.world)
    assert stack.secret("candidate_route_secret") == SECRET
    with pytest.raises(RefusedError, match="Set it with `pulumi config set --secret nothing <value>`"):
        stack.secret("nothing")


def test_a_wrong_passphrase_is_refused_with_the_variable_to_set(live: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "another")
    with pytest.raises(RefusedError, match="incorrect passphrase") as raised:
        open_stack(live.world).secret("candidate_route_secret")
    assert "PULUMI_CONFIG_PASSPHRASE" in str(raised.value)
    assert f"{PROJECT}:candidate_route_secret" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_stack_that_does_not_exist_is_named(live: Stack) -> None:
    with pytest.raises(RefusedError, match="stack 'nowhere' cannot be selected: ") as raised:
        open_stack(live.world, "nowhere")
    assert "\n" not in str(raised.value)


def test_a_cli_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "pulumi"
    script.write_text("#!/bin/sh\necho v2.25.0\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(RefusedError, match="the `pulumi` on PATH is too old: "):
        PulumiStack("dev", tmp_path, update_timeout_seconds=60, check=lambda: None)
