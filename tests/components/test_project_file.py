"""Pulumi.yaml and the settings declare the same config, and the example stack is one that they accept."""

import json
import types
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import yaml
from pydantic.fields import FieldInfo

from components.naming import PROJECT
from components.service_settings import ServiceSettings
from components.settings import DEFAULT_SERVICE_NAME, SECRET_KEYS, Settings
from tests.components.example import ROOT

PROJECT_FILE: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, dict[str, Any]] = PROJECT_FILE["config"]
EXAMPLE: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8"))["config"]

STACK_FIELDS = {name: declared for name, declared in Settings.model_fields.items() if name != "services"}
FIELDS: dict[str, FieldInfo] = {**STACK_FIELDS, **ServiceSettings.model_fields}
# Keys that say which services there are, not what they are.
SERVICE_KEYS = {"service_name", "services"}


def _pulumi_type(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = (option for option in get_args(annotation) if option is not types.NoneType)
    if get_origin(annotation) is Literal:
        return "string"
    simple = {str: "string", bool: "boolean", int: "integer"}
    return simple.get(annotation) or ("array" if get_origin(annotation) is tuple else "object")


def _pulumi_default(declared: FieldInfo) -> Any:
    """Pulumi demands a value of the declared type, so "not set" is an empty one."""
    kind = _pulumi_type(declared.annotation)
    if kind == "object":
        return {}
    if kind == "array":
        return list(declared.default)
    return "" if declared.default is None else declared.default


def test_both_know_the_same_keys() -> None:
    assert set(SCHEMA) == set(FIELDS) | SECRET_KEYS | SERVICE_KEYS


@pytest.mark.parametrize("name", FIELDS)
def test_a_key_is_declared_as_its_setting_is(name: str) -> None:
    expected: dict[str, Any] = {
        "type": _pulumi_type(FIELDS[name].annotation),
        "description": FIELDS[name].description,
    }
    if expected["type"] == "array":
        expected["items"] = {"type": "string"}
    if not FIELDS[name].is_required():
        expected["default"] = _pulumi_default(FIELDS[name])
    assert SCHEMA[name] == expected


def test_the_service_keys_default_to_one_flat_service() -> None:
    assert SCHEMA["service_name"]["default"] == DEFAULT_SERVICE_NAME
    assert SCHEMA["services"]["default"] == {}


def test_secrets_must_be_secret() -> None:
    assert {name for name, declared in SCHEMA.items() if declared.get("secret")} == SECRET_KEYS


def _as_program_gets_it(values: dict[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def test_the_defaults_of_the_project_file_are_those_of_the_settings() -> None:
    defaults = {f"{PROJECT}:{name}": declared["default"] for name, declared in SCHEMA.items() if "default" in declared}
    bare = {key: value for key, value in EXAMPLE.items() if key.removeprefix(f"{PROJECT}:") not in SERVICE_KEYS}
    assert Settings.from_config(_as_program_gets_it({**defaults, **bare})) == Settings.from_config(
        _as_program_gets_it(bare)
    )


def test_the_example_stack_sets_all_that_has_no_default_but_the_secret() -> None:
    required = {name for name, declared in SCHEMA.items() if "default" not in declared}
    assert {f"{PROJECT}:{name}" for name in required - SECRET_KEYS} <= set(EXAMPLE)
    assert not any(key.endswith(tuple(SECRET_KEYS)) for key in EXAMPLE)


def test_the_example_stack_serves_a_release_on_blue() -> None:
    _, service = Settings.from_config(_as_program_gets_it(EXAMPLE)).service()
    assert service.active_color == "blue"
    assert service.blue.serves
    assert not service.green.serves
