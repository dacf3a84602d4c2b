"""A Pulumi program without components: it creates only the resources that the file BARE_RESOURCES lists."""

import importlib
import inspect
import json
import os
from pathlib import Path
from typing import Any

from pulumi.provider.experimental.util import camel_case

VARIABLE = "BARE_RESOURCES"


def resource_class(token: str) -> tuple[type[Any], dict[str, str]]:
    """Return a type token's class in the SDK, and its argument names by input name."""
    package, module, kind = token.split(":")
    group, _, rest = module.partition("/")
    if package == "aws":
        found: Any = getattr(importlib.import_module(f"pulumi_aws.{group}"), kind)
    else:
        try:
            found = getattr(importlib.import_module(f"pulumi_kubernetes.{group.split('.')[0]}.{rest}"), kind)
        except ModuleNotFoundError:
            found = importlib.import_module("pulumi_kubernetes.apiextensions").CustomResource
            return found, {name: name for name in ("metadata", "spec")} | {"apiVersion": "api_version", "kind": "kind"}
    arguments = inspect.signature(found._internal_init).parameters
    return found, {camel_case(name): name for name in arguments}


def main() -> None:
    """Create the resources, all independent of each other."""
    classes: dict[str, tuple[type[Any], dict[str, str]]] = {}
    for resource in json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8")):
        token = resource["type"]
        if token not in classes:
            classes[token] = resource_class(token)
        make, names = classes[token]
        make(resource["name"], **{names[name]: value for name, value in resource["inputs"].items()})


if __name__ == "__main__":
    main()
