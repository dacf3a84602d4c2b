"""Application Load Balancers and their target groups."""

from collections.abc import Mapping
from typing import Any

from rehearsal.providers.aws.listener import live_tags
from rehearsal.providers.aws.resource import Call, Naming, ResourceType
from rehearsal.providers.aws.schema import Properties, block, boolean, integer, mapping, string, unordered
from rehearsal.providers.aws.waiting import error_code, is_missing, missing_is_fine, wait_until
from rehearsal.providers.values import Tree

_NAME = r"(?!-)[0-9A-Za-z-]+(?<!-)"
_NAMES: Properties = {
    "name": string(replaces=True, longest=32, pattern=_NAME),
    "namePrefix": string(replaces=True, longest=6, pattern=r"(?!-)[0-9A-Za-z-]+"),
}
_CREATE_SECONDS = 600.0
_IN_USE_SECONDS = 120.0

_LB_ATTRIBUTES = {
    "clientKeepAlive": "client_keep_alive.seconds",
    "desyncMitigationMode": "routing.http.desync_mitigation_mode",
    "dropInvalidHeaderFields": "routing.http.drop_invalid_header_fields.enabled",
    "enableDeletionProtection": "deletion_protection.enabled",
    "enableHttp2": "routing.http2.enabled",
    "enableTlsVersionAndCipherSuiteHeaders": "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
    "enableWafFailOpen": "waf.fail_open.enabled",
    "enableXffClientPort": "routing.http.xff_client_port.enabled",
    "idleTimeout": "idle_timeout.timeout_seconds",
    "preserveHostHeader": "routing.http.preserve_host_header.enabled",
    "xffHeaderProcessingMode": "routing.http.xff_header_processing.mode",
    "accessLogs.bucket": "access_logs.s3.bucket",
    "accessLogs.enabled": "access_logs.s3.enabled",
    "accessLogs.prefix": "access_logs.s3.prefix",
}

_TARGET_GROUP_ATTRIBUTES = {
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


def _attributes(inputs: Tree, table: Mapping[str, str], changed: frozenset[str] | None = None) -> list[Tree]:
    """Attributes as the API takes them: of all inputs, or of the changed ones."""
    result: list[Tree] = []
    for path, key in table.items():
        top, _, nested = path.partition(".")
        value = inputs.get(top, {}).get(nested) if nested else inputs.get(top)
        if value is not None and (changed is None or top in changed):
            result.append({"Key": key, "Value": str(value).lower() if isinstance(value, bool) else str(value)})
    return result


def _from_attributes(attributes: list[dict[str, str]], table: Mapping[str, str], inputs: Tree) -> Tree:
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


def _tags(call: Call) -> Tree:
    return {"Tags": call.tag_list} if call.tag_list else {}


def _suffix(arn: str) -> str:
    """The part of an ARN that CloudWatch uses as dimension."""
    resource = arn.split(":", 5)[5]
    return resource.removeprefix("loadbalancer/")


def _create_load_balancer(call: Call) -> str:
    inputs = call.inputs
    optional = {"Subnets": "subnets", "SecurityGroups": "securityGroups", "IpAddressType": "ipAddressType"}
    answer = call.client("elbv2").create_load_balancer(
        Name=inputs["name"],
        Type=inputs["loadBalancerType"],
        Scheme="internal" if inputs.get("internal") else "internet-facing",
        **{api: inputs[name] for api, name in optional.items() if name in inputs},
        **_tags(call),
    )
    return answer["LoadBalancers"][0]["LoadBalancerArn"]


def _settle_load_balancer(call: Call) -> None:
    client = call.client("elbv2")

    def active() -> bool:
        state = client.describe_load_balancers(LoadBalancerArns=[call.id])["LoadBalancers"][0]["State"]
        return state["Code"] in ("active", "active_impaired")

    wait_until(active, "the load balancer to become active", call.timeout_seconds or _CREATE_SECONDS)
    attributes = _attributes(call.inputs, _LB_ATTRIBUTES)
    client.modify_load_balancer_attributes(LoadBalancerArn=call.id, Attributes=attributes)


def _read_load_balancer(call: Call) -> Tree | None:
    client = call.client("elbv2")
    try:
        balancer = client.describe_load_balancers(LoadBalancerArns=[call.id])["LoadBalancers"][0]
    except Exception as error:
        if is_missing(error):
            return None
        raise
    attributes = client.describe_load_balancer_attributes(LoadBalancerArn=call.id)["Attributes"]
    arn = balancer["LoadBalancerArn"]
    return {
        **_from_attributes(attributes, _LB_ATTRIBUTES, call.inputs),
        "arn": arn,
        "arnSuffix": _suffix(arn),
        "dnsName": balancer["DNSName"],
        "zoneId": balancer["CanonicalHostedZoneId"],
        "vpcId": balancer.get("VpcId"),
        "name": balancer["LoadBalancerName"],
        "internal": balancer["Scheme"] == "internal",
        "loadBalancerType": balancer["Type"],
        "ipAddressType": balancer.get("IpAddressType"),
        "securityGroups": balancer.get("SecurityGroups", []),
        "subnets": [zone["SubnetId"] for zone in balancer["AvailabilityZones"]],
        "tags": live_tags(call),
        "region": call.aws.region,
    }


def _update_load_balancer(call: Call) -> None:
    client, inputs = call.client("elbv2"), call.inputs
    if "subnets" in call.changed and "subnets" in inputs:
        client.set_subnets(LoadBalancerArn=call.id, Subnets=inputs["subnets"])
    if "securityGroups" in call.changed and "securityGroups" in inputs:
        client.set_security_groups(LoadBalancerArn=call.id, SecurityGroups=inputs["securityGroups"])
    if "ipAddressType" in call.changed and "ipAddressType" in inputs:
        client.set_ip_address_type(LoadBalancerArn=call.id, IpAddressType=inputs["ipAddressType"])
    attributes = _attributes(inputs, _LB_ATTRIBUTES, call.changed)
    if attributes:
        client.modify_load_balancer_attributes(LoadBalancerArn=call.id, Attributes=attributes)


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
        **_tags(call),
    )
    return answer["TargetGroups"][0]["TargetGroupArn"]


