"""YAML as Pulumi reads it: what values it makes of a file, and as what texts it passes them to the program."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import cast

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.nodes import ScalarNode


class _Constructor(RoundTripConstructor):
    """Makes numbers of what Pulumi's reader takes for numbers."""

    def number(self, node: ScalarNode) -> object:
        """Return a number, or the text itself when it has digits but is too large for a number."""
        number = self.construct_yaml_float(node)
        return node.value if math.isinf(number) and any(one.isdigit() for one in node.value) else number

    def integer(self, node: ScalarNode) -> object:
        """Return an integer. With a leading zero it is octal, as in YAML 1.1, if all its digits are."""
        digits = node.value.replace("_", "")
        return int(digits, 8) if re.fullmatch(r"[-+]?0[0-7]+", digits) else self.construct_yaml_int(node)


_Constructor.add_constructor("tag:yaml.org,2002:float", _Constructor.number)
_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.integer)


def pulumi_yaml() -> YAML:
    """Return a reader and writer that keeps comments and quotes."""
    yaml = YAML()
    yaml.Constructor = _Constructor
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def as_text(value: object) -> str:
    """Return a value as Pulumi passes it to the program: text unchanged, everything else as JSON."""
    if value is None:
        return ""
    value = as_json(value)
    return value if isinstance(value, str) else json.dumps(value)


def as_json(value: object) -> JsonValue:
    """Return a value as Pulumi reads it from YAML: whole numbers become integers, times become text in its format."""
    match value:
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
        case date():
            return value.strftime("%Y-%m-%d 00:00:00 +0000 UTC")
        case bool() | None:
            return value
        case str():
            return str(value)
        case int():
            return int(value)
        case float():
            return int(value) if value.is_integer() else float(value)
        case Mapping():
            return {str(key): as_json(one) for key, one in cast(Mapping[object, object], value).items()}
        case Sequence():
            return [as_json(one) for one in cast(Sequence[object], value)]
        case _:
            return str(value)
