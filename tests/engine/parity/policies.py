"""Scenarios: policy packs judge resources and the stack."""

import json
import textwrap

from tests.engine.parity.driver import Driver
from tests.engine.parity.registry import scenario

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
        report("There must be no more than two things.", min(each.urn for each in things))

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


def _pack(stack: Driver, **policies: object) -> list[str]:
    """Flags for a pack with one policy for resources and one for the stack."""
    folder = stack.world.root / "pack"
    folder.mkdir(exist_ok=True)
    (folder / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 1.2.3\n", encoding="utf-8")
    (folder / "__main__.py").write_text(textwrap.dedent(PACK), encoding="utf-8")
    config = folder / "config.json"
    config.write_text(json.dumps({"small-things": {"limit": 5}, **policies}), encoding="utf-8")
    return ["--policy-pack", "../pack", "--policy-pack-config", "../pack/config.json"]


@scenario
def a_mandatory_violation_fails_preview_and_update(stack: Driver) -> None:
    stack.program('a = Thing("a", size=9)\nThing("b", size=a.size)')
    pack = _pack(stack)
    outcome = stack.preview(*pack, fails="The thing must not be larger than 5")
    assert {each["policyName"] for each in outcome.of("policyEvent")} == {"small-things"}
    stack.up(*pack, fails="The thing must not be larger than 5")
    assert stack.in_cloud() == set()


@scenario
def an_advisory_violation_is_reported_and_lets_the_update_pass(stack: Driver) -> None:
    stack.program('Thing("a", size=9)')
    pack = _pack(stack, **{"small-things": {"enforcementLevel": "advisory", "limit": 5}})
    outcome = stack.up(*pack)
    assert [each["enforcementLevel"] for each in outcome.of("policyEvent")] == ["advisory"]
    assert stack.in_cloud() == {"a-1"}


@scenario
def a_disabled_policy_says_nothing(stack: Driver) -> None:
    stack.program('Thing("a", size=9)')
    outcome = stack.up(*_pack(stack, **{"small-things": "disabled"}))
    assert outcome.of("policyEvent") == []


@scenario
def a_stack_policy_sees_what_stays(stack: Driver) -> None:
    stack.program('for name in "abc":\n    Thing(name, size=1)')
    pack = _pack(stack)
    stack.preview(*pack, fails="no more than two things")
    stack.program('for name in "ab":\n    Thing(name, size=1)')
    assert stack.up(*pack).changes == {"create": 3}


@scenario
def a_policy_meets_an_unknown_value(stack: Driver) -> None:
    stack.program('a = Thing("a", size=1)\nThing("b", size=a.serial)')
    outcome = stack.preview(*_pack(stack))
    assert any("can't run policy 'small-things'" in each["message"] for each in outcome.of("policyEvent"))
