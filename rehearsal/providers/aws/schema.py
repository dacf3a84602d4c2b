"""The inputs of a resource type as data: the properties, their types, ranges and defaults, and what replaces."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rehearsal.providers.difference import Path, names, render
from rehearsal.providers.provider import Failure
from rehearsal.providers.values import UNKNOWN, Tree

DEFAULTS_KEY = "__defaults"
"""Where the real provider's bridge notes, in the inputs, which properties it filled in itself."""


@dataclass(frozen=True)
class Property:
    """One input property; build it with the functions below."""

    type: Literal["string", "int", "number", "bool", "json", "map", "list", "set", "block"]
    required: bool = False
    default: Any = None
    computed: bool = False
    """AWS chooses when it is left out, so leaving it out later changes nothing."""
    replaces: bool = False
    low: float | None = None
    high: float | None = None
    or_zero: bool = False
    longest: int | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    most: int | None = None
    item: "Property | None" = None
    fields: "Mapping[str, Property]" = field(default_factory=dict[str, "Property"])


Properties = Mapping[str, Property]


def string(
    *,
    required: bool = False,
    default: str | None = None,
    computed: bool = False,
    replaces: bool = False,
    longest: int | None = None,
    pattern: str | None = None,
    choices: tuple[str, ...] = (),
) -> Property:
    return Property(
        "string",
        required=required,
        default=default,
        computed=computed,
        replaces=replaces,
        longest=longest,
        pattern=pattern,
        choices=choices,
    )


def integer(
    low: int | None = None,
    high: int | None = None,
    *,
    required: bool = False,
    default: int | None = None,
    computed: bool = False,
    replaces: bool = False,
    or_zero: bool = False,
) -> Property:
    """A whole number from ``low`` to ``high``, or zero if that is allowed besides."""
    return Property(
        "int",
        required=required,
        default=default,
        computed=computed,
        replaces=replaces,
        low=low,
        high=high,
        or_zero=or_zero,
    )


def number() -> Property:
    return Property("number")


def boolean(*, default: bool | None = None, computed: bool = False, replaces: bool = False) -> Property:
    return Property("bool", default=default, computed=computed, replaces=replaces)


def document(*, required: bool = False) -> Property:
    """A JSON document: text, or a tree that becomes text; formatting is no difference."""
    return Property("json", required=required)


def mapping() -> Property:
    """String values by free keys."""
    return Property("map", item=string())


def array(
    item: Property, *, required: bool = False, computed: bool = False, replaces: bool = False, most: int | None = None
) -> Property:
    return Property("list", required=required, computed=computed, replaces=replaces, item=item, most=most)


def unordered(
    item: Property, *, required: bool = False, computed: bool = False, replaces: bool = False, most: int | None = None
) -> Property:
    """A list whose order means nothing."""
    return Property("set", required=required, computed=computed, replaces=replaces, item=item, most=most)


def block(fields: Properties, *, required: bool = False, computed: bool = False, replaces: bool = False) -> Property:
    return Property("block", required=required, computed=computed, replaces=replaces, fields=fields)


def check(properties: Properties, inputs: Tree) -> tuple[Tree, list[Failure]]:
    """Inputs with defaults and converted values, and every failure found."""
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
    return f"is not a property that the rehearsal's AWS provider knows{hint}"


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
    """The value as the wanted type, as loosely as the real provider's bridge converts; None when it cannot be."""
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


def find(properties: Properties, path: Path) -> Property | None:
    """The property at a path; None inside a map."""
    prop: Property | None = None
    for name in names(path):
        prop = properties.get(name)
        if prop is None:
            return None
        inner = prop.item if prop.type in ("list", "set") else prop
        properties = inner.fields if inner is not None else {}
    return prop


def replaces(properties: Properties, path: Path) -> bool:
    """Whether a change at this path takes a new resource: the property, or one that contains it, says so."""
    return any(prop.replaces for end in range(1, len(path) + 1) if (prop := find(properties, path[:end])) is not None)


def same(properties: Properties, path: Path, old: Any, new: Any) -> bool:
    """Whether two different spellings mean the same: unordered lists and JSON documents."""
    prop = None if isinstance(path[-1], int) else find(properties, path)
    if prop is None:
        return False
    if prop.type == "set" and isinstance(old, list) and isinstance(new, list):
        return sorted(map(repr, map(_canonical, old))) == sorted(map(repr, map(_canonical, new)))
    if prop.type == "json" and isinstance(old, str) and isinstance(new, str):
        return json.loads(old) == json.loads(new)
    return False


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        tree: Tree = value
        return {key: _canonical(item) for key, item in sorted(tree.items()) if not key.startswith("__")}
    return [_canonical(item) for item in value] if isinstance(value, list) else value


def keep_computed(properties: Properties, old: Tree, new: Tree) -> Tree:
    """The old inputs without what AWS chose then and the program leaves out now: no difference."""
    left_out = {name for name, prop in properties.items() if prop.computed and new.get(name) is None}
    return {name: value for name, value in old.items() if name not in left_out}


def refreshed(properties: Properties, inputs: Tree, live: Tree) -> Tree:
    """The inputs that correspond to the live state: what was set, with live values, and what someone added."""
    result: Tree = {}
    for name, prop in properties.items():
        value = live.get(name)
        if name in inputs:
            if value is not None:
                result[name] = _refreshed_value(prop, inputs[name], value)
            elif name not in live:
                result[name] = inputs[name]
        elif value not in (None, "", [], {}, prop.default) and not prop.computed:
            result[name] = _refreshed_value(prop, None, value)
    if DEFAULTS_KEY in inputs:
        result[DEFAULTS_KEY] = [name for name in inputs[DEFAULTS_KEY] if name in result]
    return result


def _refreshed_value(prop: Property, value: Any, live: Any) -> Any:
    if prop.type == "block" and isinstance(live, dict):
        before: Tree = value if isinstance(value, dict) else {}
        return refreshed(prop.fields, before, live)
    if prop.type in ("list", "set") and isinstance(live, list) and prop.item is not None:
        old_items: list[Any] = value if isinstance(value, list) else []
        items: list[Any] = live
        if prop.type == "set":
            items = _in_old_order(old_items, items)
        old_items = old_items + [None] * (len(items) - len(old_items))
        item_type = prop.item
        return [_refreshed_value(item_type, old, item) for old, item in zip(old_items, items, strict=False)]
    return live


def _in_old_order(old: list[Any], live: list[Any]) -> list[Any]:
    def identity(item: Any) -> Any:
        return item.get("arn") or item.get("key") or item.get("deviceName") if isinstance(item, dict) else item

    order = [identity(item) for item in old]
    return sorted(live, key=lambda item: order.index(identity(item)) if identity(item) in order else len(order))
