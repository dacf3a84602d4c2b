"""Every unsafe state is refused by the policy that is meant to, and every safe one by none."""

from collections import Counter

import pytest

from policies.catalogue import POLICIES
from tests.policies.all_cases import SAFE, UNSAFE
from tests.policies.case import Safe, Unsafe
from tests.policies.judge import judge
from tests.policies.stacks import CONFIGS, stack


@pytest.mark.parametrize("case", UNSAFE, ids=lambda case: f"{case.policy}: {case.why}"[:90])
def test_an_unsafe_state_is_refused_by_its_policy_alone(case: Unsafe) -> None:
    found = judge(case.stack(), case.config)
    assert {violation.policy for violation in found} == {case.policy, *case.also}
    messages = [one.message for one in found if one.policy == case.policy and one.message is not None]
    assert any(case.says in message for message in messages), messages
    assert all("\n" not in message and len(message) <= 400 for message in messages)


@pytest.mark.parametrize("case", SAFE, ids=lambda case: case.why[:90])
def test_a_safe_state_is_refused_by_no_policy(case: Safe) -> None:
    assert judge(case.stack(), case.config) == []


@pytest.mark.parametrize("name", CONFIGS)
def test_whatever_the_program_declares_is_safe(name: str) -> None:
    assert judge(stack(name)) == []


def test_every_policy_is_hit_twice() -> None:
    hits = Counter(case.policy for case in UNSAFE)
    assert {policy.name: hits[policy.name] for policy in POLICIES if hits[policy.name] < 2} == {}
