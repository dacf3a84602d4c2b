"""Security groups and their rules. Each rule is its own resource."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from rehearsal.providers.aws.resource import Call, Naming, ResourceType, tags_of
from rehearsal.providers.aws.schema import Properties, boolean, integer, mapping, string
from rehearsal.providers.aws.waiting import error_code, is_missing, missing_is_fine, wait_until
from rehearsal.providers.values import Tree

_IN_USE_SECONDS = 120.0

_DESCRIPTION = r"[0-9A-Za-z_ .:/()#,@\[\]+=&;{}!$*-]*"


def _tag_specifications(call: Call, kind: str) -> Tree:
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": call.tag_list}]} if call.tag_list else {}


def _create_group(call: Call) -> str:
    inputs = call.inputs
    answer = call.client("ec2").create_security_group(
        GroupName=inputs["name"],
        Description=inputs["description"],
        **({"VpcId": inputs["vpcId"]} if "vpcId" in inputs else {}),
        **_tag_specifications(call, "security-group"),
    )
    return answer["GroupId"]


def _remove_default_egress(call: Call) -> None:
    """Remove the rule with which a new group lets everything out. As in the real provider, only declared rules stay."""
    client = call.client("ec2")
    for rule in _rules(client, call.id):
        if rule["IsEgress"]:
            client.revoke_security_group_egress(GroupId=call.id, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])


def _rules(client: Any, group_id: str) -> list[dict[str, Any]]:
    answer = client.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group_id]}])
    return answer["SecurityGroupRules"]


def _read_group(call: Call) -> Tree | None:
    try:
        group = call.client("ec2").describe_security_groups(GroupIds=[call.id])["SecurityGroups"][0]
    except Exception as error:
        if is_missing(error):
            return None
        raise
    return {
        "arn": call.arn("ec2", f"security-group/{call.id}"),
        "name": group["GroupName"],
        "description": group["Description"],
        "ownerId": group["OwnerId"],
        "vpcId": group.get("VpcId"),
        "tags": tags_of(group.get("Tags", [])),
        "region": call.aws.region,
    }


def _delete_group(call: Call) -> None:
    client = call.client("ec2")
    if call.inputs.get("revokeRulesOnDelete"):
        for rule in _rules(client, call.id):
            direction = "egress" if rule["IsEgress"] else "ingress"
            revoke = getattr(client, f"revoke_security_group_{direction}")
            revoke(GroupId=call.id, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])

    def gone() -> bool:
        try:
            missing_is_fine(lambda: client.delete_security_group(GroupId=call.id))
        except Exception as error:
            if error_code(error) == "DependencyViolation":
                return False
            raise
        return True

    wait_until(gone, "network interfaces to release the security group", call.timeout_seconds or _IN_USE_SECONDS)


_RULE: Properties = {
    "cidrIpv4": string(),
    "cidrIpv6": string(),
    "description": string(longest=255, pattern=_DESCRIPTION),
    "fromPort": integer(-1, 65_535),
    "ipProtocol": string(required=True),
    "prefixListId": string(),
    "referencedSecurityGroupId": string(),
    "securityGroupId": string(required=True, replaces=True),
    "tags": mapping(),
    "toPort": integer(-1, 65_535),
    "region": string(computed=True, replaces=True),
}

_RULE_FIELDS = {
    "cidrIpv4": "CidrIpv4",
    "cidrIpv6": "CidrIpv6",
    "description": "Description",
    "fromPort": "FromPort",
    "ipProtocol": "IpProtocol",
    "prefixListId": "PrefixListId",
    "toPort": "ToPort",
}


def _permission(inputs: Tree) -> Tree:
    described = {"Description": inputs["description"]} if "description" in inputs else {}
    permission: Tree = {"IpProtocol": inputs["ipProtocol"]}
    permission |= {_RULE_FIELDS[name]: inputs[name] for name in ("fromPort", "toPort") if name in inputs}
    if "cidrIpv4" in inputs:
        permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **described}]
    if "cidrIpv6" in inputs:
        permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **described}]
    if "prefixListId" in inputs:
        permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **described}]
    if "referencedSecurityGroupId" in inputs:
        permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **described}]
    return permission


def _create_rule(direction: Literal["ingress", "egress"], call: Call) -> str:
    authorize: Callable[..., Any] = getattr(call.client("ec2"), f"authorize_security_group_{direction}")
    answer = authorize(
        GroupId=call.inputs["securityGroupId"],
        IpPermissions=[_permission(call.inputs)],
        **_tag_specifications(call, "security-group-rule"),
    )
    return answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]


def _read_rule(call: Call) -> Tree | None:
    client = call.client("ec2")
    try:
        rules = client.describe_security_group_rules(SecurityGroupRuleIds=[call.id])["SecurityGroupRules"]
    except Exception as error:
        if is_missing(error):
            return None
        raise
    if not rules:
        return None
    rule = rules[0]
    # Ports have no meaning when all protocols are allowed; AWS then reports -1.
    live = {name: rule.get(api) for name, api in _RULE_FIELDS.items() if rule.get(api) not in (None, "", -1, "-1")}
    return {
        **live,
        "ipProtocol": rule["IpProtocol"],
        "arn": call.arn("ec2", f"security-group-rule/{call.id}"),
        "securityGroupRuleId": call.id,
        "securityGroupId": rule["GroupId"],
        "referencedSecurityGroupId": rule.get("ReferencedGroupInfo", {}).get("GroupId"),
        "tags": tags_of(rule.get("Tags", [])),
        "region": call.aws.region,
    }


def _update_rule(call: Call) -> None:
    inputs = call.inputs
    request: Tree = {api: inputs[name] for name, api in _RULE_FIELDS.items() if name in inputs}
    if "referencedSecurityGroupId" in inputs:
        request["ReferencedGroupId"] = inputs["referencedSecurityGroupId"]
    call.client("ec2").modify_security_group_rules(
        GroupId=inputs["securityGroupId"],
        SecurityGroupRules=[{"SecurityGroupRuleId": call.id, "SecurityGroupRule": request}],
    )


def _delete_rule(direction: Literal["ingress", "egress"], call: Call) -> None:
    revoke: Callable[..., Any] = getattr(call.client("ec2"), f"revoke_security_group_{direction}")
    group_id = call.inputs["securityGroupId"]
    missing_is_fine(lambda: revoke(GroupId=group_id, SecurityGroupRuleIds=[call.id]))


def _rule_type(token: str, direction: Literal["ingress", "egress"]) -> ResourceType:
    return ResourceType(
        token=token,
        properties=_RULE,
        outputs=("arn", "securityGroupRuleId"),
        create=partial(_create_rule, direction),
        read=_read_rule,
        update=_update_rule,
        delete=partial(_delete_rule, direction),
        tag_service="ec2",
        tag_target="id",
    )


TYPES = (
    ResourceType(
        token="aws:ec2/securityGroup:SecurityGroup",
        properties={
            "description": string(default="Managed by Pulumi", replaces=True, longest=255, pattern=_DESCRIPTION),
            "name": string(replaces=True, longest=255, pattern=r"(?!sg-).*"),
            "namePrefix": string(replaces=True, longest=229, pattern=r"(?!sg-).*"),
            "revokeRulesOnDelete": boolean(default=False),
            "tags": mapping(),
            "vpcId": string(computed=True, replaces=True),
            "region": string(computed=True, replaces=True),
        },
        outputs=("arn", "ownerId"),
        create=_create_group,
        settle=_remove_default_egress,
        read=_read_group,
        delete=_delete_group,
        naming=Naming(),
        tag_service="ec2",
        tag_target="id",
    ),
    _rule_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "ingress"),
    _rule_type("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "egress"),
)
