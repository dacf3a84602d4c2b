"""Changes of a stack's resources, written as data: which resource, which field, which value."""

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from tests.policies.stacks import Declared, Stack


class Gone:
    """In place of a value, removes the field. In place of a resource's edits, removes the resource."""

    def __repr__(self) -> str:
        return "GONE"


GONE: Final = Gone()
UNKNOWN: Final = UNKNOWN_STRING_VALUE
"""In place of a value, makes it unknown before the update."""

Edits = Mapping[str, Mapping[str, Any] | Gone]
"""By resource, such as ``ListenerRule chat``; by field, such as ``tags["a/b"]``, ``actions[0].type``,
``env[name=HOME].value``, ``args[--port]`` (the word after it), ``#protect`` or ``#ignore_changes`` (options)."""

_STEP: Final = re.compile(r'\.?(?P<key>[A-Za-z0-9_-]+)|\["(?P<quoted>[^"]+)"\]|\[(?P<position>[0-9]+)\]|'
                          r"\[(?P<by>[A-Za-z]+)=(?P<is>[^\]]+)\]|\[(?P<flag>--?[a-z-]+)\]")  # fmt: skip


def edited(stack: Stack, edits: Edits) -> Stack:
    """Return the edited stack; raise KeyError for an edit that finds nothing to change.

    What is not edited stays the same, and must not be changed.
    """
    resources = dict(stack)
    for key, changes in edits.items():
        if key not in resources:
            raise KeyError(f"no resource {key!r}; there are {sorted(resources)}")
        if isinstance(changes, Gone):
            del resources[key]
            continue
        resources[key] = copy.deepcopy(resources[key])
        for path, value in changes.items():
            resources[key] = _changed(resources[key], path, value)
    return resources


def _changed(resource: Declared, path: str, value: Any) -> Declared:
    if path.startswith("#"):
        return replace(resource, **{path.removeprefix("#"): value})
    set_at(resource.props, path, value)
    return resource


def set_at(props: dict[str, Any], path: str, value: Any) -> None:
    """Set, add or (GONE) remove the value at a path."""
    steps = list(_STEP.finditer(path))
    if "".join(step[0] for step in steps) != path:
        raise KeyError(f"cannot read the path {path!r}")
    holder: Any = props
    for step in steps[:-1]:
        key = _key(holder, step)
        holder = holder.setdefault(key, {}) if isinstance(holder, dict) else holder[key]
    key = _key(holder, steps[-1])
    if isinstance(value, Gone):
        flag = steps[-1]["flag"]
        del holder[key]
        if flag:
            holder.remove(flag)
    elif isinstance(holder, list) and key == len(holder):
        holder.append(value)
    else:
        holder[key] = value


def _key(holder: Any, step: re.Match[str]) -> Any:
    if step["position"]:
        return int(step["position"])
    if step["by"]:
        return next(i for i, item in enumerate(holder) if str(item.get(step["by"])) == step["is"])
    if step["flag"]:
        return holder.index(step["flag"]) + 1
    return step["quoted"] or step["key"]
