"""Normalizes inputs to what the API server returns, so that later only real differences show."""

from typing import Any

from rehearsal.providers.kubernetes.quantities import canonical
from rehearsal.providers.values import Tree, contains_unknown

READ_ONLY = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)
"""Metadata fields that only the server sets."""

_AMOUNTS = ("limits", "requests")
_DROPPED_WHEN_EMPTY = (
    "annotations",
    "binaryData",
    "data",
    "labels",
    "limits",
    "matchLabels",
    "nodeSelector",
    "requests",
    "stringData",
)
"""Maps, which are dropped when empty. Other empty objects, such as ``emptyDir: {}``, have a meaning."""


def normalized(inputs: Tree) -> Tree:
    """Return inputs without what only the server sets. Fully known built-in kinds get the server's spelling."""
    if contains_unknown(inputs):
        return inputs
    metadata: Tree = inputs.get("metadata") or {}
    plain = {**inputs, "metadata": {key: value for key, value in metadata.items() if key not in READ_ONLY}}
    return _fields(plain) if _is_built_in(inputs["apiVersion"]) else plain


def _is_built_in(api_version: str) -> bool:
    group = api_version.rpartition("/")[0]
    return "." not in group or group.endswith(".k8s.io")


def _fields(fields: Tree) -> Tree:
    spelt = {name: _value(name, value) for name, value in fields.items()}
    return {name: value for name, value in spelt.items() if not _is_dropped(name, value)}


def _is_dropped(name: str, value: Any) -> bool:
    return value is None or value == [] or (value == {} and name in _DROPPED_WHEN_EMPTY)


def _value(name: str, value: Any) -> Any:
    if isinstance(value, list):
        items: list[Any] = value
        return [_value("", item) for item in items]
    if not isinstance(value, dict):
        return canonical(value) if name == "sizeLimit" else value
    fields: Tree = value
    if name in _AMOUNTS:
        return {key: canonical(amount) for key, amount in fields.items()}
    return _fields(fields)
