"""Target groups of an Application Load Balancer."""

from rehearsal.providers.aws.elbv2 import NAMES, arn_suffix, from_attributes, live_tags, tags_argument, to_attributes
from rehearsal.providers.aws.resource import Call, Naming, ResourceType
from rehearsal.providers.aws.schema import block, boolean, integer, mapping, string
from rehearsal.providers.aws.waiting import error_code, is_missing, missing_is_fine, wait_until
from rehearsal.providers.values import Tree

_IN_USE_SECONDS = 120.0

_ATTRIBUTES = {
    "deregistrationDelay": "deregistration_delay.timeout_seconds",
    "slowStart": "slow_start.duration_seconds",
    "loadBalancingAlgorithmType": "load_balancing.algorithm.type",
    "loadBalancingAnomalyMitigation": "load_balancing.algorithm.anomaly_mitigation",
    "loadBalancingCrossZoneEnabled": "load_balancing.cross_zone.enabled",
    "stickiness.enabled": "stickiness.enabled",
    "stickiness.type": "stickiness.type",
    "stickiness.cookieDuration": "stickiness.lb_cookie.duration_seconds",
    "stickiness.cookieName": "stickiness.app_cookie.cookie_name",
}

_HEALTH_CHECK = {
    "enabled": "HealthCheckEnabled",
    "healthyThreshold": "HealthyThresholdCount",
    "interval": "HealthCheckIntervalSeconds",
    "path": "HealthCheckPath",
    "port": "HealthCheckPort",
    "protocol": "HealthCheckProtocol",
    "timeout": "HealthCheckTimeoutSeconds",
    "unhealthyThreshold": "UnhealthyThresholdCount",
}


def _health_check(inputs: Tree) -> Tree:
    check = inputs.get("healthCheck", {})
    result = {api: check[name] for name, api in _HEALTH_CHECK.items() if name in check}
    return {**result, "Matcher": {"HttpCode": check["matcher"]}} if "matcher" in check else result


def _create_target_group(call: Call) -> str:
    inputs = call.inputs
    optional = {
        "Port": "port",
        "Protocol": "protocol",
        "ProtocolVersion": "protocolVersion",
        "VpcId": "vpcId",
        "IpAddressType": "ipAddressType",
    }
    answer = call.client("elbv2").create_target_group(
        Name=inputs["name"],
        TargetType=inputs["targetType"],
        **{api: inputs[name] for api, name in optional.items() if name in inputs},
        **_health_check(inputs),
        **tags_argument(call),
    )
    return answer["TargetGroups"][0]["TargetGroupArn"]


def _set_target_group_attributes(call: Call) -> None:
    attributes = to_attributes(call.inputs, _ATTRIBUTES, call.changed or None)
    if attributes:
        client = call.client("elbv2")
        client.modify_target_group_attributes(TargetGroupArn=call.id, Attributes=attributes)


def _read_target_group(call: Call) -> Tree | None:
    client = call.client("elbv2")
    try:
        group = client.describe_target_groups(TargetGroupArns=[call.id])["TargetGroups"][0]
    except Exception as error:
        if is_missing(error):
            return None
        raise
    attributes = client.describe_target_group_attributes(TargetGroupArn=call.id)["Attributes"]
    check = {name: group[api] for name, api in _HEALTH_CHECK.items() if group.get(api) is not None}
    matcher = group.get("Matcher", {}).get("HttpCode")
    return {
        **from_attributes(attributes, _ATTRIBUTES, call.inputs),
        "arn": call.id,
        "arnSuffix": arn_suffix(call.id),
        "name": group["TargetGroupName"],
        "port": group.get("Port"),
        "protocol": group.get("Protocol"),
        "protocolVersion": group.get("ProtocolVersion"),
        "targetType": group["TargetType"],
        "vpcId": group.get("VpcId"),
        "ipAddressType": group.get("IpAddressType"),
        "healthCheck": {**check, "matcher": matcher} if matcher else check,
        "loadBalancerArns": sorted(set(group.get("LoadBalancerArns", []))),
        "tags": live_tags(call),
        "region": call.aws.region,
    }


def _update_target_group(call: Call) -> None:
    if "healthCheck" in call.changed:
        call.client("elbv2").modify_target_group(TargetGroupArn=call.id, **_health_check(call.inputs))
    _set_target_group_attributes(call)


def _delete_target_group(call: Call) -> None:
    client = call.client("elbv2")

    def gone() -> bool:
        try:
            missing_is_fine(lambda: client.delete_target_group(TargetGroupArn=call.id))
        except Exception as error:
            if error_code(error) == "ResourceInUse":
                return False
            raise
        return True

    wait_until(gone, "listeners and rules to release the target group", call.timeout_seconds or _IN_USE_SECONDS)


TYPES = (
    ResourceType(
        token="aws:lb/targetGroup:TargetGroup",
        properties={
            **NAMES,
            "deregistrationDelay": integer(0, 3600, default=300),
            "healthCheck": block(
                {
                    "enabled": boolean(default=True),
                    "healthyThreshold": integer(2, 10, default=3),
                    "interval": integer(5, 300, default=30),
                    "matcher": string(computed=True),
                    "path": string(computed=True, longest=1024),
                    "port": string(default="traffic-port", pattern=r"traffic-port|\d{1,5}"),
                    "protocol": string(default="HTTP", choices=("HTTP", "HTTPS")),
                    "timeout": integer(2, 120, computed=True),
                    "unhealthyThreshold": integer(2, 10, default=3),
                },
                computed=True,
            ),
            "ipAddressType": string(computed=True, replaces=True, choices=("ipv4", "ipv6")),
            "loadBalancingAlgorithmType": string(
                computed=True, choices=("round_robin", "least_outstanding_requests", "weighted_random")
            ),
            "loadBalancingAnomalyMitigation": string(computed=True, choices=("on", "off")),
            "loadBalancingCrossZoneEnabled": string(
                computed=True, choices=("true", "false", "use_load_balancer_configuration")
            ),
            "port": integer(1, 65_535, replaces=True),
            "protocol": string(replaces=True, choices=("HTTP", "HTTPS")),
            "protocolVersion": string(computed=True, replaces=True, choices=("GRPC", "HTTP1", "HTTP2")),
            "slowStart": integer(30, 900, default=0, or_zero=True),
            "stickiness": block(
                {
                    "type": string(required=True, choices=("lb_cookie", "app_cookie")),
                    "cookieDuration": integer(1, 604_800, default=86_400),
                    "cookieName": string(),
                    "enabled": boolean(default=True),
                },
                computed=True,
            ),
            "tags": mapping(),
            "targetType": string(default="instance", replaces=True, choices=("instance", "ip")),
            "vpcId": string(replaces=True),
            "region": string(computed=True, replaces=True),
        },
        outputs=("arn", "arnSuffix", "loadBalancerArns"),
        create=_create_target_group,
        settle=_set_target_group_attributes,
        read=_read_target_group,
        update=_update_target_group,
        delete=_delete_target_group,
        naming=Naming(longest=32),
        tag_service="elbv2",
    ),
)
