"""Messages about lists and objects have an example that the setting takes."""

import json
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from components.config.reading.explain import explain, homes
from components.config.sections.check_settings import LoadSettings
from components.config.settings import Settings


def _fields(annotation: Any, seen: set[type[BaseModel]]) -> Iterator[tuple[type[BaseModel], str, FieldInfo]]:
    """Every list and every object with free names, in all models of the config."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in seen:
        seen.add(annotation)
        for name, field in annotation.model_fields.items():
            if get_origin(field.annotation) in (tuple, dict):
                yield annotation, name, field
            yield from _fields(field.annotation, seen)
    for part in get_args(annotation):
        yield from _fields(part, seen)


COLLECTIONS = list(_fields(Settings, set()))


@pytest.mark.parametrize(
    ("model", "name", "field"), COLLECTIONS, ids=[f"{model.__name__}.{name}" for model, name, _ in COLLECTIONS]
)
def test_a_message_about_a_list_or_an_object_has_an_example_that_is_accepted(
    model: type[BaseModel], name: str, field: FieldInfo
) -> None:
    with pytest.raises(ValidationError) as raised:
        model.model_validate({name: 7})
    (violation,) = (one for one in explain(raised.value, model) if one.path == (name,))
    _, found, example = violation.what.partition(", e.g. ")
    assert found
    TypeAdapter(field.rebuild_annotation(), config=model.model_config).validate_python(json.loads(example))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("peak_window_seconds", 2_678_401, "must be a number above 0 and at most 2678400, e.g. 86400"),  # two bounds
        ("ttft_p95_limit_seconds", 0, "must be a number above 0 and at most 31536000, e.g. 2"),  # of an optional one
        ("max_total_tokens", 0, "must be a whole number from 1 to 1000000000, e.g. 5000000"),  # as YAML reads it
    ],
)
def test_a_message_has_the_range_that_holds_and_an_example_in_it(key: str, value: int, says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        LoadSettings.model_validate({key: value})
    (violation,) = explain(raised.value, LoadSettings)
    assert violation.what == says


def test_a_key_of_the_service_is_said_to_be_the_services_own() -> None:
    assert homes(Settings)["node_usd_per_hour"] == "the service"
    assert homes(Settings)["load"] == "rollout.gates"
