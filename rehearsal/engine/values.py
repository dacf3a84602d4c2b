"""Property values as plain JSON-like Python: what the wire and the state file both carry.

Secrets are objects with Pulumi's signature key, unknowns are the sentinel string, numbers that are whole are
`int`. Nothing here knows resources, files or processes.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias, Union, cast

if TYPE_CHECKING:
    from google.protobuf import struct_pb2

# A Union object, not a quoted text: other modules build annotations such as `Value | None` from it.
Value: TypeAlias = Union[bool, int, float, str, "list[Value]", "dict[str, Value]", None]
Properties: TypeAlias = dict[str, Value]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT_VALUE = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
RESOURCE_REFERENCE = "5cf8f73096256a8f31e491e813e4eb8e"

# The typed unknowns that SDKs may send; the engine answers with the string one.
_UNKNOWNS = {
    UNKNOWN,
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
    "030794c1-ac77-496b-92df-f27374a8bd58",
    "e48ece36-62e2-4504-bad9-02848725956a",
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
}


def from_struct(struct: "struct_pb2.Struct") -> Properties:
    """Read a protobuf struct."""
    return {key: from_proto(value) for key, value in struct.fields.items()}


def from_proto(value: "struct_pb2.Value") -> Value:
    """Read one protobuf value; output values become plain, unknown or secret values."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _normalized(from_struct(value.struct_value))
    if kind == "list_value":
        return [from_proto(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if kind == "string_value":
        return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
    if kind == "bool_value":
        return value.bool_value
    return None


def _normalized(properties: Properties) -> Value:
    if properties.get(SIGNATURE) != OUTPUT_VALUE:
        return properties
    value = properties.get("value", UNKNOWN)
    return make_secret(value) if properties.get("secret") else value


def to_struct(properties: Mapping[str, Value]) -> "struct_pb2.Struct":
    """Write a protobuf struct."""
    from google.protobuf import struct_pb2

    struct = struct_pb2.Struct()
    for key, value in properties.items():
        _fill(struct.fields[key], value)
    return struct


def _fill(target: "struct_pb2.Value", value: Value) -> None:
    if value is None:
        target.null_value = 0  # pyright: ignore[reportAttributeAccessIssue]
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, list):
        target.list_value.SetInParent()
        for item in value:
            _fill(target.list_value.values.add(), item)
    else:
        target.struct_value.SetInParent()
        for key, item in value.items():
            _fill(target.struct_value.fields[key], item)


def make_secret(value: Value) -> Value:
    """Mark a value as secret (once)."""
    return value if is_secret(value) else {SIGNATURE: SECRET, "value": value}


def is_secret(value: Value) -> bool:
    """Tell whether the value itself, not a part of it, is a secret."""
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def transform(value: Value, change: Callable[[dict[str, Value]], Value | None]) -> Value:
    """Rebuild a value; `change` sees every signed object and may return what takes its place (None: keep)."""
    if isinstance(value, list):
        return [transform(item, change) for item in value]
    if isinstance(value, dict):
        if SIGNATURE in value:
            changed = change(value)
            if changed is not None:
                return changed
        return {key: transform(item, change) for key, item in value.items()}
    return value


def reveal(value: Value) -> Value:
    """Take the secret marks off, at every depth."""
    if is_secret(value):
        return reveal(cast(dict[str, Value], value)["value"])
    if isinstance(value, list):
        return [reveal(item) for item in value]
    if isinstance(value, dict):
        return {key: reveal(item) for key, item in value.items()}
    return value


def reveal_all(properties: Mapping[str, Value]) -> Properties:
    """`reveal` for each property."""
    return {key: reveal(value) for key, value in properties.items()}


def blind(value: Value) -> Value:
    """Put `[secret]` in the place of every secret, as an encrypted value's text, for events."""

    def hide(signed: dict[str, Value]) -> Value | None:
        return {SIGNATURE: SECRET, "ciphertext": "[secret]"} if is_secret(signed) else None

    return transform(value, hide)


def masked(value: Value) -> Value:
    """Put the text `[secret]` in the place of every secret, encrypted or not, for people."""

    def hide(signed: dict[str, Value]) -> Value | None:
        return "[secret]" if is_secret(signed) else None

    return transform(value, hide)


def contains(value: Value, wanted: Callable[[Value], bool]) -> bool:
    """Tell whether the value or any part of it is wanted."""
    if wanted(value):
        return True
    if isinstance(value, list):
        return any(contains(item, wanted) for item in value)
    if isinstance(value, dict):
        return any(contains(item, wanted) for item in value.values())
    return False


def has_unknowns(value: Value) -> bool:
    """Tell whether any part of the value is not known yet."""
    return contains(value, lambda part: part == UNKNOWN)


def has_secrets(value: Value) -> bool:
    """Tell whether any part of the value is secret."""
    return contains(value, is_secret)


def without_references(value: Value) -> Value:
    """Replace resource references by the resource's id (or URN), for plugins that do not take references."""

    def plain(signed: dict[str, Value]) -> Value | None:
        if signed[SIGNATURE] != RESOURCE_REFERENCE:
            return None
        identity = signed.get("id")
        return identity if identity is not None else signed.get("urn")

    return transform(value, plain)


def mark_secret_outputs(outputs: Properties, inputs: Mapping[str, Value], names: Iterable[str]) -> Properties:
    """Mark the outputs that are named, or whose input of the same name is secret."""
    wanted = set(names) | {name for name, value in inputs.items() if has_secrets(value)}
    return {
        name: make_secret(value) if name in wanted and not has_secrets(value) else value
        for name, value in outputs.items()
    }
