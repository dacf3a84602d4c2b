"""Compares two property trees, in the terms of Pulumi's detailed diff."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from rehearsal.providers.values import Tree

Path = tuple[str | int, ...]
"""Property names and list indexes, from the root."""

Kind = Literal["add", "delete", "update"]

PLAIN_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
"""Property names that most providers write without quotes."""


@dataclass(frozen=True)
class Change:
    """A property that differs, whether that replaces the resource, and whether it shows between old and new inputs."""

    path: Path
    kind: Kind
    replaces: bool
    of_inputs: bool = True


@dataclass(frozen=True)
class Diff:
    """The answer to Diff. No changes means that there is nothing to do."""

    changes: tuple[Change, ...] = ()
    delete_before_replace: bool = False


def changed(
    old: Tree, new: Tree, replaces: Callable[[Path], bool], same: Callable[[Path, Any, Any], bool] | None = None
) -> tuple[Change, ...]:
    """Return the changes from ``old`` to ``new``. ``same`` may declare two spellings of a value equal.

    Properties with a leading double underscore are book-keeping and never differ.
    """
    found = _trees((), old, new, same or (lambda _path, _old, _new: False))
    return tuple(Change(path, kind, replaces(path)) for path, kind in found)


def _trees(path: Path, old: Tree, new: Tree, same: Callable[[Path, Any, Any], bool]) -> Iterator[tuple[Path, Kind]]:
    for name in sorted(old.keys() | new.keys()):
        if name.startswith("__"):
            continue
        before, after, here = old.get(name), new.get(name), (*path, name)
        if before is None and after is None:
            continue
        if before is None:
            yield here, "add"
        elif after is None:
            yield here, "delete"
        else:
            yield from _values(here, before, after, same)


def _values(path: Path, old: Any, new: Any, same: Callable[[Path, Any, Any], bool]) -> Iterator[tuple[Path, Kind]]:
    if same(path, old, new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _trees(path, old, new, same)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            if index >= len(old):
                yield (*path, index), "add"
            elif index >= len(new):
                yield (*path, index), "delete"
            else:
                yield from _values((*path, index), old[index], new[index], same)
    elif old != new or isinstance(old, bool) is not isinstance(new, bool):
        yield path, "update"


def render(path: Path, plain_name: re.Pattern[str] = PLAIN_NAME) -> str:
    """Return a path as Pulumi writes it: ``actions[0].forward``, ``tags["a/b"]``. Plain names are not quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif plain_name.fullmatch(part):
            text += f".{part}" if text else part
        else:
            escaped = part.replace('"', '\\"')
            text += f'["{escaped}"]'
    return text


def names(path: Path) -> tuple[str, ...]:
    """Return a path without its list indexes."""
    return tuple(part for part in path if isinstance(part, str))
