"""Listeners and listener rules of an Application Load Balancer."""

from typing import Any

from rehearsal.providers.aws.actions import action_list, from_actions, to_actions
from rehearsal.providers.aws.elbv2 import live_tags, tags_argument
from rehearsal.providers.aws.resource import Call, ResourceType
from rehearsal.providers.aws.schema import array, block, boolean, integer, mapping, string, unordered
from rehearsal.providers.aws.waiting import is_missing, missing_is_fine
from rehearsal.providers.values import Tree

_SERVER_HEADER = "routing.http.response.server.enabled"

_VALUES = {"values": array(string(longest=128), required=True)}

_CONDITION = block(
    {
        "hostHeader": block(_VALUES),
        "httpHeader": block({"httpHeaderName": string(required=True, longest=40), **_VALUES}),
        "httpRequestMethod": block(_VALUES),
        "pathPattern": block(_VALUES),
        "queryStrings": array(block({"key": string(longest=128), "value": string(required=True, longest=128)})),
        "sourceIp": block(_VALUES),
    }
)

_FIELDS = {
    "hostHeader": ("host-header", "HostHeaderConfig"),
    "httpHeader": ("http-header", "HttpHeaderConfig"),
    "httpRequestMethod": ("http-request-method", "HttpRequestMethodConfig"),
    "pathPattern": ("path-pattern", "PathPatternConfig"),
    "queryStrings": ("query-string", "QueryStringConfig"),
    "sourceIp": ("source-ip", "SourceIpConfig"),
}


def _to_condition(condition: Tree) -> Tree:
    name = next(name for name in _FIELDS if name in condition)
    field, config_key = _FIELDS[name]
    value = condition[name]
    if name == "queryStrings":
        pairs = [{"Key": pair.get("key", ""), "Value": pair["value"]} for pair in value]
        return {"Field": field, config_key: {"Values": pairs}}
    config: Tree = {"Values": value["values"]}
    if name == "httpHeader":
        config["HttpHeaderName"] = value["httpHeaderName"]
    return {"Field": field, config_key: config}


def _from_condition(condition: dict[str, Any]) -> Tree:
    name = next(name for name, (field, _) in _FIELDS.items() if field == condition["Field"])
    config = condition.get(_FIELDS[name][1], {})
    values = config.get("Values", condition.get("Values", []))
    if name == "queryStrings":
        return {name: [{"key": pair.get("Key", ""), "value": pair["Value"]} for pair in values]}
    if name == "httpHeader":
        return {name: {"httpHeaderName": config["HttpHeaderName"], "values": values}}
    return {name: {"values": values}}


def _create_rule(call: Call) -> str:
    client, inputs = call.client("elbv2"), call.inputs
    answer = client.create_rule(
        ListenerArn=inputs["listenerArn"],
        Priority=inputs.get("priority") or _free_priority(client, inputs["listenerArn"]),
        Conditions=[_to_condition(condition) for condition in inputs["conditions"]],
        Actions=to_actions(inputs["actions"]),
        **tags_argument(call),
    )
    return answer["Rules"][0]["RuleArn"]


def _free_priority(client: Any, listener_arn: str) -> int:
    rules = client.describe_rules(ListenerArn=listener_arn)["Rules"]
    return max((int(rule["Priority"]) for rule in rules if rule["Priority"] != "default"), default=0) + 1


def _read_rule(call: Call) -> Tree | None:
    client = call.client("elbv2")
    try:
        rule = client.describe_rules(RuleArns=[call.id])["Rules"][0]
    except Exception as error:
        if is_missing(error):
            return None
        raise
    return {
        "arn": rule["RuleArn"],
        "listenerArn": call.inputs.get("listenerArn") or _listener_of(rule["RuleArn"]),
        "priority": int(rule["Priority"]),
        "actions": from_actions(rule["Actions"], call.inputs.get("actions", [])),
        "conditions": [_from_condition(condition) for condition in rule["Conditions"]],
        "tags": live_tags(call),
        "region": call.aws.region,
    }


def _listener_of(rule_arn: str) -> str:
    return rule_arn.replace(":listener-rule/", ":listener/").rsplit("/", 1)[0]


