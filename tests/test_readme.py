"""The README is short, and the config reference that it points to is the settings' own."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from components.config.reference import page
from components.config.settings import Settings
from components.domain.naming import PROJECT

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CONFIG = ROOT / "docs" / "config.md"


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.read_bytes()) <= 10_000


def test_the_config_reference_is_as_the_settings_are() -> None:
    assert CONFIG.read_text(encoding="utf-8") == page(), "run `make config`"


def test_the_keys_of_the_examples_are_in_the_tables() -> None:
    known = set(re.findall(r"^\| `(\w+)` \|", page(), re.MULTILINE))
    (example,) = re.findall(r"```yaml\n(.*?)```", page(), re.DOTALL)
    config = {key.removeprefix(f"{PROJECT}:"): value for key, value in yaml.safe_load(example)["config"].items()}
    services = config.pop("services")
    assert {*config, *(key for service in services.values() for key in service)} <= known


def fields_below(model: type[BaseModel]) -> Iterator[tuple[str, str | None]]:
    """Every field of a model and of those in it, with its description."""
    for name, field in model.model_fields.items():
        yield name, field.description
        for inner in models_in(field.annotation):
            yield from fields_below(inner)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def test_every_setting_is_in_a_table_with_its_meaning() -> None:
    text = page()
    for name, description in fields_below(Settings):
        if name != "services":
            assert description, name
            cell = re.escape(description.replace("<", "&lt;"))
            assert re.search(rf"^\| `{name}` \|.*\| {cell} \|$", text, re.MULTILINE), name
