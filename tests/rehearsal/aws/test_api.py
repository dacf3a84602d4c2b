"""The API refuses what AWS refuses, and has what the program needs."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.rehearsal.aws.account import Account, Service

pytestmark = pytest.mark.slow

NewService = Callable[..., Service]


def refused(call: Callable[[], object]) -> str:
    """Return the error code with which the API refuses the call."""
    with pytest.raises(ClientError) as failure:
        call()
    return str(failure.value.response.get("Error", {}).get("Code"))


def test_a_cluster_has_its_own_security_group_for_nodes_and_pods(account: Account) -> None:
    network = account.eks.describe_cluster(name=account.seeded.cluster_name)["cluster"].get("resourcesVpcConfig", {})
    group = network.get("clusterSecurityGroupId", "")
    assert group == account.seeded.cluster_security_group_id
    found = account.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    assert found.get("VpcId") == network.get("vpcId") == account.seeded.vpc_id
    assert found.get("Tags") == [{"Key": f"kubernetes.io/cluster/{account.seeded.cluster_name}", "Value": "owned"}]


@pytest.mark.parametrize("weights", [{"blue": 1000, "green": 0}, {"blue": -1, "green": 0}])
def test_weights_outside_0_to_999_are_refused(new_service: NewService, weights: Mapping[str, int]) -> None:
    service = new_service(100, 0)
    assert refused(lambda: service.set_weights(weights)) == "ValidationError"


def test_more_than_five_target_groups_are_refused(new_service: NewService) -> None:
    service = new_service(100, 0)
    service.groups |= {f"extra{number}": service.create_group(f"extra{number}") for number in range(4)}
    assert refused(lambda: service.set_weights(dict.fromkeys(service.groups, 1))) == "ValidationError"


def test_stickiness_without_a_valid_duration_is_refused(new_service: NewService) -> None:
    service = new_service(100, 0)
    assert refused(lambda: service.set_weights({"blue": 1}, stickiness_seconds=604801)) == "ValidationError"


def test_an_unknown_target_group_is_refused_in_rules_and_default_actions(new_service: NewService) -> None:
    service = new_service(100, 0)
    unknown = service.groups["blue"][:-4] + "0000"
    action: Any = {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": unknown, "Weight": 1}]}}
    modify_rule = service.elbv2.modify_rule
    modify_listener = service.elbv2.modify_listener
    assert refused(lambda: modify_rule(RuleArn=service.rule_arn, Actions=[action])) == "TargetGroupNotFound"
    assert refused(lambda: modify_listener(ListenerArn=service.listener_arn, DefaultActions=[action])) == (
        "TargetGroupNotFound"
    )


@pytest.mark.parametrize("address", ["i-0123456789abcdef0", "192.0.2.1", "127.64.0.1"])
def test_a_target_outside_of_the_vpc_is_refused(new_service: NewService, address: str) -> None:
    service = new_service(100, 0)
    register, group = service.elbv2.register_targets, service.groups["blue"]
    assert refused(lambda: register(TargetGroupArn=group, Targets=[{"Id": address}])) == "ValidationError"


def test_a_rule_reads_back_as_it_was_written(new_service: NewService) -> None:
    service = new_service(73, 27)
    rule = service.elbv2.describe_rules(RuleArns=[service.rule_arn])["Rules"][0]
    forward = rule.get("Actions", [])[0].get("ForwardConfig", {})
    weights = {group.get("TargetGroupArn"): group.get("Weight") for group in forward.get("TargetGroups", [])}
    assert weights == {service.groups["blue"]: 73, service.groups["green"]: 27}
    assert forward.get("TargetGroupStickinessConfig") == {"Enabled": False, "DurationSeconds": 3600}


def test_a_load_balancer_returns_its_default_attributes(new_service: NewService) -> None:
    service = new_service(100, 0)
    answer = service.elbv2.describe_load_balancer_attributes(LoadBalancerArn=service.load_balancer_arn)
    attributes = {one.get("Key"): one.get("Value") for one in answer["Attributes"]}
    assert attributes["idle_timeout.timeout_seconds"] == "60"
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "false"
    assert refused(lambda: service.set_attribute("idle_timeout.timeout_seconds", "4001")) == "ValidationError"


def test_the_longest_deregistration_delay_is_accepted(new_service: NewService) -> None:
    service = new_service(100, 0, deregistration_delay_seconds=3600)
    answer = service.elbv2.describe_target_group_attributes(TargetGroupArn=service.groups["blue"])["Attributes"]
    assert {"Key": "deregistration_delay.timeout_seconds", "Value": "3600"} in answer


def test_a_rule_accepts_more_than_ten_tags(new_service: NewService) -> None:
    service = new_service(100, 0)
    tags: Any = [{"Key": f"tag-{number}", "Value": "x"} for number in range(40)]
    service.elbv2.add_tags(ResourceArns=[service.rule_arn], Tags=tags)
    answer = service.elbv2.describe_tags(ResourceArns=[service.rule_arn])["TagDescriptions"][0]
    assert len(answer.get("Tags", [])) == 41


def test_node_groups_of_the_seeded_cluster_can_grow_shrink_and_be_deleted(account: Account) -> None:
    seeded, eks = account.seeded, account.eks
    cluster = eks.describe_cluster(name=seeded.cluster_name)["cluster"]
    assert cluster.get("status") == "ACTIVE"
    assert len({*seeded.private_subnet_ids, *seeded.public_subnet_ids}) == 4
    names: Any = {"clusterName": seeded.cluster_name, "nodegroupName": "gpu-green"}
    eks.create_nodegroup(
        **names,
        nodeRole="arn:aws:iam::123456789012:role/node",
        subnets=seeded.private_subnet_ids,
        instanceTypes=["g6e.xlarge"],
        scalingConfig={"minSize": 0, "maxSize": 4, "desiredSize": 0},
        labels={"pool": "green"},
        taints=[{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}],
    )
    group = eks.describe_nodegroup(**names)["nodegroup"]
    assert group.get("scalingConfig") == {"minSize": 0, "maxSize": 4, "desiredSize": 0}
    assert (group.get("status"), group.get("labels")) == ("ACTIVE", {"pool": "green"})
    eks.update_nodegroup_config(**names, scalingConfig={"minSize": 0, "maxSize": 4, "desiredSize": 2})
    assert eks.describe_nodegroup(**names)["nodegroup"].get("scalingConfig", {}).get("desiredSize") == 2
    eks.delete_nodegroup(**names)
    assert eks.list_nodegroups(clusterName=seeded.cluster_name)["nodegroups"] == []
