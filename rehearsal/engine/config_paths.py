"""Paths into a config value, as in `pulumi config set --path a.b[0] value`."""

import re
from typing import Any, cast

from rehearsal.engine.errors import CommandError


def set_in(container: Any, steps: list[str | int], value: Any) -> None:
    """Set the part of a container at a path; what is missing on the way is made."""
    for position, step in enumerate(steps[:-1]):
        following: Any = [] if isinstance(steps[position + 1], int) else {}
        container = _child(container, step, following)
    _assign(container, steps[-1], value)


def _child(container: Any, step: str | int, fresh: Any) -> Any:
    known = container[step] if _holds(container, step) else None
    if not isinstance(known, dict | list):
        _assign(container, step, fresh)
        known = container[step]
    return cast(Any, known)


def _holds(container: Any, step: str | int) -> bool:
    if isinstance(container, list):
        return isinstance(step, int) and step < len(cast(list[Any], container))
    return step in container


def _assign(container: Any, step: str | int, value: Any) -> None:
    if isinstance(container, list):
        items = cast(list[Any], container)
        if not isinstance(step, int) or step > len(items):
            raise CommandError(f"cannot set array element {step} in an array of length {len(items)}")
        if step == len(items):
            items.append(value)
            return
    cast(Any, container)[step] = value


def remove_in(container: Any, steps: list[str | int]) -> None:
    """Take the part of a container at a path away, if there is one."""
    for step in steps[:-1]:
        if not _holds(container, step):
            return
        container = container[step]
    if _holds(container, steps[-1]):
        del container[steps[-1]]


_PATH_STEP = re.compile(r"""(?:^|\.)([^.\[\]]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]""")


def parse_path(path: str) -> list[str | int]:
    """Split `ns:a.b[0]["c.d"]` into its steps; the first one is the config key."""
    namespace, colon, rest = path.rpartition(":")
    steps: list[str | int] = []
    position = 0
    while position < len(rest):
        match = _PATH_STEP.match(rest, position)
        if match is None:
            raise CommandError(f"invalid configuration key path: {path}")
        name, index, quoted = match.groups()
        steps.append(int(index) if index is not None else name or re.sub(r"\\(.)", r"\1", quoted or ""))
        position = match.end()
    if not steps or isinstance(steps[0], int):
        raise CommandError(f"invalid configuration key path: {path}")
    steps[0] = f"{namespace}{colon}{steps[0]}"
    return steps


def lookup(value: Any, steps: list[str | int]) -> Any:
    """The part of a value at a path; KeyError when there is none."""
    for step in steps:
        if not isinstance(value, dict | list) or not _holds(value, step):
            raise KeyError(step)
        value = cast(Any, value)[step]
    return value


def coerce(text: str) -> Any:
    """A value inside an object as the CLI stores it: whole numbers and booleans are not texts."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?(0|[1-9][0-9]*)", text):
        return int(text)
    return text
