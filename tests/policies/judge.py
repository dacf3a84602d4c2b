"""Runs the pack's policies on a stack, as an engine would: each resource first, then the stack as a whole."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Self
from unittest.mock import patch

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

from policies import policy as policy_module
from policies.catalogue import POLICIES
from policies.resources import Resource
from policies.service import Service, services_of
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
    # Policies only read, so they can share what they are shown, and what they find the services of the stack to be.
    shown = [_shown(resource) for resource in stack.values()]
    known = {one.urn: one.resource for one in shown}

    @cache
    def services() -> list[Service]:
        return services_of(known.values())

    def resource_of(view: ResourceValidationArgs | PolicyResource) -> Resource:
        return known[view.urn]

    def services_among(resources: Sequence[Resource]) -> list[Service]:
        assert len(resources) == len(known)
        return services()

    with (
        patch.object(policy_module, "resource_of", resource_of),
        patch.object(policy_module, "services_of", services_among),
    ):
        return judge_shown(shown, config, policies)


def judge_shown(
    shown: Sequence["Shown"], config: Config | None = None, policies: tuple[Policy, ...] = POLICIES
) -> list[Violation]:
    """Return the same of resources that are ready to be shown."""
    names = {one.urn: one.key for one in shown}
    options = config or {}
    return [one for policy in policies for one in _judged(policy, shown, names, options.get(policy.name))]


@dataclass(frozen=True)
class Shown:
    """A resource as policies are shown it: by itself, and in its stack."""

    key: str
    urn: str
    inputs: ResourceValidationArgs
    whole: PolicyResource
    resource: Resource

    @classmethod
    def of(cls, resource: Declared) -> Self:
        props = unknown_checking_proxy(resource.props)
        times = PolicyCustomTimeouts(0, 0, 0)
        options = PolicyResourceOptions(resource.protect, list(resource.ignore_changes), None, [], times, [])
        inputs = ResourceValidationArgs(resource.type, props, resource.urn, resource.name, options, None, None)
        whole = PolicyResource(resource.type, props, resource.urn, resource.name, options, None, None, [], {})
        return cls(resource.key, resource.urn, inputs, whole, policy_module.resource_of(whole))

    def with_config(self, config: Mapping[str, Any] | None) -> ResourceValidationArgs:
        if config is None:
            return self.inputs
        one = self.inputs
        return ResourceValidationArgs(one.resource_type, one.props, one.urn, one.name, one.opts, None, config)


_READY: Final[dict[int, tuple[Declared, Shown]]] = {}


def _shown(resource: Declared) -> Shown:
    """Make a resource ready once: most cases differ from a stack that all share in a resource or two."""
    # The resource is kept too, so that no other one gets its id.
    if id(resource) not in _READY:
        _READY[id(resource)] = resource, Shown.of(resource)
    return _READY[id(resource)][1]


def _judged(
    policy: Policy, shown: Sequence[Shown], names: Mapping[str, str], config: Mapping[str, Any] | None
) -> Iterator[Violation]:
    found: list[Violation] = []

    def report(message: str, urn: str | None = None) -> None:
        found.append(Violation(policy=policy.name, message=message, resource=names.get(urn or "")))

    if isinstance(policy, StackValidationPolicy):
        try:
            policy.validate(StackValidationArgs([one.whole for one in shown], config), report)
        except UnknownValueError:
            found.append(Violation(policy=policy.name, message=None))
    elif isinstance(policy, ResourceValidationPolicy):
        for resource in shown:
            before = len(found)
            try:
                policy.validate(resource.with_config(config), report)
            except UnknownValueError:
                found.append(Violation(policy=policy.name, message=None, resource=resource.key))
            found[before:] = [
                Violation(policy=one.policy, message=one.message, resource=resource.key) for one in found[before:]
            ]
    yield from found
