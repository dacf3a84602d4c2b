"""A policy pack's config: its schemas' defaults, its initial config and a file, checked as the Pulumi CLI does."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from rehearsal.engine.errors import CommandError, not_supported
from rehearsal.engine.protocol import analyzer_pb2
from rehearsal.engine.values import from_struct, to_struct

LEVELS: Final = {
    "advisory": analyzer_pb2.ADVISORY,
    "mandatory": analyzer_pb2.MANDATORY,
    "disabled": analyzer_pb2.DISABLED,
    "remediate": analyzer_pb2.REMEDIATE,
}
_LEVEL_KEY: Final = "enforcementLevel"

_KEYWORDS: Final = {
    *("type", "enum", "const", "anyOf", "items", "minItems", "maxItems", "uniqueItems", "minLength", "maxLength"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
_ANNOTATIONS: Final = {"title", "description", "default", "examples"}


class PackConfigError(CommandError):
    """A pack cannot be configured: the update has begun, and has failed."""


@dataclass
class PolicyConfig:
    """One policy's config; no level: the one that it has without."""

    level: str | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])


Config = dict[str, PolicyConfig]


def read(path: Path, pack: Path) -> Config:
    """Read the config file of a pack; an empty one says nothing.

    Raises:
        PackConfigError: it is not a table of levels and options.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document: Any = json.loads(text, parse_float=_number) if text.strip() else {}
    except (OSError, ValueError) as error:
        raise PackConfigError(f"could not read the policy pack config {path}: {error}") from error
    if not isinstance(document, dict):
        raise PackConfigError(
            f"could not read the policy pack config {path}: it must hold an object, not {_go(document)}"
        )
    table = cast(dict[str, Any], document)
    if "environments" in table:
        raise PackConfigError(
            f'policy pack at "{pack}" specifies ESC environments but the current backend does not support them'
        )
    config = {name: _entry(name, value) for name, value in table.items()}
    return {name: entry for name, entry in config.items() if entry.level or entry.options}


def reconcile(info: Any, given: Config) -> Config:
    """Lay what is given over the pack's initial config, and that over the defaults of its policies."""
    config: Config = {}
    for policy in info.policies:
        schemas = from_struct(policy.configSchema.properties)
        defaults = {key: one["default"] for key, one in schemas.items() if isinstance(one, dict) and "default" in one}
        config[policy.name] = PolicyConfig(_level_name(policy.enforcementLevel), defaults)
    initial = {
        name: PolicyConfig(_level_name(one.enforcementLevel), from_struct(one.properties))
        for name, one in info.initialConfig.items()
    }
    for layer in (initial, given):
        everything = layer.get("all", PolicyConfig())
        for entry in config.values():
            entry.level = everything.level or entry.level
        for name, entry in layer.items():
            chosen = config.setdefault(name, PolicyConfig())
            chosen.level = entry.level or chosen.level
            chosen.options.update(entry.options)
    return config


def faults(info: Any, config: Config) -> list[str]:
    """Return what the policies' schemas find wrong, one line each, in the Pulumi CLI's words."""
    found: list[str] = []
    for policy in info.policies:
        options = config[policy.name].options
        missing = [key for key in policy.configSchema.required if key not in options]
        found += [f"{policy.name}: {key} is required" for key in missing]
        for key, schema in from_struct(policy.configSchema.properties).items():
            if key in options:
                wrong = _wrong(cast(dict[str, Any], schema), options[key], key)
                found += [f"{policy.name}: {one}" for one in wrong]
    return sorted(found)


def message(config: Config) -> Any:
    """Write a config as the pack takes it.

    Raises:
        PackConfigError: there is no level for a policy that the pack does not have.
    """
    request = analyzer_pb2.ConfigureAnalyzerRequest()
    for name, entry in config.items():
        if entry.level is None:
            raise PackConfigError('invalid enforcement level ""')
        request.policyConfig[name].enforcementLevel = LEVELS[entry.level]
        request.policyConfig[name].properties.CopyFrom(to_struct(entry.options))
    return request


def _entry(name: str, value: Any) -> PolicyConfig:
    if isinstance(value, str):
        return PolicyConfig(_checked_level(name, value))
    if not isinstance(value, dict):
        raise PackConfigError(f'parsing "{name}": {_go(value)} is not a valid value; must be a string or object')
    options = dict(cast(dict[str, Any], value))
    level = _checked_level(name, options.pop(_LEVEL_KEY)) if _LEVEL_KEY in options else None
    return PolicyConfig(level, options)


