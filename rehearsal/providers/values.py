"""Property values on the wire (protobuf structs) and in the plugins (plain Python trees).

Plugins work on plain trees. Secrets are unwrapped on the way in. On the way out they are wrapped again wherever the
original struct had one. A value that is not known yet (in a preview) is UNKNOWN.
"""

from typing import Any, Final

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

Tree = dict[str, Any]
"""Properties by name; values are None, bool, int, float, str, lists, trees and UNKNOWN."""


class _Unknown:
    """The type of UNKNOWN."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()

_SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"

_UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS = {
    _UNKNOWN_STRING,
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
}


def from_struct(struct: Struct) -> Tree:
    """Return the plain tree of a struct. Raises ValueError for assets, archives and resource references."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "struct_value":
            return _plain_struct(value.struct_value)
        case _:
            return None


def _plain_struct(struct: Struct) -> Any:
    fields = struct.fields
    if _SIGNATURE_KEY not in fields:
        return from_struct(struct)
    signature = fields[_SIGNATURE_KEY].string_value
    if signature not in (_SECRET, _OUTPUT):
        raise ValueError("this provider does not support assets, archives and resource references as property values")
    return _plain(fields["value"]) if "value" in fields else UNKNOWN


def to_struct(tree: Tree, like: Struct | None = None) -> Struct:
    """Return the struct of a plain tree. What is secret in ``like`` is secret in the result."""
    template = {} if like is None else like.fields
    return Struct(fields={key: _wire(value, template.get(key)) for key, value in tree.items()})


def _wire(value: Any, like: Value | None) -> Value:
    if like is not None and _is_secret(like):
        return _secret(_wire(value, None))
    match value:
        case None:
            return Value(null_value=NULL_VALUE)
        case bool():
            return Value(bool_value=value)
        case int() | float():
            return Value(number_value=value)
        case str():
            return Value(string_value=value)
        case list():
            result = Value()
            result.list_value.values.extend(_wire_items(value, like))
            return result
        case dict():
            return Value(struct_value=to_struct(value, None if like is None else like.struct_value))
        case _Unknown():
            return Value(string_value=_UNKNOWN_STRING)
        case _:
            raise TypeError(f"{type(value).__name__} is not a property value")


def _wire_items(items: list[Any], like: Value | None) -> list[Value]:
    templates = [] if like is None else list(like.list_value.values)
    if len(templates) == len(items):
        return [_wire(item, template) for item, template in zip(items, templates, strict=True)]
    # Elements cannot be matched up, so one old secret makes all new elements secret.
    wired = [_wire(item, None) for item in items]
    return [_secret(item) for item in wired] if any(map(_contains_secret, templates)) else wired


def _secret(value: Value) -> Value:
    fields = {_SIGNATURE_KEY: Value(string_value=_SECRET), "value": value}
    return Value(struct_value=Struct(fields=fields))


def _is_secret(value: Value) -> bool:
    fields = value.struct_value.fields
    if _SIGNATURE_KEY not in fields:
        return False
    signature = fields[_SIGNATURE_KEY].string_value
    return signature == _SECRET or (signature == _OUTPUT and fields["secret"].bool_value)


def _contains_secret(value: Value) -> bool:
    return (
        _is_secret(value)
        or any(_contains_secret(item) for item in value.list_value.values)
        or any(_contains_secret(item) for item in value.struct_value.fields.values())
    )


def contains_unknown(value: Any) -> bool:
    """Return whether a plain value is or contains UNKNOWN."""
    if isinstance(value, dict):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(contains_unknown(item) for item in value)
    return value is UNKNOWN
