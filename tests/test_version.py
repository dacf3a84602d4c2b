"""The version is one, wherever it is written."""

import json
import re
import tomllib
from pathlib import Path

import yaml

from package.version import VERSION

ROOT = Path(__file__).parent.parent


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_it_is_the_newest_version_of_the_changelog() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    versions = re.findall(r"^## \[(.+?)\]", text("CHANGELOG.md"), re.MULTILINE)
    assert versions[:2] == ["Unreleased", VERSION]
    assert len(set(versions)) == len(versions)


def test_all_that_is_published_has_it() -> None:
    assert tomllib.loads(text("pyproject.toml"))["project"]["version"] == VERSION
    assert json.loads(text("package/schema.json"))["version"] == VERSION
    assert yaml.safe_load(text("policies/PulumiPolicy.yaml"))["version"] == VERSION


def test_the_guides_name_it() -> None:
    assert set(re.findall(r"/package@(\S+)|git tag v(\S+);", text("docs/component-package.md"))) >= {(VERSION, "")}
    assert f"a git tag v{VERSION};" in text("docs/component-package.md")