def _checked_level(name: str, level: Any) -> str:
    if not isinstance(level, str):
        why = f"{_go(level)} is not a valid enforcement level; must be a string"
    elif level not in LEVELS:
        why = f'"{level}" is not a valid enforcement level'
    else:
        return level
    raise PackConfigError(f'parsing enforcement level for "{name}": {why}')


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _level_name(number: int) -> str:
    return next(name for name, level in LEVELS.items() if level == number)


def _go(value: Any) -> str:
    """Write a value as the CLI, a Go program, does."""
    return "<nil>" if value is None else json.dumps(value)


# -- JSON Schema: what pydantic writes for plain fields, in the words of the CLI's validator


def _wrong(schema: Mapping[str, Any], value: Any, place: str) -> Iterator[str]:
    if unknown := sorted(schema.keys() - _KEYWORDS - _ANNOTATIONS):
        raise not_supported(f"a policy's config schema with {', '.join(unknown)} at {place}")
    asked = schema.get("type")
    types = cast(list[str], asked if isinstance(asked, list) else [asked] if asked else [])
    given = _type(value)
    if types and given not in types and not (given == "integer" and "number" in types):
        expected = types[0] if len(types) == 1 else f"[{','.join(types)}]"
        yield f"{place}: Invalid type. Expected: {expected}, given: {given}"
        return
    if "anyOf" in schema:
        yield from _wrong_in_all(schema["anyOf"], value, place)
    if isinstance(value, list):
        yield from _wrong_list(schema, cast(list[Any], value), place)
    elif isinstance(value, str):
        yield from _wrong_text(schema, value, place)
    elif given in ("integer", "number"):
        yield from _wrong_number(schema, value, place)
    if "const" in schema and _json(value) != _json(schema["const"]):
        yield f"{place}: {place} does not match: {_json(schema['const'])}"
    allowed = [_json(one) for one in schema.get("enum", ())]
    if allowed and _json(value) not in allowed:
        yield f"{place}: {place} must be one of the following: {', '.join(allowed)}"


def _wrong_in_all(schemas: list[dict[str, Any]], value: Any, place: str) -> Iterator[str]:
    """What is wrong by every one of the schemas: told of the one that comes closest, by its type."""
    found = [list(_wrong(schema, value, place)) for schema in schemas]
    if all(found):
        yield f"{place}: Must validate at least one schema (anyOf)"
        mismatch = f"{place}: Invalid type."
        yield from next((one for one in found if not one[0].startswith(mismatch)), found[0])


def _wrong_list(schema: Mapping[str, Any], values: list[Any], place: str) -> Iterator[str]:
    for number, item in enumerate(values):
        yield from _wrong(schema.get("items", {}), item, f"{place}.{number}")
    if len(values) < schema.get("minItems", 0):
        yield f"{place}: Array must have at least {schema['minItems']} items"
    if len(values) > schema.get("maxItems", len(values)):
        yield f"{place}: Array must have at most {schema['maxItems']} items"
    first: dict[str, int] = {}
    for number, item in enumerate(map(_json, values) if schema.get("uniqueItems") else ()):
        if item in first:
            yield f"{place}: array items[{first[item]},{number}] must be unique"
        first[item] = number


def _wrong_text(schema: Mapping[str, Any], text: str, place: str) -> Iterator[str]:
    if len(text) < schema.get("minLength", 0):
        yield f"{place}: String length must be greater than or equal to {schema['minLength']}"
    if len(text) > schema.get("maxLength", len(text)):
        yield f"{place}: String length must be less than or equal to {schema['maxLength']}"


def _wrong_number(schema: Mapping[str, Any], number: float, place: str) -> Iterator[str]:
    if number > schema.get("maximum", number):
        yield f"{place}: Must be less than or equal to {schema['maximum']:.10g}"
    if "exclusiveMaximum" in schema and number >= schema["exclusiveMaximum"]:
        yield f"{place}: Must be less than {schema['exclusiveMaximum']:.10g}"
    if number < schema.get("minimum", number):
        yield f"{place}: Must be greater than or equal to {schema['minimum']:.10g}"
    if "exclusiveMinimum" in schema and number <= schema["exclusiveMinimum"]:
        yield f"{place}: Must be greater than {schema['exclusiveMinimum']:.10g}"


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
