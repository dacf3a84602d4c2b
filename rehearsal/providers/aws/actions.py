"""The actions of listeners and rules: their inputs, and their form in the ELBv2 API."""

from typing import Any

from rehearsal.providers.aws.resource import from_api, to_api
from rehearsal.providers.aws.schema import Property, array, block, boolean, integer, string, unordered
from rehearsal.providers.values import Tree

_TARGET_GROUP = block({"arn": string(required=True), "weight": integer(0, 999, default=1)})

_FORWARD = block(
    {
        "targetGroups": unordered(_TARGET_GROUP, required=True, most=5),
        "stickiness": block(
            {"duration": integer(1, 604_800, required=True), "enabled": boolean(default=False)}, computed=True
        ),
    }
)

_FIXED_RESPONSE = block(
    {
        "contentType": string(
            required=True,
            choices=("text/plain", "text/css", "text/html", "application/javascript", "application/json"),
        ),
        "messageBody": string(longest=1024),
        "statusCode": string(computed=True, pattern=r"[245]\d\d"),
    }
)

_REDIRECT = block(
    {
        "statusCode": string(required=True, choices=("HTTP_301", "HTTP_302")),
        "host": string(default="#{host}", longest=128),
        "path": string(default="/#{path}", longest=128),
        "port": string(default="#{port}"),
        "protocol": string(default="#{protocol}", choices=("#{protocol}", "HTTP", "HTTPS")),
        "query": string(default="#{query}", longest=128),
    }
)


def action_list() -> Property:
    """Return the property that lists actions."""
    return array(
        block(
            {
                "type": string(required=True, choices=("forward", "fixed-response", "redirect")),
                "order": integer(1, 50_000, computed=True),
                "targetGroupArn": string(),
                "forward": _FORWARD,
                "fixedResponse": _FIXED_RESPONSE,
                "redirect": _REDIRECT,
            }
        ),
        required=True,
    )


def to_actions(actions: list[Tree]) -> list[Tree]:
    """Return actions in the API's form."""
    return [_to_action(action, order) for order, action in enumerate(actions, start=1)]


def _to_action(action: Tree, order: int) -> Tree:
    result: Tree = {"Type": action["type"], "Order": action.get("order", order)}
    if "targetGroupArn" in action:
        result["TargetGroupArn"] = action["targetGroupArn"]
    if "forward" in action:
        result["ForwardConfig"] = _to_forward(action["forward"])
    if "fixedResponse" in action:
        result["FixedResponseConfig"] = to_api(action["fixedResponse"])
    if "redirect" in action:
        result["RedirectConfig"] = to_api(action["redirect"])
    return result


def _to_forward(forward: Tree) -> Tree:
    groups = [{"TargetGroupArn": group["arn"], "Weight": group["weight"]} for group in forward["targetGroups"]]
    result: Tree = {"TargetGroups": groups}
    if "stickiness" in forward:
        stickiness = forward["stickiness"]
        result["TargetGroupStickinessConfig"] = {
            "Enabled": stickiness["enabled"],
            "DurationSeconds": stickiness["duration"],
        }
    return result


def from_actions(actions: list[dict[str, Any]], inputs: list[Tree]) -> list[Tree]:
    """Return the API's actions in the form of their inputs. AWS returns a single target in two forms."""
    given: list[Tree] = [*inputs, *({} for _ in actions)]
    return [_from_action(action, given[index]) for index, action in enumerate(actions)]


def _from_action(action: dict[str, Any], given: Tree) -> Tree:
    result: Tree = {"type": action["Type"], "order": action.get("Order", 1)}
    short_form = "targetGroupArn" in given and "forward" not in given
    if short_form and "TargetGroupArn" in action:
        result["targetGroupArn"] = action["TargetGroupArn"]
    elif "ForwardConfig" in action:
        result["forward"] = _from_forward(action["ForwardConfig"], given.get("forward", {}))
    elif "TargetGroupArn" in action:
        result["targetGroupArn"] = action["TargetGroupArn"]
    if "FixedResponseConfig" in action:
        result["fixedResponse"] = from_api(action["FixedResponseConfig"])
    if "RedirectConfig" in action:
        result["redirect"] = from_api(action["RedirectConfig"])
    return result


def _from_forward(forward: dict[str, Any], given: Tree) -> Tree:
    groups: list[Tree] = [
        {"arn": group["TargetGroupArn"], "weight": group.get("Weight", 1)} for group in forward["TargetGroups"]
    ]
    order = [group["arn"] for group in given.get("targetGroups", [])]
    groups.sort(key=lambda group: order.index(group["arn"]) if group["arn"] in order else len(order))
    result: Tree = {"targetGroups": groups}
    stickiness = forward.get("TargetGroupStickinessConfig", {})
    if stickiness.get("Enabled") or "DurationSeconds" in stickiness:
        duration = stickiness.get("DurationSeconds", given.get("stickiness", {}).get("duration"))
        result["stickiness"] = {"enabled": stickiness.get("Enabled", False), "duration": duration}
    return result
