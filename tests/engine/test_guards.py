"""Resource hooks and policy packs: what refuses a change before it is made."""

import json
import textwrap
from typing import Any

import pulumi.automation as auto
import pytest

from tests.engine.conftest import World

HOOKED = """
def guard(args):
    old, new = args.old_inputs["size"], args.new_inputs["size"]
    if new > old + 1:
        raise ValueError(f"{args.name}: size may not jump from {old} to {new}")

hook = pulumi.ResourceHook("guard", guard, pulumi.ResourceHookOptions(on_dry_run=True))
Thing("a", size=1, opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(before_update=[hook])))
"""


def test_a_hook_refuses_in_preview_and_in_update(world: World) -> None:
    world.program(HOOKED)
    stack = world.open()
    stack.up()
    world.program(HOOKED.replace("size=1", "size=2"))
    assert world.preview() == {"update": 1}
    assert world.up() == {"update": 1}
    world.program(HOOKED.replace("size=1", "size=9"))
    with pytest.raises(auto.CommandError, match=r"size may not jump from 2(.0)? to 9"):
        stack.preview()
    world.forget_calls()
    with pytest.raises(auto.CommandError, match=r"size may not jump from 2(.0)? to 9"):
        stack.up()
    assert world.calls() == []
    assert world.resources()["a"]["inputs"]["size"] == 2


def test_hooks_run_around_their_operations_and_not_in_preview_unless_asked(world: World) -> None:
    world.program(
        """
        from pathlib import Path
        def note(kind):
            def hook(args):
                with Path("notes").open("a") as file:
                    file.write(f"{kind} {args.name} {bool(args.id)} {args.new_outputs is not None}\\n")
            return pulumi.ResourceHook(kind, hook)
        Thing("a", size=1, opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(
            before_create=[note("before")], after_create=[note("after")])))
        """
    )
    stack = world.open()
    stack.preview()
    assert not (world.project / "notes").exists()
    stack.up()
    notes = (world.project / "notes").read_text(encoding="utf-8").splitlines()
    assert notes == ["before a False False", "after a True True"]


def test_a_failing_after_hook_fails_the_update_but_keeps_the_resource(world: World) -> None:
    world.program(
        """
        def fail(args):
            raise RuntimeError("the aftermath is bad")
        hook = pulumi.ResourceHook("fail", fail)
        Thing("a", size=1, opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(after_create=[hook])))
        """
    )
    with pytest.raises(auto.CommandError, match="the aftermath is bad"):
        world.open().up()
    assert "a" in world.resources()


def test_a_delete_hook_runs_when_the_program_drops_the_resource(world: World) -> None:
    program = """
    def refuse(args):
        raise RuntimeError("still needed")
    hook = pulumi.ResourceHook("refuse", refuse)
    Thing("a", size=1, opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(before_delete=[hook])))
    """
    world.program(program)
    stack = world.open()
    stack.up()
    world.program(
        """
        async def refuse(args):
            raise RuntimeError("still needed")
        pulumi.ResourceHook("refuse", refuse)
        """
    )
    with pytest.raises(auto.CommandError, match="still needed"):
        stack.up()
    assert "a" in world.resources()


PACK = """
from pulumi_policy import (
    EnforcementLevel, PolicyConfigSchema, PolicyPack, ResourceValidationPolicy, StackValidationPolicy,
)

def small(args, report):
    if args.resource_type == "test:index:Thing" and args.props["size"] > args.get_config()["limit"]:
        report(f"The thing must not be larger than {int(args.get_config()['limit'])}.")

def few(args, report):
    things = [each for each in args.resources if each.resource_type == "test:index:Thing"]
    if len(things) > 2:
        report("There must be no more than two things.")

PolicyPack(
    name="things",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        ResourceValidationPolicy("small-things", "Things must be small.", small,
            config_schema=PolicyConfigSchema(properties={"limit": {"type": "integer", "default": 5}})),
        StackValidationPolicy("few-things", "Things must be few.", few),
    ],
)
"""


def write_pack(world: World) -> str:
    """A pack with one policy for resources and one for the stack."""
    folder = world.root / "pack"
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 1.2.3\n", encoding="utf-8")
    (folder / "__main__.py").write_text(textwrap.dedent(PACK), encoding="utf-8")
    return str(folder)


def policy_config(world: World, **policies: object) -> str:
    """A config file for the pack."""
    path = world.root / "policy-config.json"
    path.write_text(json.dumps({"small-things": {"limit": 5}, **policies}), encoding="utf-8")
    return str(path)


def test_a_mandatory_violation_fails_preview_and_update(world: World) -> None:
    world.program('Thing("a", size=9)')
    stack, pack = world.open(), write_pack(world)
    events: list[auto.EngineEvent] = []
    options: dict[str, Any] = {"policy_packs": [pack], "policy_pack_configs": [policy_config(world)]}
    with pytest.raises(auto.CommandError, match="The thing must not be larger than 5"):
        stack.preview(on_event=events.append, **options)
    found = [event.policy_event for event in events if event.policy_event]
    assert [(each.policy_name, each.enforcement_level) for each in found] == [("small-things", "mandatory")]
    assert found[0].resource_urn is not None
    assert found[0].resource_urn.endswith("::a")
    with pytest.raises(auto.CommandError, match="The thing must not be larger than 5"):
        stack.up(**options)
    assert world.calls() == []


def test_an_advisory_violation_is_reported_and_lets_the_update_pass(world: World) -> None:
    world.program('Thing("a", size=9)')
    stack, pack = world.open(), write_pack(world)
    config = policy_config(world, **{"small-things": {"enforcementLevel": "advisory", "limit": 5}})
    result = stack.up(policy_packs=[pack], policy_pack_configs=[config])
    assert "The thing must not be larger than 5" in result.stdout
    assert "a" in world.resources()


def test_a_stack_policy_sees_what_stays(world: World) -> None:
    world.program('for name in "abc":\n    Thing(name, size=1)')
    stack, pack = world.open(), write_pack(world)
    options: dict[str, Any] = {"policy_packs": [pack], "policy_pack_configs": [policy_config(world)]}
    with pytest.raises(auto.CommandError, match="no more than two things"):
        stack.preview(**options)
    world.program('for name in "ab":\n    Thing(name, size=1)')
    stack.up(**options)


def test_a_policy_that_meets_an_unknown_value_says_that_it_did_not_run(world: World) -> None:
    world.program('a = Thing("a", size=1)\nThing("b", size=a.serial)')
    stack, pack = world.open(), write_pack(world)
    events: list[auto.EngineEvent] = []
    stack.preview(policy_packs=[pack], policy_pack_configs=[policy_config(world)], on_event=events.append)
    messages = [event.policy_event.message for event in events if event.policy_event]
    assert any("can't run policy 'small-things'" in message and "preview" in message for message in messages)
