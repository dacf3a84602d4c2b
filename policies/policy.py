"""Decorators that make a function a policy, which checks one resource before its change, or a whole service.

The functions yield what is wrong, so they can be read and tested without an engine. Their options are pydantic models.
The models are the typed schema of the config with which platform teams set policies (`--policy-pack-config`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import getdoc
from typing import Annotated, Any, TypeVar

from pulumi_policy import (
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.config.reading.secret_values import secret_kind
from policies.resources import Resource, type_of
from policies.service import Service, services_of

GUIDE = "docs/policies.md"


class Options(BaseModel):
    """The options of every policy."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=None)

    exempt: Annotated[tuple[str, ...], Field(description="Names of resources or services that the policy skips.")] = ()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is wrong in a service, and with which resource; the resource is None when one is missing."""

    message: str
    resource: Resource | None = None


@dataclass(frozen=True, kw_only=True)
class About:
    """The description of a policy for people."""

    name: str
    description: str
    """The rule, as one sentence."""
    why: str
    """What happens when the rule is violated: the function's docstring."""
    fix: str
    severity: Severity
    options: type[Options]
    types: tuple[str, ...] = ()
    """The resource types that it checks; empty for a policy on services."""


class ResourcePolicy(ResourceValidationPolicy):
    """A policy that checks one resource's inputs before the resource changes."""

    def __init__(self, validate: Callable[[ResourceValidationArgs, ReportViolation], None], about: About) -> None:
        super().__init__(validate=validate, **_described(about))
        self.about = about


class ServicePolicy(StackValidationPolicy):
    """A policy that checks how the resources of a service fit together."""

    def __init__(self, validate: Callable[[StackValidationArgs, ReportViolation], None], about: About) -> None:
        super().__init__(validate=validate, **_described(about))
        self.about = about


AnyOptions = TypeVar("AnyOptions", bound=Options)
ResourceFunction = Callable[[Resource, AnyOptions], Iterator[str]]
ServiceFunction = Callable[[Service, AnyOptions], Iterator[Finding]]


def resource_policy(
    name: str,
    *types: str,
    description: str,
    fix: str,
    severity: Severity = Severity.HIGH,
    options: type[AnyOptions] = Options,
) -> Callable[[ResourceFunction[AnyOptions]], ResourcePolicy]:
    """Make a policy of a function that checks one resource's inputs before the resource changes.

    Args:
        name: the policy's name in config and messages.
        types: the resource types that it checks.
        description: the rule, as one sentence.
        fix: what to do about a violation.
        severity: how bad a violation is.
        options: the model of the policy's options.
    """

    def decorate(function: ResourceFunction[AnyOptions]) -> ResourcePolicy:
        def validate(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
            if type_of(args.resource_type) not in types:
                return
            chosen = _chosen(options, args.get_config(), report_violation)
            resource = resource_of(args)
            if {resource.name, resource.service} & set(chosen.exempt):
                return
            for message in function(resource, chosen):
                report_violation(message, None)

        about = About(
            name=name,
            description=description,
            why=getdoc(function) or "",
            fix=fix,
            severity=severity,
            options=options,
            types=types,
        )
        return ResourcePolicy(validate, about)

    return decorate


def service_policy(
    name: str,
    *,
    description: str,
    fix: str,
    severity: Severity = Severity.HIGH,
    options: type[AnyOptions] = Options,
) -> Callable[[ServiceFunction[AnyOptions]], ServicePolicy]:
    """Make a policy of a function that checks how the resources of one service fit together.

    The engine calls it after all resources. In a preview, this prevents the change; in an update, it is too late for
    that.
    """

    def decorate(function: ServiceFunction[AnyOptions]) -> ServicePolicy:
        def validate(args: StackValidationArgs, report_violation: ReportViolation) -> None:
            chosen = _chosen(options, args.get_config(), report_violation)
            unknown: list[UnknownValueError] = []
            for service in services_of([resource_of(resource) for resource in args.resources]):
                if service.name in chosen.exempt:
                    continue
                try:
                    for finding in function(service, chosen):
                        report_violation(finding.message, finding.resource and finding.resource.urn)
                except UnknownValueError as error:
                    # A service with unknown values must not stop the checks of the others.
                    unknown.append(error)
            if unknown:
                raise unknown[0]

        about = About(
            name=name,
            description=description,
            why=getdoc(function) or "",
            fix=fix,
            severity=severity,
            options=options,
        )
        return ServicePolicy(validate, about)

    return decorate


def wrong(resource: Resource, field: str, value: Any, must: str, fix: str) -> str:
    """Return what is wrong in one line: the resource, the field, its value, the limit and the fix."""
    return f"{resource.name}: {field} is {shown(value)}, but must be {must}. {fix}"


def shown(value: Any) -> str:
    """Return a value for a message: shortened to 80 characters, and never a secret."""
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(shown(item) for item in value) or "empty"
    text = str(value)
    if kind := secret_kind(text):
        return f"({kind})"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


_MOST_SHOWN = 80


def _chosen(options: type[AnyOptions], config: Mapping[str, Any], report_violation: ReportViolation) -> AnyOptions:
    """Return the options. Report invalid options, and return the defaults instead."""
    try:
        return options.model_validate(dict(config))
    except ValidationError as error:
        # The engine checks options by the schema, but accepts options that are not in it.
        known = f"is not an option; the options are {', '.join(options.model_fields)}"
        for one in error.errors():
            name = ".".join(str(part) for part in one["loc"]) or "it"
            what = known if one["type"] == "extra_forbidden" else f"is {shown(one['input'])}: {one['msg']}"
            report_violation(f"config of the policy: {name} {what}. Correct it in the policy pack's config.", None)
        return options()


def resource_of(shown_as: ResourceValidationArgs | PolicyResource) -> Resource:
    """Return a resource as the pack's functions know it."""
    return Resource(
        type=type_of(shown_as.resource_type),
        name=shown_as.name,
        urn=shown_as.urn,
        props=shown_as.props,
        protect=shown_as.opts.protect,
        ignore_changes=tuple(shown_as.opts.ignore_changes),
    )


@cache
def _option_schemas(options: type[Options]) -> dict[str, Any]:
    schema = options.model_json_schema()["properties"]
    return {key: {part: value for part, value in parts.items() if part != "title"} for key, parts in schema.items()}


def _described(about: About) -> dict[str, Any]:
    return {
        "name": about.name,
        "description": about.description,
        "severity": about.severity,
        "config_schema": PolicyConfigSchema(_option_schemas(about.options)),
        "remediation_steps": f"{about.fix} See {GUIDE}#{about.name}.",
        "url": f"{GUIDE}#{about.name}",
    }
