"""Turn pydantic's errors into violations in plain words: what the field must be, with its range and an example."""

import difflib
import json
import re
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from components.config.reading.forms import Form
from components.config.reading.units import unit_fix
from components.config.reading.violations import Path, Violation
from components.domain.vllm.vllm_options import OPTIONS

_NUMBERS: Final[Mapping[object, str]] = {int: "a whole number", float: "a number"}


_KINDS: Final[Mapping[type, str]] = {bool: "true or false", int: "a number", float: "a number"}
_MOST_DIGITS: Final = 40
_MOST_NAMES: Final = 25
OWN_KEYS: Final[Mapping[str, str]] = {
    "--tensor-parallel-size": "Set gpus_per_replica.",
    "--model": "Set model of a release.",
    "--revision": "Set model_revision of a release.",
    "--served-model-name": "Set served_model_name.",
    "--chat-template": "Set prompts of a release, with the template as chat_template.jinja.",
    "--lora-modules": "Set lora_adapters of a release.",
    "--api-key": "Set pods.api_key_secret.",
    "--hf-token": "Set pods.hub_token_secret.",
}
"""What takes the place of an argument that the program derives."""


@dataclass(frozen=True)
class _Place:
    """What the models declare at a path: a type, its metadata, and its field if there is one."""

    type: Any
    metadata: tuple[Any, ...] = ()
    field: FieldInfo | None = None


def explain(error: ValidationError, model: type[BaseModel]) -> list[Violation]:
    """Return a violation for every error, by its path in ``model``."""
    details = error.errors(include_url=False)
    violations = [violation for one in details for violation in _explain(one, model)]
    # pydantic also reports a list with invalid items as too short by that many items.
    above = {one.path[:length] for one in violations for length in range(len(one.path))}
    short = {one["loc"] for one in details if one["type"] == "too_short"}
    return [one for one in violations if not (one.path in short and one.path in above)]


