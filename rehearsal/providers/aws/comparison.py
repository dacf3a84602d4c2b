"""Compares inputs by their schema: what replaces, what only changes the spelling, what matches the live state."""

import json
from typing import Any

from rehearsal.providers.aws.schema import DEFAULTS_KEY, Properties, Property
from rehearsal.providers.difference import Path, names
from rehearsal.providers.values import Tree


def find(properties: Properties, path: Path) -> Property | None:
    """Return the property at a path, None inside a map."""
    prop: Property | None = None
    for name in names(path):
        prop = properties.get(name)
        if prop is None:
            return None
        inner = prop.item if prop.type in ("list", "set") else prop
        properties = inner.fields if inner is not None else {}
    return prop


def replaces(properties: Properties, path: Path) -> bool:
    """Return whether a change at this path replaces the resource, because the property or one around it says so."""
    return any(prop.replaces for end in range(1, len(path) + 1) if (prop := find(properties, path[:end])) is not None)


def same(properties: Properties, path: Path, old: Any, new: Any) -> bool:
    """Return whether two spellings of an unordered list or a JSON document mean the same."""
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
    """Return the old inputs without what AWS chose then and the program omits now: that is no difference."""
    left_out = {name for name, prop in properties.items() if prop.computed and new.get(name) is None}
    return {name: value for name, value in old.items() if name not in left_out}


def refreshed(properties: Properties, inputs: Tree, live: Tree) -> Tree:
    """Return the inputs that match the live state: the set inputs with live values, and what someone added."""
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
