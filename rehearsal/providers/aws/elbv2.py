"""Shared by the ELBv2 resource types: names, tags, and attributes (the API's text values under dotted keys)."""

from collections.abc import Mapping
from typing import Any

from rehearsal.providers.aws.resource import Call, tags_of
from rehearsal.providers.aws.schema import Properties, string
from rehearsal.providers.values import Tree

_NAME = r"(?!-)[0-9A-Za-z-]+(?<!-)"
NAMES: Properties = {
    "name": string(replaces=True, longest=32, pattern=_NAME),
    "namePrefix": string(replaces=True, longest=6, pattern=r"(?!-)[0-9A-Za-z-]+"),
}


def to_attributes(inputs: Tree, table: Mapping[str, str], changed: frozenset[str] | None = None) -> list[Tree]:
    """Return the attributes of all or only the changed inputs, in the API's form."""
    result: list[Tree] = []
    for path, key in table.items():
        top, _, nested = path.partition(".")
        value = inputs.get(top, {}).get(nested) if nested else inputs.get(top)
        if value is not None and (changed is None or top in changed):
            result.append({"Key": key, "Value": str(value).lower() if isinstance(value, bool) else str(value)})
    return result


def from_attributes(attributes: list[dict[str, str]], table: Mapping[str, str], inputs: Tree) -> Tree:
    """Return the live values of inputs that are attributes, in the inputs' types."""
    live = {attribute["Key"]: attribute["Value"] for attribute in attributes}
    result: Tree = {}
    for path, key in table.items():
        top, _, nested = path.partition(".")
        known = inputs.get(top, {}).get(nested) if nested else inputs.get(top)
        if key not in live or (known is None and nested):
            continue
        value = _as_type_of(known, live[key])
        if nested:
            result.setdefault(top, dict(inputs[top]))[nested] = value
        else:
            result[top] = value
    return result


def _as_type_of(known: Any, text: str) -> Any:
    if isinstance(known, bool):
        return text == "true"
    return int(text) if isinstance(known, int) else text


def arn_suffix(arn: str) -> str:
    """Return the part of an ARN that CloudWatch uses as a dimension."""
    resource = arn.split(":", 5)[5]
    return resource.removeprefix("loadbalancer/")


def live_tags(call: Call) -> dict[str, str]:
    """Return the tags of the load balancer, target group, listener or rule with the call's ARN."""
    answer = call.client("elbv2").describe_tags(ResourceArns=[call.id])
    return tags_of(answer["TagDescriptions"][0]["Tags"])


def tags_argument(call: Call) -> Tree:
    """Return the Tags argument of a create call. Without tags there is none, as the API refuses an empty list."""
    return {"Tags": call.tag_list} if call.tag_list else {}