def _update_rule(call: Call) -> None:
    client, inputs = call.client("elbv2"), call.inputs
    if "priority" in call.changed and inputs.get("priority"):
        client.set_rule_priorities(RulePriorities=[{"RuleArn": call.id, "Priority": inputs["priority"]}])
    change: Tree = {}
    if "actions" in call.changed:
        change["Actions"] = to_actions(inputs["actions"])
    if "conditions" in call.changed:
        change["Conditions"] = [_to_condition(condition) for condition in inputs["conditions"]]
    if change:
        client.modify_rule(RuleArn=call.id, **change)


def _create_listener(call: Call) -> str:
    inputs = call.inputs
    answer = call.client("elbv2").create_listener(
        LoadBalancerArn=inputs["loadBalancerArn"], **_listener_settings(inputs), **tags_argument(call)
    )
    return answer["Listeners"][0]["ListenerArn"]


def _listener_settings(inputs: Tree) -> Tree:
    names = {"port": "Port", "protocol": "Protocol", "sslPolicy": "SslPolicy"}
    settings: Tree = {api: inputs[name] for name, api in names.items() if inputs.get(name) is not None}
    settings["DefaultActions"] = to_actions(inputs["defaultActions"])
    if "certificateArn" in inputs:
        settings["Certificates"] = [{"CertificateArn": inputs["certificateArn"]}]
    return settings


def _settle_listener(call: Call) -> None:
    if "routingHttpResponseServerEnabled" in call.inputs:
        value = str(call.inputs["routingHttpResponseServerEnabled"]).lower()
        call.client("elbv2").modify_listener_attributes(
            ListenerArn=call.id, Attributes=[{"Key": _SERVER_HEADER, "Value": value}]
        )


def _read_listener(call: Call) -> Tree | None:
    client = call.client("elbv2")
    try:
        listener = client.describe_listeners(ListenerArns=[call.id])["Listeners"][0]
    except Exception as error:
        if is_missing(error):
            return None
        raise
    certificates = listener.get("Certificates") or [{}]
    return {
        "arn": listener["ListenerArn"],
        "loadBalancerArn": listener["LoadBalancerArn"],
        "port": listener["Port"],
        "protocol": listener["Protocol"],
        "sslPolicy": listener.get("SslPolicy"),
        "certificateArn": certificates[0].get("CertificateArn"),
        "defaultActions": from_actions(listener["DefaultActions"], call.inputs.get("defaultActions", [])),
        "tags": live_tags(call),
        "region": call.aws.region,
    }


def _update_listener(call: Call) -> None:
    if call.changed - {"routingHttpResponseServerEnabled"}:
        call.client("elbv2").modify_listener(ListenerArn=call.id, **_listener_settings(call.inputs))
    _settle_listener(call)


TYPES = (
    ResourceType(
        token="aws:lb/listener:Listener",
        properties={
            "loadBalancerArn": string(required=True, replaces=True),
            "port": integer(1, 65_535),
            "protocol": string(computed=True, choices=("HTTP", "HTTPS")),
            "sslPolicy": string(computed=True),
            "certificateArn": string(),
            "defaultActions": action_list(),
            "routingHttpResponseServerEnabled": boolean(computed=True),
            "tags": mapping(),
            "region": string(computed=True, replaces=True),
        },
        outputs=("arn",),
        create=_create_listener,
        settle=_settle_listener,
        read=_read_listener,
        update=_update_listener,
        delete=lambda call: missing_is_fine(lambda: call.client("elbv2").delete_listener(ListenerArn=call.id)),
        tag_service="elbv2",
    ),
    ResourceType(
        token="aws:lb/listenerRule:ListenerRule",
        properties={
            "listenerArn": string(required=True, replaces=True),
            "priority": integer(1, 50_000, computed=True),
            "actions": action_list(),
            "conditions": unordered(_CONDITION, required=True),
            "tags": mapping(),
            "region": string(computed=True, replaces=True),
        },
        outputs=("arn",),
        create=_create_rule,
        read=_read_rule,
        update=_update_rule,
        delete=lambda call: missing_is_fine(lambda: call.client("elbv2").delete_rule(RuleArn=call.id)),
        tag_service="elbv2",
    ),
)