def _set_target_group_attributes(call: Call) -> None:
    attributes = _attributes(call.inputs, _TARGET_GROUP_ATTRIBUTES, call.changed or None)
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
        **_from_attributes(attributes, _TARGET_GROUP_ATTRIBUTES, call.inputs),
        "arn": call.id,
        "arnSuffix": _suffix(call.id),
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

    wait_until(gone, "listeners and rules to let go of the target group", call.timeout_seconds or _IN_USE_SECONDS)


TYPES = (
    ResourceType(
        token="aws:lb/loadBalancer:LoadBalancer",
        properties={
            **_NAMES,
            "accessLogs": block(
                {"bucket": string(required=True), "enabled": boolean(default=False), "prefix": string()}
            ),
            "clientKeepAlive": integer(60, 604_800, default=3600),
            "desyncMitigationMode": string(default="defensive", choices=("monitor", "defensive", "strictest")),
            "dropInvalidHeaderFields": boolean(default=False),
            "enableDeletionProtection": boolean(default=False),
            "enableHttp2": boolean(default=True),
            "enableTlsVersionAndCipherSuiteHeaders": boolean(default=False),
            "enableWafFailOpen": boolean(default=False),
            "enableXffClientPort": boolean(default=False),
            "idleTimeout": integer(1, 4000, default=60),
            "internal": boolean(computed=True, replaces=True),
            "ipAddressType": string(computed=True, choices=("ipv4", "dualstack")),
            "loadBalancerType": string(default="application", replaces=True, choices=("application",)),
            "preserveHostHeader": boolean(default=False),
            "securityGroups": unordered(string(), computed=True),
            "subnets": unordered(string(), computed=True),
            "tags": mapping(),
            "xffHeaderProcessingMode": string(default="append", choices=("append", "preserve", "remove")),
            "region": string(computed=True, replaces=True),
        },
        outputs=("arn", "arnSuffix", "dnsName", "vpcId", "zoneId"),
        create=_create_load_balancer,
        settle=_settle_load_balancer,
        read=_read_load_balancer,
        update=_update_load_balancer,
        delete=lambda call: missing_is_fine(lambda: call.client("elbv2").delete_load_balancer(LoadBalancerArn=call.id)),
        naming=Naming(longest=32),
        tag_service="elbv2",
    ),
    ResourceType(
        token="aws:lb/targetGroup:TargetGroup",
        properties={
            **_NAMES,
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
