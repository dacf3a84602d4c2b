"""Application Load Balancers."""

from rehearsal.providers.aws.elbv2 import NAMES, arn_suffix, from_attributes, live_tags, tags_argument, to_attributes
from rehearsal.providers.aws.resource import Call, Naming, ResourceType
from rehearsal.providers.aws.schema import block, boolean, integer, mapping, string, unordered
from rehearsal.providers.aws.waiting import is_missing, missing_is_fine, wait_until
from rehearsal.providers.values import Tree

_CREATE_SECONDS = 600.0

_ATTRIBUTES = {
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


def _create_load_balancer(call: Call) -> str:
    inputs = call.inputs
    optional = {"Subnets": "subnets", "SecurityGroups": "securityGroups", "IpAddressType": "ipAddressType"}
    answer = call.client("elbv2").create_load_balancer(
        Name=inputs["name"],
        Type=inputs["loadBalancerType"],
        Scheme="internal" if inputs.get("internal") else "internet-facing",
        **{api: inputs[name] for api, name in optional.items() if name in inputs},
        **tags_argument(call),
    )
    return answer["LoadBalancers"][0]["LoadBalancerArn"]


def _settle_load_balancer(call: Call) -> None:
    client = call.client("elbv2")

    def active() -> bool:
        state = client.describe_load_balancers(LoadBalancerArns=[call.id])["LoadBalancers"][0]["State"]
        return state["Code"] in ("active", "active_impaired")

    wait_until(active, "the load balancer to become active", call.timeout_seconds or _CREATE_SECONDS)
    attributes = to_attributes(call.inputs, _ATTRIBUTES)
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
        **from_attributes(attributes, _ATTRIBUTES, call.inputs),
        "arn": arn,
        "arnSuffix": arn_suffix(arn),
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
    attributes = to_attributes(inputs, _ATTRIBUTES, call.changed)
    if attributes:
        client.modify_load_balancer_attributes(LoadBalancerArn=call.id, Attributes=attributes)


TYPES = (
    ResourceType(
        token="aws:lb/loadBalancer:LoadBalancer",
        properties={
            **NAMES,
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
)
