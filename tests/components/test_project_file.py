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


TEMPLATE: dict[str, dict[str, Any]] = PROJECT_FILE["template"]["config"]
OF_PROVIDERS = {"aws:region", "kubernetes:context"}


def test_a_new_project_is_asked_for_all_that_is_required_and_for_nothing_unknown() -> None:
    required = {name for name, declared in FIELDS.items() if declared.is_required()}
    asked = set(TEMPLATE) - OF_PROVIDERS
    assert required | SECRET_KEYS | {"load_balancer_subnet_ids"} <= asked <= set(SCHEMA)
    assert {key for key in EXAMPLE if not key.startswith(PROJECT)} == OF_PROVIDERS == set(TEMPLATE) - asked


def test_a_new_project_keeps_secrets_as_secrets_and_has_no_default_for_one() -> None:
    assert {name for name, question in TEMPLATE.items() if question.get("secret")} == SECRET_KEYS
    assert all(question["description"] for question in TEMPLATE.values())
    # Pulumi takes only texts here.
    assert all(isinstance(question.get("default", ""), str) for question in TEMPLATE.values())
    assert not any("default" in TEMPLATE[name] for name in SECRET_KEYS)


def test_the_answers_of_a_new_project_are_a_config() -> None:
    answers = {name: question.get("default", "") for name, question in TEMPLATE.items() if name not in SECRET_KEYS}
    ids = {"cluster_name": "main", "cluster_security_group_id": "sg-0c", "vpc_id": "vpc-0a"}
    subnets = {"node_subnet_ids": '["subnet-1"]', "load_balancer_subnet_ids": '["subnet-1", "subnet-2"]'}
    given = {name: value for name, value in {**answers, **ids, **subnets}.items() if name not in OF_PROVIDERS}
    name, service = Settings.from_config({f"{PROJECT}:{key}": value for key, value in given.items()}).service()
    assert name == DEFAULT_SERVICE_NAME
    assert not service.blue.serves
