"""Runs the pack's policies on a stack, as an engine would: each resource first, then the stack as a whole."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pulumi_policy import (
    Policy,
    PolicyCustomTimeouts,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError, unknown_checking_proxy

from policies.catalogue import POLICIES
from tests.policies.stacks import Declared, Stack

Config = Mapping[str, Mapping[str, Any]]
"""Options by policy."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One thing that a policy refuses; ``message`` is none where it could not be evaluated."""

    policy: str
    message: str | None
    resource: str | None = None


def judge(stack: Stack, config: Config | None = None, policies: tuple[Policy, ...] = POLICIES) -> list[Violation]:
    """Return every violation, and every policy that could not be evaluated."""
    return [violation for policy in policies for violation in _judged(policy, stack, (config or {}).get(policy.name))]


def _judged(policy: Policy, stack: Stack, config: Mapping[str, Any] | None) -> Iterator[Violation]:
    found: list[Violation] = []
    names = {resource.urn: resource.key for resource in stack.values()}

    def report(message: str, urn: str | None = None) -> None:
        found.append(Violation(policy=policy.name, message=message, resource=names.get(urn or "")))

    if isinstance(policy, StackValidationPolicy):
        try:
            policy.validate(StackValidationArgs([_whole(one) for one in stack.values()], config), report)
        except UnknownValueError:
            found.append(Violation(policy=policy.name, message=None))
    elif isinstance(policy, ResourceValidationPolicy):
        for resource in stack.values():
            before = len(found)
            try:
                policy.validate(_inputs(resource, config), report)
            except UnknownValueError:
                found.append(Violation(policy=policy.name, message=None, resource=resource.key))
            found[before:] = [
                Violation(policy=one.policy, message=one.message, resource=resource.key) for one in found[before:]
            ]
    yield from found


def _inputs(resource: Declared, config: Mapping[str, Any] | None) -> ResourceValidationArgs:
    return ResourceValidationArgs(
        resource.type, unknown_checking_proxy(resource.props), resource.urn, resource.name, _options(resource), None,
        config,
    )  # fmt: skip


def _whole(resource: Declared) -> PolicyResource:
    props = unknown_checking_proxy(resource.props)
    return PolicyResource(
        resource.type, props, resource.urn, resource.name, _options(resource), None, None, [], {}
    )  # fmt: skip


def _options(resource: Declared) -> PolicyResourceOptions:
    return PolicyResourceOptions(
        resource.protect, list(resource.ignore_changes), None, [], PolicyCustomTimeouts(0, 0, 0), []
    )
