"""Pulumi would accept the YAML example: every property is known and has the right type, and none is missing."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from package.generate import SCHEMA
from package.settings_of import settings_of
from tests.components.example import SECRET
from tests.package.host import ROOT, TOKEN

FILE = ROOT / "examples" / "yaml" / "Pulumi.yaml"
EXAMPLE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
CHAT: dict[str, Any] = EXAMPLE["resources"]["chatService"]
CONFIG: dict[str, Any] = yaml.safe_load((FILE.parent / "Pulumi.dev.yaml").read_text(encoding="utf-8"))["config"]
COMMITTED: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
SERVICE: dict[str, Any] = COMMITTED["resources"][TOKEN]
_PYTHON = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}


def violations(value: Any, declared: dict[str, Any], path: str) -> Iterator[str]:
    """Yield what Pulumi would refuse."""
    reference = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
    if reference:
        source = EXAMPLE["config"].get(reference[1])
        if declared.get("plain") and (source is None or source.get("secret")):
            yield f"{path}: is plain"
        if source is None and reference[1].split(".")[0] not in EXAMPLE["resources"]:
            yield f"{path}: refers to nothing"
    elif "$ref" in declared:
        yield from _violations_of_type(value, declared["$ref"], path)
    elif not isinstance(value, _PYTHON[declared["type"]]) or (
        isinstance(value, bool) != (declared["type"] == "boolean")
    ):
        yield f"{path}: is no {declared['type']}"
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from violations(item, declared["items"], f"{path}[{position}]")
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from violations(below, declared["additionalProperties"], f"{path}.{key}")


def _violations_of_type(value: Any, reference: str, path: str) -> Iterator[str]:
    if reference == "pulumi.json#/Any":
        return
    type_ = COMMITTED["types"][reference.removeprefix("#/types/")]
    if type_.get("enum"):
        if value not in [one["value"] for one in type_["enum"]]:
            yield f"{path}: is none of the values"
    else:
        yield from members(value, type_["properties"], type_.get("required") or [], path)


def members(values: dict[str, Any], properties: dict[str, Any], required: list[str], path: str) -> Iterator[str]:
    yield from (f"{path}.{name}: is missing" for name in required if name not in values)
    for name, value in values.items():
        if name not in properties:
            yield f"{path}.{name}: is not known"
        else:
            yield from violations(value, properties[name], f"{path}.{name}")


def service_violations(values: dict[str, Any]) -> list[str]:
    return list(members(values, SERVICE["inputProperties"], SERVICE["requiredInputs"], "chat"))


def test_the_example_is_what_the_schema_asks_for() -> None:
    assert CHAT["type"] == TOKEN.replace(":index:", ":")
    assert service_violations(CHAT["properties"]) == []


def test_its_outputs_are_outputs_of_the_component() -> None:
    for text in EXAMPLE["outputs"].values():
        assert re.fullmatch(r"\$\{chatService\.(\w+)\}", text)[1] in SERVICE["properties"]  # type: ignore[index]


def test_its_package_is_this_one() -> None:
    folder = Path(FILE.parent, EXAMPLE["packages"][COMMITTED["name"]]).resolve()
    assert (folder / "PulumiPlugin.yaml").exists()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("greenWeigth",), 1, "chat.greenWeigth: is not known"),
        (("greenWeight",), "1", "chat.greenWeight: is no integer"),
        (("greenWeight",), True, "chat.greenWeight: is no integer"),
        (("activeColor",), "red", "chat.activeColor: is none of the values"),
        (("alarms", "windowMinute"), 5, "chat.alarms.windowMinute: is not known"),
        (("instanceType",), "${candidate_route_secret}", "chat.instanceType: is plain"),
        (("vpcId",), "${nothing.id}", "chat.vpcId: refers to nothing"),
    ],
)
def test_the_check_sees_what_is_wrong(path: tuple[str, ...], value: Any, message: str) -> None:
    values = deepcopy(CHAT["properties"])
    place = values
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert service_violations(values) == [message]


def test_the_component_takes_the_examples_values() -> None:
    known = {"candidate_route_secret": SECRET, "chat": CONFIG["models:chat"], "loadBalancerSubnet.id": "subnet-9"}

    def written(value: Any) -> Any:
        if isinstance(value, str) and value.startswith("${"):
            return known[value[2:-1]]
        if isinstance(value, dict):
            return {key: written(below) for key, below in value.items()}
        return [written(item) for item in value] if isinstance(value, list) else value

    def snake(value: Any, *, free: bool = False) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            key if free else re.sub("([A-Z])", r"_\1", key).lower(): snake(
                below, free=free or key in ("prompts", "sampling")
            )
            for key, below in value.items()
        }

    settings = settings_of(CHAT["name"], snake(written(CHAT["properties"])))
    assert settings.services["chat"].green_weight == 0
    assert settings.services["chat"].blue.serves


def test_no_config_key_is_a_resource_too() -> None:
    # https://github.com/pulumi/pulumi-yaml/blob/main/pkg/pulumiyaml/sort.go
    assert EXAMPLE["config"].keys().isdisjoint(EXAMPLE["resources"])


def test_the_scripts_find_the_service_in_the_stacks_config() -> None:
    assert FILE.with_name("Pulumi.dev.yaml").exists()
    assert CONFIG.keys() == {"aws:region", "kubernetes:context", f"{EXAMPLE['name']}:{CHAT['name']}"}