def unknown_key(path: Path, known: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> Violation:
    """Return the violation for an unknown key, with the nearest known key as a hint."""
    key, names = str(path[-1]), sorted(known)
    elsewhere = elsewhere or {}
    if key in elsewhere:
        return Violation(path, "is not a known key here", f"It belongs to {elsewhere[key]}.")
    nearest = nearest_name(key, {*names, *elsewhere})
    if nearest in names:
        return Violation(path, "is not a known key", f"Did you mean {nearest}?")
    if (option := _vllm_option(key)) is not None:
        fix = f"It is an argument of vLLM: write {option} into engine_args of a release."
        return Violation(path, "is not a known key", OWN_KEYS.get(option, fix))
    if nearest is not None:
        return Violation(path, "is not a known key", f"Did you mean {nearest}, which belongs to {elsewhere[nearest]}?")
    few = len(names) <= _MOST_NAMES
    return Violation(
        path, "is not a known key", f"Known here: {', '.join(names)}." if few else "docs/config.md has all keys."
    )


def _vllm_option(key: str) -> str | None:
    """Return the argument that other tools' settings, such as maxModelLen in Helm values, spell as a key."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", key).replace("_", "-").lower()
    return f"--{words}" if f"--{words}" in OPTIONS else None


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar, ignoring case and dashes; None when none is similar."""
    by_plain = {_plain(one): one for one in known}
    found = difflib.get_close_matches(_plain(name), by_plain, n=1, cutoff=0.6)
    return by_plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")


def _explain(error: ErrorDetails, model: type[BaseModel]) -> Iterator[Violation]:
    path, place, parent = _find(model, error["loc"])
    value: object = error["input"]
    match error["type"]:
        case "violations":
            context: dict[str, Any] = error.get("ctx", {})
            for violation in context["violations"]:
                yield replace(violation, path=(*path, *violation.path))
        case "missing":
            yield Violation(path, "is required but not set", _how_to_set(place))
        case "extra_forbidden":
            owner = parent.type
            known = owner.model_fields if _is_model(owner) else ()
            yield unknown_key(path, known, homes(model, owner))
        case "invalid_key" | "string_type" if error["type"] == "invalid_key" or error["loc"][-1] == "[key]":
            # As a number, it would look like a place in a list.
            named = (*path[:-1], str(path[-1]))
            yield Violation(named, "must have a text as its key", f'Put it in quotes: "{path[-1]}".')
        case "recursion_loop":
            yield Violation(path, "contains itself")
        case _:
            fix = _nearest_choice(value, place) or _in_quotes(value, place) or _without_unit(path, value, place)
            yield Violation(path, f"must be {_expected(place)}", fix, value)


def _find(model: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[Path, _Place, _Place]:
    """Follow a location to its place and the place above; stop where the models end.

    Inside free-form values, pydantic's errors add parts of their own.
    """
    path: list[str | int] = []
    place = parent = _Place(model)
    for part in loc:
        below = _below(place, part)
        if below is None:
            break
        if part != "[key]":
            path.append(part)
        parent, place = place, below
    return tuple(path), place, parent


def _below(place: _Place, part: str | int) -> _Place | None:
    origin, arguments = get_origin(place.type), get_args(place.type)
    if part == "[key]":
        return place
    if _is_model(place.type):
        field = place.type.model_fields.get(part)
        return _Place(None) if field is None else _place(field.annotation, tuple(field.metadata), field)
    if origin is tuple:
        return _place(arguments[0])
    if origin is dict:
        return _place(arguments[1])
    return None


def _place(annotation: Any, metadata: tuple[Any, ...] = (), field: FieldInfo | None = None) -> _Place:
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = (option for option in get_args(annotation) if option is not types.NoneType)
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        below = [part for one in more for part in (one.metadata if isinstance(one, FieldInfo) else [one])]
        metadata = (*metadata, *below)
    return _Place(annotation, metadata, field)


def _expected(place: _Place) -> str:
    forms = [one for one in place.metadata if isinstance(one, Form)]
    if forms:
        return forms[0].expected
    origin = get_origin(place.type)
    if origin is Literal:
        return " or ".join(str(choice) for choice in get_args(place.type))
    if place.type in _NUMBERS:
        return f"{_NUMBERS[place.type]}{range_of(place.metadata)}{_example(place)}"
    if origin is tuple:
        return f"a list{range_of(place.metadata)}{_example(place)}"
    if origin is dict:
        return f"an object of names and values{_example(place)}"
    if _is_model(place.type):
        names = tuple(place.type.model_fields)
        few = len(names) <= _MOST_NAMES
        return (
            f"an object with the keys {', '.join(names)}"
            if few
            else "an object with keys that docs/config.md describes"
        )
    simple = {bool: "true or false", str: "a text"}
    return simple.get(place.type, "plain JSON, with finite numbers") + (_example(place) if place.type is str else "")


def range_of(metadata: Collection[Any]) -> str:
    """Return the range of a number, or of a length, in words that follow the type. The narrowest bounds count."""

    def bounds(kind: Any, name: str) -> list[float]:
        return [getattr(one, name) for one in metadata if isinstance(one, kind)]

    least, most = (
        max(bounds(annotated_types.Ge, "ge"), default=None),
        min(bounds(annotated_types.Le, "le"), default=None),
    )
    shortest = max(bounds(annotated_types.MinLen, "min_length"), default=None)
    longest = min(bounds(annotated_types.MaxLen, "max_length"), default=None)
    above = max(bounds(annotated_types.Gt, "gt"), default=None)
    if shortest or longest:
        return f" of at least {shortest}" if shortest else f" of at most {longest}"
    if above is not None:
        return f" above {above:g}" + ("" if most is None else f" and at most {most:.15g}")
    if least is not None and most is not None:
        return f" from {least:.15g} to {most:.15g}"
    return "" if least is None else f" of at least {least:.15g}"


def _example(place: _Place) -> str:
    field = place.field
    if get_origin(place.type) in (tuple, dict):
        example = _composed(place)
        return "" if example is None else f", e.g. {json.dumps(example, ensure_ascii=False)}"
    if field is None:
        return ""
    if field.examples:
        return f", e.g. {field.examples[0]}"
    default = field.get_default()
    return f", e.g. {default:.15g}" if isinstance(default, int | float) else ""


def _composed(place: _Place) -> Any:
    """Return an example made of those of the parts; None when a part has none."""
    forms = [one.example for one in place.metadata if isinstance(one, Form)]
    if examples := [*forms, *(place.field.examples or () if place.field else ())]:
        return examples[0]
    origin, arguments = get_origin(place.type), get_args(place.type)
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        item = _composed(_place(arguments[0]))
        return None if item is None else [item]
    if origin is dict:
        name, value = (_composed(_place(one)) for one in arguments)
        return None if name is None or value is None else {name: value}
    if _is_model(place.type):
        return _composed_model(place.type)
    return None


def _composed_model(model: type[BaseModel]) -> Any:
    needed = {
        name: _composed(_place(field.annotation, tuple(field.metadata), field))
        for name, field in model.model_fields.items()
        if field.is_required()
    }
    return None if not needed or None in needed.values() else needed


def _how_to_set(place: _Place) -> str:
    description = place.field.description if place.field else None
    return f"Set it to {_expected(place)}." + (f" {description}" if description else "")


def _nearest_choice(value: object, place: _Place) -> str:
    if get_origin(place.type) is not Literal or not isinstance(value, str):
        return ""
    nearest = nearest_name(value, get_args(place.type))
    return f"Did you mean {nearest}?" if nearest else ""


def _in_quotes(value: object, place: _Place) -> str:
    """Return how to write a text that YAML has read as another value, such as a commit of digits only."""
    if place.type is not str or not isinstance(value, bool | int | float):
        return ""
    written = json.dumps(value)
    # A large number or a fraction may have been written in another way.
    example = "" if isinstance(value, float) or len(written) > _MOST_DIGITS else f', e.g. "{written}"'
    return f"Put what you wrote in quotes{example}: without them, YAML reads {_KINDS[type(value)]}."


def _without_unit(path: Path, value: object, place: _Place) -> str:
    if place.type not in _NUMBERS:
        return ""
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    return unit_fix(name, value, whole=place.type is int)


def homes(model: type[BaseModel], here: Any = None) -> Mapping[str, str]:
    """Map each key to the levels that it belongs to, joined by "or". Keys that ``here`` has too are left out."""
    return _homes(model, here if _is_model(here) else None)


@cache  # Every reading of a config asks.
def _homes(model: type[BaseModel], here: type[BaseModel] | None) -> Mapping[str, str]:
    homes: dict[str, list[str]] = {}
    waiting: list[tuple[str, Any]] = [("the stack", model)]
    while waiting:
        where, owner = waiting.pop()
        for name, field in owner.model_fields.items():
            if owner is not here:
                homes.setdefault(name, []).append(where)
            below = _innermost(field.annotation)
            if below is not None:
                # The keys of a service may stand without ``services``.
                inner = "the service" if name == "services" else name
                waiting.append((inner if where in ("the stack", "the service") else f"{where}.{name}", below))
    return {
        name: _nearest_homes(places) for name, places in homes.items() if here is None or name not in here.model_fields
    }


def _nearest_homes(places: Collection[str]) -> str:
    """Return the levels that are least deep; a key such as env has many."""
    least = min(place.count(".") for place in places)
    return " or ".join(sorted(place for place in places if place.count(".") == least))


def _innermost(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field leads to, through optional values, lists and dictionaries."""
    if _is_model(annotation):
        return annotation
    found = (_innermost(part) for part in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
