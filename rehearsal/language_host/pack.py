"""Runs a Pulumi policy pack inside its own process: `python pack.py ARGUMENTS… FOLDER`.

The SDK converts a resource's properties once for each policy of the pack, a third of an update's time. Policies only
read them, so here all policies share what was converted first.
"""

import runpy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


def _remembered(convert: Callable[..., Any], key: Callable[[Any], object]) -> Callable[..., Any]:
    """Return a function that converts equal values once. It keeps them, so an `id` stays theirs."""
    known: dict[object, tuple[Any, Any]] = {}

    def converted(value: Any, *options: object) -> Any:
        found = known.get((key(value), options))
        if found is None:
            found = known[key(value), options] = (value, convert(value, *options))
        return found[1]

    return converted


def share_properties() -> None:
    """Let the SDK convert the properties of each resource once."""
    from google.protobuf.json_format import MessageToDict
    from pulumi_policy import policy

    names = policy.__dict__
    to_dict = _remembered(MessageToDict, lambda message: message.SerializeToString())
    names["json_format"] = SimpleNamespace(MessageToDict=to_dict)
    for name in ("deserialize_properties", "unknown_checking_proxy"):
        names[name] = _remembered(names[name], id)


if __name__ == "__main__":
    share_properties()
    runpy.run_module("pulumi.policy", run_name="__main__", alter_sys=True)
