"""Property paths such as `tags["team"]` or `spec.ports[*].port`: what `ignore_changes` and diffs are made of."""

import copy
import re
from typing import Any, cast

from rehearsal.engine.values import Properties, Value

_STEP = re.compile(r"""(?:^|\.)([^.\[\]"]+)|\[(\d+)\]|\[\*\]|\["((?:[^"\\]|\\.)*)"\]""")
WILDCARD = "*"


def parse(path: str) -> list[str | int]:
    """Split a path into its steps; a wildcard is `*`. What cannot be read is one key."""
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            return [path]
        name, index, quoted = match.groups()
        if index is not None:
            steps.append(int(index))
        elif match.group() == "[*]":
            steps.append(WILDCARD)
        else:
            steps.append(name or re.sub(r"\\(.)", r"\1", quoted or ""))
        position = match.end()
    return steps


def begins_with(path: str, prefix: str) -> bool:
    """Tell whether a path lies at or below another one (which may hold wildcards)."""
    steps, wanted = parse(path), parse(prefix)
    if len(steps) < len(wanted):
        return False
    return all(want in (WILDCARD, step) for step, want in zip(steps, wanted, strict=False))


def keep_old(news: Properties, olds: Properties, paths: list[str]) -> Properties:
    """New inputs in which everything at the given paths is as it was."""
    if not paths:
        return news
    kept = copy.deepcopy(news)
    for path in paths:
        _reset(kept, olds, parse(path))
    return kept


def _reset(target: Any, source: Any, steps: list[str | int]) -> None:
    step, rest = steps[0], steps[1:]
    if step == WILDCARD:
        for each in _keys(target) | _keys(source):
            _reset(target, source, [each, *rest])
        return
    if isinstance(target, list) and not isinstance(step, int):
        return
    in_source = step in _keys(source)
    if rest:
        if in_source and step in _keys(target):
            _reset(cast(dict[Any, Any], target)[step], cast(dict[Any, Any], source)[step], rest)
        return
    if in_source:
        _put(target, step, source[step])
    elif step in _keys(target) and isinstance(target, dict):
        del target[step]


def _put(target: Any, step: str | int, value: Value) -> None:
    if isinstance(target, dict) or (isinstance(step, int) and step in _keys(target)):
        target[step] = copy.deepcopy(value)


def _keys(value: Any) -> set[str | int]:
    if isinstance(value, dict):
        return set(cast(dict[str, Any], value))
    if isinstance(value, list):
        return set(range(len(cast(list[Any], value))))
    return set()


def differences(old: Value, new: Value, path: str = "") -> dict[str, str]:
    """The paths at which two values differ, with `add`, `delete` or `update`."""
    if old == new and type(old) is type(new):
        return {}
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, str] = {}
        for key in sorted({*old, *new}):
            inner = _join(path, key)
            if key not in old:
                found[inner] = "add"
            elif key not in new:
                found[inner] = "delete"
            else:
                found.update(differences(old[key], new[key], inner))
        return found
    if isinstance(old, list) and isinstance(new, list):
        found = {}
        for index in range(max(len(old), len(new))):
            inner = f"{path}[{index}]"
            if index >= len(old):
                found[inner] = "add"
            elif index >= len(new):
                found[inner] = "delete"
            else:
                found.update(differences(old[index], new[index], inner))
        return found
    return {} if old == new else {path: "update"}


def _join(path: str, key: str) -> str:
    if not re.fullmatch(r"[^.\[\]\"]+", key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key
