"""What every policy does, whatever its rule is."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pytest
from pydantic import Field

from policies.policy import Finding, Options, ResourcePolicy, ServicePolicy, resource_policy, service_policy
from policies.resources import LISTENER_RULE, Resource
from policies.service import Service
from tests.policies.judge import judge
from tests.policies.stacks import stack


class Limits(Options):
    """One option of its own."""

    most_rules: Annotated[int, Field(ge=0, description="How many there may be.")] = 1


@resource_policy("rules-none", LISTENER_RULE, description="There must be none.", fix="Remove it.", options=Limits)
def rules_none(rule: Resource, limits: Limits) -> Iterator[str]:
    """None is best."""
    yield f"{rule.name} of {limits.most_rules}"


@service_policy("rules-few", description="There must be few.", fix="Remove some.", options=Limits)
def rules_few(service: Service, limits: Limits) -> Iterator[Finding]:
    """Few are best."""
    rules = list(service.of(LISTENER_RULE))
    if len(rules) > limits.most_rules:
        yield Finding(message=f"{len(rules)} of {limits.most_rules}", resource=rules[0])


def said(policy: ResourcePolicy | ServicePolicy, config: Mapping[str, Any]) -> set[str | None]:
    return {found.message for found in judge(stack("ramp"), {policy.name: config}, (policy,))}


def test_options_reach_the_rule() -> None:
    assert said(rules_few, {}) == {"3 of 1"}
    assert said(rules_few, {"most_rules": 2.0}) == {"3 of 2"}
    assert said(rules_few, {"most_rules": 3}) == set()


def test_exempt_passes_over_a_resource_or_a_whole_service() -> None:
    assert said(rules_none, {}) == {"chat of 1", "chat-blue-candidate of 1", "chat-green-candidate of 1"}
    assert said(rules_none, {"exempt": ["chat-blue-candidate"]}) == {"chat of 1", "chat-green-candidate of 1"}
    assert said(rules_none, {"exempt": ["chat"]}) == set()
    assert said(rules_few, {"exempt": ["chat"]}) == set()


@pytest.mark.parametrize("policy", [rules_none, rules_few])
def test_an_option_that_there_is_not_is_refused(policy: ResourcePolicy | ServicePolicy) -> None:
    found = said(policy, {"most_rule": 3, "most_rules": 0})
    refusal = "config of the policy: most_rule is not an option; the options are exempt, most_rules. "
    assert f"{refusal}Correct it in the policy pack's config." in found
    assert any(message and message.endswith(" of 1") for message in found), "the defaults apply"


def test_a_wrong_option_is_refused() -> None:
    message = "config of the policy: most_rules is -1: Input should be greater than or equal to 0. "
    assert said(rules_few, {"most_rules": -1}) == {f"{message}Correct it in the policy pack's config.", "3 of 1"}
