"""Read stack config as Pulumi passes it (keys ``project:name``, values as text or JSON) into plain values."""

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from components.config.reading import route_secret
from components.config.reading.explain import nearest_name, unknown_key
from components.config.reading.violations import UNSET, Violation
from components.domain.naming import PROJECT

# Another project's name that is at least this similar is taken for this project's name, misspelt.
_LIKENESS: Final = 0.8


@dataclass(frozen=True)
class ConfigValues:
    """This project's values by name, and the violations found while reading them."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    violations: list[Violation] = field(default_factory=list[Violation])
    foreign_violations: list[str] = field(default_factory=list[str])
    """Lines about keys that are not under this project's name."""


class _DuplicateError(ValueError):
    """A JSON object has a key twice."""


def read_values(
    config: Mapping[str, str], *, known: Collection[str], texts: Collection[str], elsewhere: Mapping[str, str]
) -> ConfigValues:
    """Read this project's values. An empty value means that the key is not set.

    Args:
        config: keys with or without the project; other projects' keys are skipped.
        known: the valid names.
        texts: names whose values are texts, so that a value like 123 or true stays a text.
        elsewhere: names of other levels, with the level that each belongs to.
    """
    read = ConfigValues()
    spelled: set[str] = set()
    for key, text in config.items():
        project, _, name = key.rpartition(":")
        if project not in ("", PROJECT):
            read.foreign_violations.extend(_foreign_violations(key, project, name, known))
            continue
        if name in spelled:
            read.violations.append(
                Violation((name,), "is set twice, with and without the project's name", "Remove one.")
            )
        spelled.add(name)
        if name not in known:
            read.violations.append(_unknown(name, known, elsewhere))
        elif text != "":
            try:
                read.values[name] = text if name in texts else parse(text)
            except _DuplicateError as error:
                read.violations.append(Violation((name,), f"has the key {error} twice", "Remove one.", UNSET))
    return read


def parse(text: str) -> Any:
    """Read one value: as JSON if it is JSON, else as the text itself.

    Raises:
        ValueError: an object has a key twice.
    """
    if text != text.strip():
        return text
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _DuplicateError:
        raise
    except (ValueError, RecursionError):  # not JSON, a number that is too large, or a tree that is too deep
        return text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise _DuplicateError(json.dumps(key))
    return dict(pairs)


def _unknown(name: str, known: Collection[str], elsewhere: Mapping[str, str]) -> Violation:
    first, dot, rest = name.partition(".")
    if dot and first in known:
        fix = f"Nest it: put {rest} under {first}, as `pulumi config set --path {name} <value>` does."
        return Violation((name,), "is not a known key", fix)
    return unknown_key((name,), {*known, route_secret.KEY}, elsewhere)


def _foreign_violations(key: str, project: str, name: str, known: Collection[str]) -> list[str]:
    """Find this project's keys under a misspelt project name; providers' keys have no underscores."""
    plain = project.casefold().replace("_", "-")
    alike = difflib.SequenceMatcher(None, plain, PROJECT).ratio() >= _LIKENESS or plain.startswith(f"{PROJECT}:")
    if not alike and not (name in known and "_" in name):
        return []
    nearest = nearest_name(name, known) or "<key>"
    return [f"{key}: is not a key of this project. Did you mean {PROJECT}:{nearest}?"]


def without_empty(values: object) -> object:
    """Remove empty values from an object: as with flat keys, they mean that the key is not set."""
    if not isinstance(values, dict):
        return values
    return {key: value for key, value in cast(dict[str, Any], values).items() if value != ""}
