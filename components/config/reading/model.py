"""What all models of the config share: they refuse unknown keys, and convert nothing but numbers and truths in text."""

import json
import re
import types
from typing import Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Strict

_Item = TypeVar("_Item")

STRICT: Final = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

# A list in the config becomes an immutable tuple; its items stay strict.
Items = Annotated[tuple[_Item, ...], Strict(False)]

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,99})(\.[0-9]{1,99})?([eE][-+]?[0-9]{1,9})?")
_TRUTHS: Final = {"true": True, "false": False}


def from_text(value: Any, annotation: Any) -> Any:
    """Return a value with its texts as numbers, and as true or false, where the annotation asks for those.

    ``pulumi config set`` writes every value as a text, and with ``--path`` all but whole numbers, true and false.
    https://www.pulumi.com/docs/iac/cli/commands/pulumi_config_set/

    Only JSON's numbers, ``true`` and ``false`` are converted. Everything else stays, for the models to refuse.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return from_text(value, arguments[0])
    if origin in (Union, types.UnionType):
        (annotation,) = (one for one in arguments if one is not types.NoneType)
        return from_text(value, annotation)
    if isinstance(value, str):
        if annotation in (int, float) and _NUMBER.fullmatch(value):
            return json.loads(value)
        return _TRUTHS.get(value, value) if annotation is bool else value
    if isinstance(value, list) and origin is tuple:
        return [from_text(one, arguments[0]) for one in cast(list[Any], value)]
    if isinstance(value, dict) and origin is dict:
        return {key: from_text(one, arguments[1]) for key, one in cast(dict[str, Any], value).items()}
    if isinstance(value, dict) and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        return {
            key: from_text(one, fields[key].annotation) if key in fields else one
            for key, one in cast(dict[str, Any], value).items()
        }
    return value
