"""Read a component's inputs into settings, with the same checks as for stack config; ids may be outputs."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Final, cast, get_origin

import pulumi
from pulumi.provider.experimental.util import camel_case
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from components.config.reading import route_secret
from components.config.reading.explain import explain
from components.config.reading.forms import Form
from components.config.reading.violations import Path, Violation, text_violations
from components.config.service_settings import ServiceSettings
from components.config.settings import Settings, object_values
from package.inputs import SERVICE_FIELDS, SETTINGS, STACK_FIELDS, identifier


def _stand_in(field: FieldInfo, form: Form) -> Any:
    """Return an example id, or a list of two: a load balancer needs subnets in two zones."""
    return [form.example[:-1] + end for end in "12"] if get_origin(field.annotation) is tuple else form.example


# Stand in for unknown ids during the check.
_STAND_INS: Final[Mapping[str, Any]] = {
    name: _stand_in(field, form)
    for name, field in {**STACK_FIELDS, **SERVICE_FIELDS}.items()
    if (form := identifier(field))
}
# Keys under these are names that the user chose.
_FREE_KEYS: Final = ("env", "prompts", "sampling", "lora_adapters", "node_selector")


class InputsError(pulumi.RunError):
    """The inputs are invalid; the message lists every violation with input, value and fix."""


def settings_of(name: str, inputs: Mapping[str, Any]) -> Settings:
    """Return the settings of the service ``name``. Other resources' outputs stay outputs, checked once they are known.

    Raises:
        InputsError: one message that lists every violation.
    """
    own = declared_settings(inputs)
    later = {key: value for key, value in own.items() if key in _STAND_INS and _has_outputs(value)}
    known = {**own, **{key: _STAND_INS[key] for key in later}}
    violations = [_must_be_plain(key) for key, value in known.items() if _has_outputs(value)]
    written, more = _written_settings(inputs, known)
    violations += more
    if isinstance(secret := inputs.get(route_secret.KEY), str) and (violation := route_secret.value_violation(secret)):
        violations.append(Violation(violation.path, violation.what))
    settings = _checked(name, known, written, violations)
    updates = {
        key: pulumi.Output.from_input(value).apply(_check(name, key, known, written)) for key, value in later.items()
    }
    # The models declare texts, but every place that uses these values also accepts outputs.
    return settings.model_copy(update=updates)


def declared_settings(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are inputs of their own, without those of the program's config."""
    return {key: _plain(value) for key, value in inputs.items() if key not in (route_secret.KEY, SETTINGS)}


def _written_settings(inputs: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[dict[str, Any], list[Violation]]:
    """Return the settings of the program's config, and what is wrong with their keys."""
    given = _plain(inputs.get(SETTINGS) or {})
    if _has_outputs(given):
        return {}, [_must_be_plain(SETTINGS)]
    read = object_values(given)
    fix = "Leave the input out: the rollout scripts read and write settings."
    twice = [Violation((key,), f"is given twice, also as {SETTINGS}.{key}", fix) for key in read.values if key in own]
    violations = [replace(one, path=(SETTINGS, *one.path)) for one in read.violations]
    return {key: value for key, value in read.values.items() if key not in own}, [*violations, *twice]


def _check(name: str, key: str, known: Mapping[str, Any], written: Mapping[str, Any]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        _checked(name, {**known, key: value}, written, [])
        return value

    return check


def _checked(name: str, own: Mapping[str, Any], written: Mapping[str, Any], violations: list[Violation]) -> Settings:
    values = {**written, **own}
    service = {key: value for key, value in values.items() if key in ServiceSettings.model_fields}
    tree = {**{key: value for key, value in values.items() if key in STACK_FIELDS}, "services": {name: service}}
    found = [*violations, *(() if violations else text_violations(tree))]
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        reported = {one.path[0] for one in violations}
        found += [one for one in explain(error, Settings) if reported.isdisjoint(one.path)]
    else:
        if not found:
            return settings
    lines = dict.fromkeys(
        Violation(_input_path(one.path, written), one.what, one.fix, one.value).line() for one in found
    )
    raise InputsError("The inputs are invalid:\n" + "\n".join(f"  - {line}" for line in lines))


def _must_be_plain(key: str) -> Violation:
    what = "must be a plain value: neither another resource's output nor a secret"
    return Violation((key,), what, "It determines which resources there are.")


def _input_path(path: Path, written: Collection[str]) -> Path:
    """Return a violation's path in the package's spelling; names that the user chose stay as they are."""
    match path:
        case ("services", _):
            return ("name",)
        case ("services", _, *rest):
            return _input_path(tuple(rest), written)
        case (key, *_) if key == SETTINGS:
            return path
        case (key, *_) if key in written:
            return (SETTINGS, *path)
        case _:
            free = next((place for place, part in enumerate(path) if part in _FREE_KEYS), 99)
            return tuple(
                camel_case(part) if isinstance(part, str) and place <= free else part for place, part in enumerate(path)
            )


def _plain(value: Any) -> Any:
    """Return a value as in stack config: whole numbers arrive as floats, and enums become texts."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(below) for key, below in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in cast(list[Any], value)]
    return value


def _has_outputs(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_outputs(below) for below in cast(dict[str, Any], value).values())
    if isinstance(value, list):
        return any(_has_outputs(item) for item in cast(list[Any], value))
    return isinstance(value, pulumi.Output)
