"""Pulumi.yaml and the settings declare the same config, and accept the example stack."""

import json
from typing import Any, get_origin

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.config.service_settings import ServiceSettings
from components.config.settings import DEFAULT_SERVICE_NAME, SECRET_KEYS, Settings
from components.domain.naming import PROJECT
from tests.components.example import ROOT

PROJECT_FILE: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, dict[str, Any]] = PROJECT_FILE["config"]
EXAMPLE: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8"))["config"]

STACK_FIELDS = {name: declared for name, declared in Settings.model_fields.items() if name != "services"}
FIELDS: dict[str, FieldInfo] = {**STACK_FIELDS, **ServiceSettings.model_fields}
# Keys that name the services and do not configure them.
SERVICE_KEYS = {"service_name", "services"}


def _pulumi_default(declared: FieldInfo) -> Any:
    """Return the setting's default, or the value that means "not set"."""
    if get_origin(declared.annotation) is tuple:
        return [] if declared.is_required() else list(declared.default)
    if isinstance(declared.default, BaseModel):
        return {}
    return "" if declared.is_required() or declared.default is None else declared.default


def test_both_know_the_same_keys() -> None:
    assert set(SCHEMA) == set(FIELDS) | SECRET_KEYS | SERVICE_KEYS


@pytest.mark.parametrize("name", FIELDS)
def test_a_key_is_declared_as_its_setting_is(name: str) -> None:
    assert SCHEMA[name] == {"description": FIELDS[name].description, "default": _pulumi_default(FIELDS[name])}


def test_the_service_keys_default_to_one_flat_service() -> None:
    assert SCHEMA["service_name"]["default"] == DEFAULT_SERVICE_NAME
    assert SCHEMA["services"]["default"] == {}


def test_pulumi_leaves_every_check_to_the_program_which_reports_all_violations_at_once() -> None:
    for name, declared in SCHEMA.items():
        assert set(declared) == {"description", "default"}, name


def _as_program_gets_it(values: dict[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def test_the_defaults_of_the_project_file_are_those_of_the_settings() -> None:
    defaults = {f"{PROJECT}:{name}": declared["default"] for name, declared in SCHEMA.items()}
    bare = {key: value for key, value in EXAMPLE.items() if key.removeprefix(f"{PROJECT}:") not in SERVICE_KEYS}
    assert Settings.from_config(_as_program_gets_it({**defaults, **bare})) == Settings.from_config(
        _as_program_gets_it(bare)
    )


def test_the_example_stack_sets_all_that_is_required_but_the_secret() -> None:
    required = {name for name, declared in FIELDS.items() if declared.is_required()}
    assert {f"{PROJECT}:{name}" for name in required} <= set(EXAMPLE)
    assert not any(key.endswith(tuple(SECRET_KEYS)) for key in EXAMPLE)


def test_the_example_stack_serves_a_release_on_blue() -> None:
    _, service = Settings.from_config(_as_program_gets_it(EXAMPLE)).service()
    assert service.active_color == "blue"
    assert service.blue.serves
    assert not service.green.serves
