"""What the program asks for: one resource registration, read from the request."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from rehearsal.engine.errors import CommandError
from rehearsal.engine.urns import make_urn, name_of, type_of
from rehearsal.engine.values import Properties, from_struct

_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

HOOK_KINDS = {
    "before_create": "BeforeCreate",
    "after_create": "AfterCreate",
    "before_update": "BeforeUpdate",
    "after_update": "AfterUpdate",
    "before_delete": "BeforeDelete",
    "after_delete": "AfterDelete",
}
"""Hook lists of a registration and what the state file calls them."""


@dataclass
class Goal:
    """One resource as the program wants it."""

    type: str
    name: str
    custom: bool
    inputs: Properties
    parent: str = ""
    provider: str = ""
    version: str = ""
    protect: bool | None = None
    dependencies: list[str] = field(default_factory=list)
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    delete_before_replace: bool | None = None
    ignore_changes: list[str] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)
    additional_secret_outputs: list[str] = field(default_factory=list)
    aliases: list[Any] = field(default_factory=list)
    custom_timeouts: dict[str, float] = field(default_factory=dict)
    retain_on_delete: bool = False
    deleted_with: str = ""
    hooks: dict[str, list[str]] = field(default_factory=dict)
    source_position: str = ""


def goal_of(request: Any, root: Path) -> Goal:
    """Read a RegisterResourceRequest of the program in a project folder."""
    unsupported = {
        "import_": bool(request.importId),
        "transforms": bool(request.transforms),
        "replace_with": bool(request.replace_with),
        "a remote component": request.remote,
        "packageRef": bool(request.packageRef),
    }
    for what, asked in unsupported.items():
        if asked:
            raise CommandError(
                f"resource '{request.name}' uses {what}, which the embedded engine does not support; use the Pulumi CLI"
            )
    return Goal(
        type=request.type,
        name=request.name,
        custom=request.custom,
        inputs=from_struct(request.object),
        parent=request.parent,
        provider=request.provider,
        version=request.version,
        protect=request.protect if request.HasField("protect") else None,
        dependencies=sorted(set(request.dependencies)),
        property_dependencies={key: sorted(deps.urns) for key, deps in sorted(request.propertyDependencies.items())},
        delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
        ignore_changes=list(request.ignoreChanges),
        replace_on_changes=list(request.replaceOnChanges),
        additional_secret_outputs=list(request.additionalSecretOutputs),
        aliases=[*request.aliasURNs, *request.aliases],
        custom_timeouts=_timeouts(request.customTimeouts),
        retain_on_delete=request.retainOnDelete,
        deleted_with=request.deletedWith,
        hooks={
            kind: list(getattr(request.hooks, field_name))
            for field_name, kind in HOOK_KINDS.items()
            if getattr(request.hooks, field_name)
        },
        source_position=position_of(request.sourcePosition, root),
    )


def position_of(position: Any, root: Path) -> str:
    """A place in the program's source, relative to the project's folder."""
    if not position.uri:
        return ""
    path = os.path.relpath(unquote(urlparse(position.uri).path), root)
    column = f",{position.column}" if position.column else ""
    return f"project:///{path}#{position.line}{column}"


def _timeouts(timeouts: Any) -> dict[str, float]:
    named = {name: getattr(timeouts, name) for name in ("create", "update", "delete")}
    return {name: duration_seconds(text) for name, text in named.items() if text}


def duration_seconds(text: str) -> float:
    """Read a duration such as `1h30m` or `90s`."""
    parts = re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise CommandError(f"invalid duration {text!r}")
    seconds = sum((float(number) * _UNIT_SECONDS[unit] for number, unit in parts), start=0.0)
    return int(seconds) if seconds.is_integer() else seconds


def alias_urns(goal: Goal, stack: str, project: str, parent_alias: str) -> list[str]:
    """All names that the resource may have had: its own aliases and those that follow from its parent's."""
    found: list[str] = []
    for alias in goal.aliases:
        if isinstance(alias, str):
            found.append(alias)
        elif alias.WhichOneof("alias") == "urn":
            found.append(alias.urn)
        else:
            spec = alias.spec
            parent = "" if spec.noParent else spec.parentUrn or goal.parent
            found.append(
                make_urn(
                    spec.stack or stack,
                    spec.project or project,
                    parent,
                    spec.type or goal.type,
                    spec.name or goal.name,
                )
            )
    if parent_alias:
        # A child named after its parent was named after the parent's old name then.
        new_parent_name = name_of(goal.parent)
        name = goal.name
        if name.startswith(new_parent_name):
            name = name_of(parent_alias) + name.removeprefix(new_parent_name)
        names = {name, goal.name, *(name_of(urn) for urn in found)}
        types = {goal.type, *(type_of(urn) for urn in found)}
        found += [
            make_urn(stack, project, parent_alias, type_, each) for type_ in sorted(types) for each in sorted(names)
        ]
    return list(dict.fromkeys(found))
