"""Scenarios: policy packs judge resources and the stack."""

import json
import textwrap

from tests.engine.parity.driver import Driver, Outcome
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

TYPED_PACK = """
import json

from pulumi_policy import EnforcementLevel, PolicyConfigSchema, PolicyPack, ResourceValidationPolicy

def tell(args, report):
    if args.resource_type == "test:index:Thing":
        report(json.dumps(dict(args.get_config()), sort_keys=True))

def option(**schema):
    return {"title": "Option", "description": "What is tested.", **schema}

def policy(name, level, required=None, **options):
    schema = PolicyConfigSchema(properties=options, required=required)
    return ResourceValidationPolicy(name, "Options must be told.", tell, level, schema)

PolicyPack(
    name="typed",
    enforcement_level=EnforcementLevel.ADVISORY,
    initial_config={"tells": {"text": "initial"}, "muted": EnforcementLevel.DISABLED},
    policies=[
        policy("tells", None,
            whole=option(type="integer", minimum=1, maximum=10, default=5),
            share=option(type="number", exclusiveMinimum=0, exclusiveMaximum=1.5, default=0.25),
            text=option(type="string", minLength=2, maxLength=8, default="text"),
            mode=option(enum=["fast", "slow"], type="string"),
            fixed=option(const="yes", default="yes"),
            names=option(type="array", items={"type": "string", "maxLength": 3}, minItems=1, maxItems=2,
                uniqueItems=True, default=["a"]),
            maybe=option(anyOf=[{"type": "integer", "minimum": 0}, {"type": "null"}], default=None),
            on=option(type="boolean", default=False)),
        policy("demands", EnforcementLevel.DISABLED, ["owner"], owner=option(type="string", default="nobody")),
        policy("muted", None, any=option(type=["string", "integer"], default=1)),
    ],
)
"""


def _pack(stack: Driver, **policies: object) -> list[str]:
    """Flags for a pack with one policy for resources and one for the stack."""
    return _flags(stack, PACK, json.dumps({"small-things": {"limit": 5}, **policies}))


def _typed_pack(stack: Driver, **policies: object) -> list[str]:
    """Flags for a pack whose policies tell their options."""
    return _flags(stack, TYPED_PACK, json.dumps(policies))


def _flags(stack: Driver, pack: str, config: str) -> list[str]:
    folder = stack.world.root / "pack"
    folder.mkdir(exist_ok=True)
    (folder / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 1.2.3\n", encoding="utf-8")
    (folder / "__main__.py").write_text(textwrap.dedent(pack), encoding="utf-8")
    (folder / "config.json").write_text(config, encoding="utf-8")
    return ["--policy-pack", "../pack", "--policy-pack-config", "../pack/config.json"]


def _told(outcome: Outcome) -> dict[str, dict[str, object]]:
    """The options that policies were given, by policy."""
    return {each["policyName"]: json.loads(each["message"].splitlines()[1]) for each in outcome.of("policyEvent")}


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


@scenario
def options_have_the_defaults_of_their_schema(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    defaults = {
        "whole": 5,
        "share": 0.25,
        "text": "initial",
        "fixed": "yes",
        "names": ["a"],
        "maybe": None,
        "on": False,
    }
    pack = _typed_pack(stack)
    assert _told(stack.preview(*pack[:2])) == {"tells": defaults}
    assert _told(stack.preview(*pack)) == {"tells": defaults}
    chosen = {"whole": 10.0, "text": "eight ch", "names": ["abc", "b"], "maybe": 0, "mode": "slow"}
    assert _told(stack.up(*_typed_pack(stack, tells=chosen))) == {"tells": {**defaults, **chosen}}


@scenario
def a_level_for_all_is_overridden_for_one(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    outcome = stack.preview(*_typed_pack(stack, all="advisory", tells="disabled", demands={"owner": "me"}))
    assert _told(outcome) == {"demands": {"owner": "me"}, "muted": {"any": 1}}
    stack.preview(*_typed_pack(stack, all={"enforcementLevel": "mandatory"}, tells="advisory"), fails="nobody")


@scenario
def options_that_break_their_schema_are_refused(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    broken = {
        "whole": 11,
        "share": 1.5,
        "text": "more than eight",
        "mode": "medium",
        "fixed": 1,
        "names": ["abcd", 5, 5],
        "maybe": -1,
        "on": 1,
    }
    pack = _typed_pack(stack, tells=broken, demands={"owner": None}, muted={"any": [1]})
    stack.preview(*pack, fails="tells: whole: Must be less than or equal to 10")
    stack.preview(*pack, fails="demands: owner: Invalid type. Expected: string, given: null")
    stack.up(*pack, fails="validating policy config")
    others = {"whole": 0, "share": 0, "text": "x", "fixed": {}, "names": [], "maybe": "5", "on": "true"}
    stack.preview(*_typed_pack(stack, tells=others), fails="tells: names: Array must have at least 1 items")
    stack.preview(*_typed_pack(stack, tells={"whole": 1.5, "share": "1"}), fails="integer, given: number")
    assert stack.in_cloud() == set()


@scenario
def a_required_option_is_missing(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    flags = _flags(stack, TYPED_PACK.replace(', default="nobody"', ""), "{}")
    stack.preview(*flags, fails="demands: owner is required")


@scenario
def a_policy_that_the_pack_has_not_is_passed_over_if_it_has_a_level(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    assert len(_told(stack.preview(*_typed_pack(stack, tels="mandatory")))) == 1
    stack.preview(*_typed_pack(stack, tels={"whole": 1}), fails='"typed" at "../pack": invalid enforcement level ""')


@scenario
def a_config_file_that_is_none_is_refused(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    stack.preview(*_flags(stack, TYPED_PACK, " "))
    for text, why in {
        '{"tells": "strict"}': 'parsing enforcement level for "tells": "strict" is not a valid enforcement level',
        '{"tells": {"enforcementLevel": true}}': "true is not a valid enforcement level; must be a string",
        '{"tells": null}': 'parsing "tells": <nil> is not a valid value; must be a string or object',
        '{"environments": ["a"]}': 'policy pack at "../pack" specifies ESC environments but the current backend',
        "[]": "",
        "{": "",
    }.items():
        stack.preview(*_flags(stack, TYPED_PACK, text), fails=why or "error: ")
    stack.preview("--policy-pack", "../pack", "--policy-pack-config", "../nowhere.json", fails="nowhere.json")


@scenario
def a_stack_policy_that_fails_fails_the_preview(stack: Driver) -> None:
    stack.program('Thing("a", size=1)')
    broken = PACK.replace("def few(args, report):", "def few(args, report):\n    raise ValueError('nobody knows')")
    stack.preview(*_flags(stack, broken, "{}"), fails="Exception calling application: nobody knows")
