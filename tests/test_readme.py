"""The README is short, and the config reference that it points to is the settings' own."""

import re
from pathlib import Path

import yaml

from components.config.reference import page
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
