"""The committed schema matches the process's schema, and describes every input like its setting."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pulumi.provider.experimental.util import camel_case
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.config.reading.route_secret import KEY
from components.domain.naming import PROJECT
from package.generate import ARGUMENTS, SCHEMA, arguments, description
from package.inputs import SERVICE_FIELDS, SETTINGS, STACK_FIELDS, identifier
from tests.package.host import ROOT, TOKEN, Package

COMMITTED: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
SERVICE: dict[str, Any] = COMMITTED["resources"][TOKEN]
FIELDS: dict[str, FieldInfo] = {**STACK_FIELDS, **SERVICE_FIELDS}


def models(annotations: Iterable[Any]) -> dict[str, type[BaseModel]]:
    """The models that annotations lead to, by name."""
    found: dict[str, type[BaseModel]] = {}
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields = annotation.model_fields.values()
            found |= {annotation.__name__: annotation, **models(field.annotation for field in fields)}
        else:
            found |= models(get_args(annotation))
    return found


NESTED = models(field.annotation for field in FIELDS.values())


def test_the_arguments_are_written_from_the_settings() -> None:
    assert ARGUMENTS.read_text(encoding="utf-8") == arguments(), "run `make package`"


@pytest.mark.slow
def test_the_schema_is_what_the_process_answers(package: Package) -> None:
    assert package.schema() == COMMITTED, "run `make package`"


def test_every_setting_is_an_input_and_so_are_the_secret_and_the_object_of_settings() -> None:
    assert set(SERVICE["inputProperties"]) == {camel_case(name) for name in [*FIELDS, SETTINGS, KEY]}
    # A required setting may be in the object instead.
    assert SERVICE["requiredInputs"] == [camel_case(KEY)]


def test_the_object_of_settings_is_plain_and_takes_any_key() -> None:
    declared = SERVICE["inputProperties"][SETTINGS]
    assert declared["plain"] is True
    assert declared["additionalProperties"]["$ref"] == "pulumi.json#/Any"


def test_the_nested_types_are_the_models_and_the_choices() -> None:
    types = {token.rpartition(":")[2]: declared for token, declared in COMMITTED["types"].items()}
    assert {"ColorSettings", "Release"} <= set(NESTED)
    assert {name for name, declared in types.items() if not declared.get("enum")} == set(NESTED)


@pytest.mark.parametrize("type_name", NESTED)
def test_nested_types_have_their_models_fields(type_name: str) -> None:
    fields = NESTED[type_name].model_fields
    declared = COMMITTED["types"][f"{PROJECT}:index:{type_name}"]
    assert set(declared["properties"]) == {camel_case(name) for name in fields}
    assert set(declared.get("required") or []) == {
        camel_case(name) for name, one in fields.items() if one.is_required()
    }
    for name, field in fields.items():
        assert declared["properties"][camel_case(name)]["description"] == description(field)


@pytest.mark.parametrize("name", FIELDS)
def test_an_input_is_documented_as_its_setting_and_plain_unless_it_is_an_id(name: str) -> None:
    declared = SERVICE["inputProperties"][camel_case(name)]
    assert declared["description"].startswith((FIELDS[name].description or "no description").replace('"', "'"))
    assert declared.get("plain", False) == (identifier(FIELDS[name]) is None)
    if get_origin(FIELDS[name].annotation) is Literal:
        assert COMMITTED["types"][declared["$ref"].removeprefix("#/types/")]["enum"]


def test_all_that_the_schema_offers_is_documented() -> None:
    for where, declared in _properties(COMMITTED):
        assert declared.get("description"), where


def _properties(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for token, resource in schema["resources"].items():
        yield token, resource
        yield from resource["inputProperties"].items()
        yield from resource["properties"].items()
    for token, declared in schema["types"].items():
        yield token, declared
        yield from (declared.get("properties") or {}).items()


def test_the_process_gets_the_versions_that_are_tested() -> None:
    pinned = {line.split(" ")[0] for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()}
    lines = (ROOT / "package" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = {line for line in lines if not line.startswith("#")}
    assert wanted <= pinned
    names = {line.split("==")[0] for line in wanted}
    assert names == {"jinja2", "pulumi", "pulumi-aws", "pulumi-kubernetes", "pydantic"}


def test_pulumi_starts_the_folder_with_an_environment_of_its_own() -> None:
    plugin = yaml.safe_load((ROOT / "package" / "PulumiPlugin.yaml").read_text(encoding="utf-8"))
    assert plugin == {"runtime": {"name": "python", "options": {"toolchain": "pip", "virtualenv": "../.venv-package"}}}
