"""A resource is the same under every name that its type has, in the installed SDKs and in the pack."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from policies import resources
from policies.resources import NODE_POOL, OTHER_TOKENS, SCALED_OBJECT, TARGET_GROUP_BINDING, type_of
from tests.policies.all_cases import UNSAFE
from tests.policies.case import Unsafe
from tests.policies.judge import judge
from tests.policies.stacks import CONFIGS, Stack, stack

pytestmark = pytest.mark.slow

TYPES: Final = {
    value for value in vars(resources).values() if isinstance(value, str) and re.fullmatch(r"\w+:[\w./-]+:\w+", value)
}
"""The types that policies read."""

OF_EACH_KIND: Final = {(one.policy, frozenset(key.split()[0] for key in one.edits)): one for one in UNSAFE}.values()
"""One unsafe case for each policy and each set of types whose resources it changes."""

NO_SDK: Final = {TARGET_GROUP_BINDING, NODE_POOL, SCALED_OBJECT}
"""Custom resources, which no SDK knows."""


@dataclass(frozen=True, kw_only=True)
class Class:
    """A resource class of an SDK."""

    inputs: tuple[str, ...]
    aliases: frozenset[str]


@cache
def classes() -> Mapping[str, Class]:
    """Every resource class of the SDKs that policies read, by its type, read from the source."""
    return {token: one for package in ("pulumi_aws", "pulumi_kubernetes") for token, one in _classes(package)}


def _classes(package: str) -> Iterator[tuple[str, Class]]:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    for path in Path(spec.origin).parent.rglob("[a-zA-Z]*.py"):
        _, _, constructor = path.read_text(encoding="utf-8").partition("def _internal_init(")
        given, _, body = constructor.partition("__props__=None)")
        if token := re.search(r"super\(\w+, __self__\)\.__init__\(\s*'([^']+)'", body):
            aliases = re.findall(r'pulumi\.Alias\(type_="([^"]+)"', body[: token.end()])
            inputs = re.findall(r"^\s+(\w+): ", given, re.MULTILINE)
            yield token[1], Class(inputs=tuple(inputs), aliases=frozenset(aliases))


def names_of(type_: str) -> set[str]:
    """Every name of a type: by aliases, and of classes with the same name and inputs in the same SDK."""
    provider, name = type_.split(":")[0], type_.split(":")[-1]
    alike = {token for token, one in classes().items() if one.inputs == classes()[type_].inputs}
    found = {token for token in alike if token.startswith(f"{provider}:") and token.endswith(f":{name}")}
    while True:
        linked = {alias for token in found if token in classes() for alias in classes()[token].aliases}
        linked |= {token for token, one in classes().items() if one.aliases & found}
        if linked <= found:
            return found
        found |= linked


def test_the_sdks_are_read() -> None:
    assert len(TYPES) >= 17
    assert set(classes()) >= TYPES - NO_SDK
    assert len(classes()) > 2000


@pytest.mark.parametrize("type_", sorted(TYPES - NO_SDK))
def test_the_pack_knows_every_other_name_that_the_sdks_have_for_a_type(type_: str) -> None:
    assert {other for other, same in OTHER_TOKENS.items() if same == type_} == names_of(type_) - {type_}


def test_a_type_that_policies_read_has_no_other_name_and_all_other_names_lead_to_one() -> None:
    assert not TYPES & OTHER_TOKENS.keys()
    assert set(OTHER_TOKENS.values()) <= TYPES
    assert [type_of(one) for one in sorted(TYPES)] == sorted(TYPES)
    assert type_of("aws:s3/bucket:Bucket") == "aws:s3/bucket:Bucket"


_NAMES: Final = {type_: [other for other, same in OTHER_TOKENS.items() if same == type_] for type_ in sorted(TYPES)}
NAMINGS: Final[list[Mapping[str, str]]] = [
    {type_: others[number % len(others)] for type_, others in _NAMES.items() if others}
    for number in range(max(map(len, _NAMES.values())))
]
"""Another name for each type that has one; together, all other names."""


def renamed(stack: Stack, naming: Mapping[str, str]) -> Stack:
    return {key: replace(one, type=naming.get(one.type, one.type)) for key, one in stack.items()}


def test_every_other_name_is_tried() -> None:
    assert {other for naming in NAMINGS for other in naming.values()} == set(OTHER_TOKENS)


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_safe_stack_is_safe_under_other_names(name: str, naming: Mapping[str, str]) -> None:
    assert judge(renamed(stack(name), naming)) == []


@pytest.mark.parametrize("case", OF_EACH_KIND, ids=lambda case: f"{case.policy}: {case.why}"[:90])
def test_an_unsafe_state_is_refused_under_other_names_too(case: Unsafe) -> None:
    found = judge(renamed(case.stack(), NAMINGS[0]), case.config)
    assert {violation.policy for violation in found} == {case.policy, *case.also}
    assert any(case.says in (violation.message or "") for violation in found if violation.policy == case.policy)
