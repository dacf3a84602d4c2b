"""The inputs of a resource type as data: properties, their types, ranges and defaults, and which changes replace."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DEFAULTS_KEY = "__defaults"
"""The input in which the real provider's bridge notes the properties that it filled in itself."""


@dataclass(frozen=True)
class Property:
    """One input property, built with the functions below."""

    type: Literal["string", "int", "number", "bool", "json", "map", "list", "set", "block"]
    required: bool = False
    default: Any = None
    computed: bool = False
    """AWS chooses a missing value, so omitting the property later changes nothing."""
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
    """Return a whole number from ``low`` to ``high``, plus zero with ``or_zero``."""
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
    """Return a JSON document: text, or a tree that becomes text. Formatting is no difference."""
    return Property("json", required=required)


def mapping() -> Property:
    """Return a map with free keys and string values."""
    return Property("map", item=string())


def array(
    item: Property, *, required: bool = False, computed: bool = False, replaces: bool = False, most: int | None = None
) -> Property:
    return Property("list", required=required, computed=computed, replaces=replaces, item=item, most=most)


def unordered(
    item: Property, *, required: bool = False, computed: bool = False, replaces: bool = False, most: int | None = None
) -> Property:
    """Return a list whose order has no meaning."""
    return Property("set", required=required, computed=computed, replaces=replaces, item=item, most=most)


def block(fields: Properties, *, required: bool = False, computed: bool = False, replaces: bool = False) -> Property:
    return Property("block", required=required, computed=computed, replaces=replaces, fields=fields)
