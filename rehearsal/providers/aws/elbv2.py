"""What the ELBv2 resource types share: names, tags, and attributes, the API's text values by dotted keys."""

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
    """Attributes as the API takes them: of all inputs, or of the changed ones."""
    result: list[Tree] = []
    for path, key in table.items():
        top, _, nested = path.partition(".")
        value = inputs.get(top, {}).get(nested) if nested else inputs.get(top)
        if value is not None and (changed is None or top in changed):
            result.append({"Key": key, "Value": str(value).lower() if isinstance(value, bool) else str(value)})
    return result


def from_attributes(attributes: list[dict[str, str]], table: Mapping[str, str], inputs: Tree) -> Tree:
    """Live values of the inputs that attributes hold, in the inputs' types."""
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
    """The part of an ARN that CloudWatch uses as dimension."""
    resource = arn.split(":", 5)[5]
    return resource.removeprefix("loadbalancer/")


def live_tags(call: Call) -> dict[str, str]:
    """The tags of a load balancer, target group, listener or rule by the call's ARN."""
    answer = call.client("elbv2").describe_tags(ResourceArns=[call.id])
    return tags_of(answer["TagDescriptions"][0]["Tags"])


def tags_argument(call: Call) -> Tree:
    """The Tags argument of a create call; the API refuses an empty list."""
    return {"Tags": call.tag_list} if call.tag_list else {}
