"""Checks inputs against a schema: fills in defaults, converts types and finds every error."""

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

from rehearsal.providers.aws.schema import DEFAULTS_KEY, Properties, Property
from rehearsal.providers.difference import Path, render
from rehearsal.providers.provider import Failure
from rehearsal.providers.values import UNKNOWN, Tree


def check(properties: Properties, inputs: Tree) -> tuple[Tree, list[Failure]]:
    """Return the inputs with defaults and converted values, and every failure."""
    failures: list[Failure] = []
    return _check_fields(properties, inputs, (), failures), failures


def _check_fields(properties: Properties, inputs: Tree, path: Path, failures: list[Failure]) -> Tree:
    checked: Tree = {}
    for name, value in inputs.items():
        if name.startswith("__") or value is None:
            continue
        if name in properties:
            checked[name] = _check_value(properties[name], value, (*path, name), failures)
        else:
            failures.append(Failure(render((*path, name)), _unknown_reason(name, properties)))
    defaults = [name for name, prop in properties.items() if prop.default is not None and name not in checked]
    checked |= {name: properties[name].default for name in defaults}
    for name, prop in properties.items():
        if prop.required and name not in checked:
            failures.append(Failure(render((*path, name)), "is required"))
    checked[DEFAULTS_KEY] = sorted(defaults)
    return checked


def _unknown_reason(name: str, properties: Properties) -> str:
    nearest = difflib.get_close_matches(name, properties, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return f"is not a property of the rehearsal's AWS provider{hint}"


def _check_value(prop: Property, value: Any, path: Path, failures: list[Failure]) -> Any:
    if value is UNKNOWN:
        return value
    match prop.type:
        case "block":
            return _check_block(prop, value, path, failures)
        case "list" | "set":
            return _check_list(prop, value, path, failures)
        case "map":
            return _check_map(prop, value, path, failures)
        case "json":
            return json.dumps(value) if isinstance(value, dict | list) else value
        case _:
            converted = _convert(prop.type, value)
            reasons = [f"must be a {prop.type}, not {value!r}"] if converted is None else _limits(prop, converted)
            failures.extend(Failure(render(path), reason) for reason in reasons)
            return value if converted is None else converted


def _check_block(prop: Property, value: Any, path: Path, failures: list[Failure]) -> Any:
    if isinstance(value, dict):
        tree: Tree = value
        return _check_fields(prop.fields, tree, path, failures)
    failures.append(Failure(render(path), f"must be an object, not {value!r}"))
    return value


def _check_list(prop: Property, value: Any, path: Path, failures: list[Failure]) -> Any:
    if not isinstance(value, list) or prop.item is None:
        failures.append(Failure(render(path), f"must be a list, not {value!r}"))
        return value
    items: list[Any] = value
    if prop.most is not None and len(items) > prop.most:
        failures.append(Failure(render(path), f"has {len(items)} elements; at most {prop.most} are allowed"))
    return [_check_value(prop.item, item, (*path, index), failures) for index, item in enumerate(items)]


def _check_map(prop: Property, value: Any, path: Path, failures: list[Failure]) -> Any:
    if not isinstance(value, dict) or prop.item is None:
        failures.append(Failure(render(path), f"must be a map of strings, not {value!r}"))
        return value
    tree: Tree = value
    return {key: _check_value(prop.item, item, (*path, key), failures) for key, item in tree.items()}


def _convert(kind: str, value: Any) -> Any:
    """Convert a value as loosely as the real provider's bridge does. Return None when that is impossible."""
    match kind, value:
        case ("string", bool()):
            return str(value).lower()
        case ("string", str() | int() | float()):
            return str(value)
        case ("bool", bool()):
            return value
        case ("bool", "true" | "false"):
            return value == "true"
        case ("int", int()) | ("number", int() | float()) if not isinstance(value, bool):
            return value
        case ("int", str()) if re.fullmatch(r"-?\d+", value):
            return int(value)
        case _:
            return None


def _limits(prop: Property, value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _text_limits(prop, value)
        return
    low, high = prop.low, prop.high
    outside = (low is not None and value < low) or (high is not None and value > high)
    if outside and not (prop.or_zero and value == 0):
        yield f"must be {'0 or ' if prop.or_zero else ''}from {low} to {high}, not {value}"


def _text_limits(prop: Property, value: str) -> Iterator[str]:
    if prop.longest is not None and len(value) > prop.longest:
        yield f"must have at most {prop.longest} characters, but {value!r} has {len(value)}"
    if prop.pattern is not None and not re.fullmatch(prop.pattern, value):
        yield f"must match {prop.pattern}, which {value!r} does not"
    if prop.choices and value not in prop.choices:
        yield f"must be one of {', '.join(prop.choices)}, not {value!r}"
