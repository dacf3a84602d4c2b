"""``python -m package.generate``: write ``arguments.py`` from the typed settings, and ``schema.json`` from that.

Pulumi reads a component's inputs from annotations and docstrings in source code, and knows neither pydantic nor
``Literal``. So that no input can differ from its setting, the source is written, never edited.
"""

import subprocess
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from package.inputs import SERVICE_FIELDS, STACK_FIELDS, identifier

FOLDER: Final = Path(__file__).parent
ARGUMENTS: Final = FOLDER / "arguments.py"
SCHEMA: Final = FOLDER / "schema.json"

_HEADER: Final = '''"""The inputs, written by ``python -m package.generate`` from the typed settings: do not edit."""

from enum import Enum
from typing import Any, NotRequired, TypedDict

import pulumi
'''
_SECRET: Final = "Secret part of the header that reaches a colour at any weight: 16 to 100 letters, digits, - or _."


class _Source:
    """The classes of the module, those that others need first."""

    def __init__(self) -> None:
        self.classes: dict[str, str] = {}

    def type_name(self, annotation: Any, field: str) -> str:
        """Write an annotation's type, and the classes that it needs; an enum is named after its field."""
        origin, parts = get_origin(annotation), get_args(annotation)
        if annotation == JsonValue:
            return "Any"
        if origin is Annotated:
            return self.type_name(parts[0], field)
        if origin in (Union, types.UnionType):
            (only,) = (part for part in parts if part is not types.NoneType)
            return self.type_name(only, field)
        if origin is Literal:
            return self._enum(field, parts)
        if origin is tuple:
            return f"list[{self.type_name(parts[0], field)}]"
        if origin is dict:
            return f"dict[str, {self.type_name(parts[1], field)}]"
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return self._typed_dict(annotation)
        return str(annotation.__name__)

    def _enum(self, field: str, values: tuple[str, ...]) -> str:
        name = "".join(word[:1].upper() + word[1:] for word in field.split("_"))
        lines = [f"class {name}(Enum):", f'    """One of: {", ".join(values)}."""', ""]
        self._add(name, [*lines, *(f'    {value} = "{value}"' for value in values)])
        return name

    def _typed_dict(self, model: type[BaseModel]) -> str:
        self._add(
            model.__name__, self._members(model.__name__, model.__doc__ or "", model.model_fields, model.__name__)
        )
        return model.__name__

    def service_arguments(self) -> None:
        """Add the inputs of the service as a whole."""
        doc = "What exists already, the service on it, and the secret part of its candidate routes."
        fields: dict[str, FieldInfo] = {**STACK_FIELDS, **SERVICE_FIELDS}
        lines = self._members("BlueGreenServiceArgs", doc, fields)
        self._add(
            "BlueGreenServiceArgs",
            [*lines, "    candidate_route_secret: pulumi.Input[str]", f'    """{_SECRET}"""'],
        )

    def _members(self, name: str, doc: str, fields: Mapping[str, FieldInfo], owner: str = "") -> list[str]:
        lines = [f"class {name}(TypedDict):", f'    """{doc.strip()}"""', ""]
        for field_name, field in fields.items():
            written = self.type_name(field.annotation, f"{owner.removesuffix('Settings')}_{field_name}")
            if not owner and identifier(field):
                written = f"pulumi.Input[{written.replace('[str]', '[pulumi.Input[str]]')}]"
            required = written if field.is_required() else f"NotRequired[{written}]"
            lines += [f"    {field_name}: {required}", f'    """{description(field)}"""']
        return lines

    def _add(self, name: str, lines: list[str]) -> None:
        text = "\n".join(lines)
        if self.classes.setdefault(name, text) != text:
            raise ValueError(f"two different types would be called {name}")


def description(field: FieldInfo) -> str:
    """Return what a setting means, and its default where there is a plain one."""
    default = "" if field.is_required() or "Default:" in (field.description or "") else _default(field.default)
    return f"{field.description}{default}".replace('"', "'")


def _default(value: Any) -> str:
    match value:
        case bool():
            return f" Default: {str(value).lower()}."
        case int() | float():
            return f" Default: {value:g}."
        case str() if value:
            return f" Default: {value}."
        case (str(), *_):
            return f" Default: {', '.join(value)}."
        case _:
            return ""


def arguments() -> str:
    """Return the module's source."""
    source = _Source()
    source.service_arguments()
    return "\n\n".join([_HEADER, *(f"{text}\n" for text in source.classes.values())])


_PRINT_SCHEMA: Final = """
import json
from pulumi.provider.experimental.component import ComponentProvider
from components.domain.naming import PROJECT
from package.blue_green_service import BlueGreenService
from package.version import VERSION
provider = ComponentProvider([BlueGreenService], PROJECT, version=VERSION)
print(json.dumps(json.loads(provider.schema), indent=2, ensure_ascii=False))
"""


def main() -> None:
    """Write both files; the schema in a process of its own, which reads the new arguments."""
    ARGUMENTS.write_text(arguments(), encoding="utf-8")
    command = [sys.executable, "-c", _PRINT_SCHEMA]
    schema = subprocess.run(command, cwd=FOLDER.parent, check=True, stdout=subprocess.PIPE, text=True).stdout
    SCHEMA.write_text(schema, encoding="utf-8")


if __name__ == "__main__":
    main()
