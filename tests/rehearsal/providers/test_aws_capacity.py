"""Node groups, launch templates, roles, security groups and alarms against moto's AWS API."""

import json
from typing import Any

import pytest

from rehearsal.providers.values import UNKNOWN, Tree
from tests.components.example import release, run_program
from tests.rehearsal.providers.conftest import FakeAws
from tests.rehearsal.providers.harness import CheckFailedError, Engine
from tests.rehearsal.providers.product import whole_numbers

pytestmark = pytest.mark.slow

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
NODES = "aws:eks/nodeGroup:NodeGroup"
ROLE = "aws:iam/role:Role"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def template(volume_gib: int = 200, **changes: object) -> Tree:
    ebs = {"volumeSize": volume_gib, "volumeType": "gp3", "encrypted": "true", "deleteOnTermination": "true"}
    return {
        "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": ebs}],
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 2},
        "tagSpecifications": [{"resourceType": "instance", "tags": {"vllm-blue-green/color": "blue"}}],
        "updateDefaultVersion": True,
        "tags": {"a": "b"},
        **changes,
    }


def nodes(aws: FakeAws, desired: int = 1, **changes: object) -> Tree:
    return {
        "clusterName": aws.cluster_name,
        "nodeRoleArn": "arn:aws:iam::123456789012:role/node",
        "subnetIds": aws.subnet_ids,
        "scalingConfig": {"desiredSize": desired, "minSize": 0, "maxSize": 4},
        "instanceTypes": ["p5.48xlarge"],
        "amiType": "AL2023_x86_64_NVIDIA",
        "capacityType": "ON_DEMAND",
        "labels": {"nvidia.com/gpu": "true"},
        "taints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}],
        "tags": {"vllm-blue-green/color": "blue"},
        **changes,
    }


@pytest.fixture
def engine(aws_engine: Engine) -> Engine:
    return aws_engine


def test_a_node_group_scales_and_relabels_in_place(aws: FakeAws, engine: Engine) -> None:
    outputs = engine.up(NODES, "blue", nodes(aws))
    assert outputs["status"] == "ACTIVE"
    assert engine.deployed(NODES, "blue").id == f"{aws.cluster_name}:{outputs['nodeGroupName']}"
    outputs = engine.up(NODES, "blue", nodes(aws, 3, labels={"pool": "blue"}))
    assert engine.steps[-1].op == "update"
    live = aws.client("eks").describe_nodegroup(clusterName=aws.cluster_name, nodegroupName=outputs["nodeGroupName"])
    assert live["nodegroup"]["scalingConfig"]["desiredSize"] == 3
    assert live["nodegroup"]["labels"] == {"pool": "blue"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("instanceTypes", ["g6e.2xlarge"]), ("amiType", "AL2023_x86_64_STANDARD"), ("capacityType", "SPOT")],
)
def test_an_immutable_change_replaces_a_node_group(aws: FakeAws, engine: Engine, name: str, value: object) -> None:
    engine.up(NODES, "blue", nodes(aws))
    answer = engine.diff(NODES, "blue", {**nodes(aws), name: value})
    assert [path.split("[")[0] for path in answer.replaces] == [name]


def test_a_deleted_node_group_is_gone(aws: FakeAws, engine: Engine) -> None:
    outputs = engine.up(NODES, "blue", nodes(aws))
    engine.delete(NODES, "blue")
    assert outputs["nodeGroupName"] not in aws.client("eks").list_nodegroups(clusterName=aws.cluster_name)["nodegroups"]


def test_a_changed_launch_template_is_a_new_default_version(engine: Engine) -> None:
    outputs = engine.up(TEMPLATE, "blue", template())
    assert outputs["latestVersion"] == 1
    assert engine.preview(TEMPLATE, "blue", template(300))["latestVersion"] is UNKNOWN
    outputs = engine.up(TEMPLATE, "blue", template(300))
    assert (outputs["latestVersion"], outputs["defaultVersion"]) == (2, 2)
    assert outputs["blockDeviceMappings"][0]["ebs"]["encrypted"] == "true"


def test_new_tags_make_no_new_version_of_a_launch_template(engine: Engine) -> None:
    engine.up(TEMPLATE, "blue", template())
    outputs = engine.up(TEMPLATE, "blue", template(tags={"a": "c"}))
    assert (outputs["latestVersion"], outputs["tagsAll"]) == (1, {"a": "c"})


def test_a_refresh_without_drift_leaves_no_difference(aws: FakeAws, engine: Engine) -> None:
    for kind, inputs in ((TEMPLATE, template()), (NODES, nodes(aws)), (ROLE, {"assumeRolePolicy": TRUST})):
        engine.up(kind, "blue", inputs)
        engine.refresh(kind, "blue")
        engine.up(kind, "blue", inputs)
        assert engine.steps[-1].op == "same", (kind, engine.steps[-1])


ENDS = "2026-12-01T08:00:00Z"
RESERVATION = {"kind": "on_demand", "id": "cr-1", "subnet_id": "subnet-2", "ends": ENDS}
RESERVATION_GROUP = "arn:aws:resource-groups:us-east-1:123456789012:group/gpus"
P5 = {"instance_type": "p5.48xlarge", "gpus_per_replica": 8}
VARIANTS: dict[str, dict[str, Any]] = {
    "on demand": {},
    "for both colours": {"headroom_mode": "always", "node_groups": "shared"},
    "in a reservation": {"headroom_mode": "reserved", "blue": {"reservation": RESERVATION}},
    "in a group of reservations": {
        "headroom_mode": "reserved",
        "blue": {"reservation": {"kind": "on_demand", "resource_group_arn": RESERVATION_GROUP, "ends": ENDS}},
    },
    "in a capacity block": {
        **P5,
        "headroom_mode": "reserved",
        "blue": {"reservation": {**RESERVATION, "kind": "capacity_block"}},
    },
    "of a named AMI release": {"blue": {"node_release_version": "1.33.4-20260801"}},
}


def declared(aws: FakeAws, variant: str) -> tuple[Tree, Tree]:
    """Return the program's launch template and node group for the nodes of blue, or of both, on this AWS."""
    changes = VARIANTS[variant]
    blue = {"replicas": 2, "release": release(), **changes.get("blue", {})}
    program = run_program(**{**changes, "blue": blue})
    name = "llm" if changes.get("node_groups") == "shared" else "llm-blue"
    group = whole_numbers(program["NodeGroup", name].inputs)
    here = {"clusterName": aws.cluster_name, "nodeRoleArn": "arn:aws:iam::123456789012:role/node"}
    subnets = aws.subnet_ids[: len(group["subnetIds"])]
    return whole_numbers(program["LaunchTemplate", name].inputs), {**group, **here, "subnetIds": subnets}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_programs_nodes_reach_aws_as_declared_and_stay_as_they_are(
    aws: FakeAws, engine: Engine, variant: str
) -> None:
    template_inputs, group_inputs = declared(aws, variant)
    created = engine.up(TEMPLATE, "blue", template_inputs)
    group_inputs["launchTemplate"] = {"id": created["id"], "version": str(created["latestVersion"])}
    outputs = engine.up(NODES, "blue", group_inputs)
    for kind, inputs in ((TEMPLATE, template_inputs), (NODES, group_inputs)):
        engine.refresh(kind, "blue")
        engine.up(kind, "blue", inputs)
        assert engine.steps[-1].op == "same", (kind, engine.steps[-1])

    versions = aws.client("ec2").describe_launch_template_versions(LaunchTemplateId=created["id"], Versions=["$Latest"])
    data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    (interface,) = data["NetworkInterfaces"]
    assert (interface["AssociatePublicIpAddress"], interface["Groups"]) == (False, ["sg-0c"])
    group = aws.client("eks").describe_nodegroup(clusterName=aws.cluster_name, nodegroupName=outputs["nodeGroupName"])[
        "nodegroup"
    ]
    target = data.get("CapacityReservationSpecification", {}).get("CapacityReservationTarget")
    if "reservation" not in VARIANTS[variant].get("blue", {}):
        assert target is None
        assert "vllm-blue-green/reservation-ends" not in group["tags"]
    else:
        held = (
            {"CapacityReservationResourceGroupArn": RESERVATION_GROUP}
            if "group" in variant
            else {"CapacityReservationId": "cr-1"}
        )
        assert target == held
        assert group["tags"]["vllm-blue-green/reservation-ends"] == ENDS
    in_block = variant == "in a capacity block"
    assert group["capacityType"] == ("CAPACITY_BLOCK" if in_block else "ON_DEMAND")
    assert data.get("InstanceType") == ("p5.48xlarge" if in_block else None)
    assert data.get("InstanceMarketOptions") == ({"MarketType": "capacity-block"} if in_block else None)
    if variant == "of a named AMI release":
        assert (group["releaseVersion"], group["version"]) == ("1.33.4-20260801", "1.33")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (TEMPLATE, {"instanceMarketOptions": {"marketType": "block"}}),
        (TEMPLATE, {"capacityReservationSpecification": {"capacityReservationPreference": "only"}}),
        (TEMPLATE, {"networkInterfaces": [{"associatePublicIpAddress": "no"}]}),
        (NODES, {"nodeRepairConfig": {"enabled": True, "maxParallelNodesRepairedCount": 0}}),
        (NODES, {"capacityType": "RESERVED"}),
    ],
)
def test_values_that_aws_does_not_know_are_refused_before_a_call(
    aws: FakeAws, engine: Engine, kind: str, changes: Tree
) -> None:
    template_inputs, group_inputs = declared(aws, "on demand")
    with pytest.raises(CheckFailedError):
        engine.up(kind, "blue", {**(template_inputs if kind == TEMPLATE else group_inputs), **changes})


def test_a_trust_policy_may_be_text_in_any_format(engine: Engine) -> None:
    engine.up(ROLE, "node", {"assumeRolePolicy": TRUST})
    engine.up(ROLE, "node", {"assumeRolePolicy": json.dumps(TRUST, indent=2)})
    assert engine.steps[-1].op == "same"


def test_a_policy_attached_to_a_role_is_found_and_detached(aws: FakeAws, engine: Engine) -> None:
    iam = aws.client("iam")
    allowed = {"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    policy = iam.create_policy(PolicyName="worker", PolicyDocument=document)["Policy"]["Arn"]
    role = engine.up(ROLE, "node", {"assumeRolePolicy": TRUST})["name"]
    engine.up(ATTACHMENT, "worker", {"role": role, "policyArn": policy})
    assert engine.refresh(ATTACHMENT, "worker") is not None
    engine.delete(ATTACHMENT, "worker")
    assert not iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    engine.delete(ROLE, "node")


def test_a_security_group_allows_only_declared_egress(aws: FakeAws, engine: Engine) -> None:
    group_id = engine.up(GROUP, "alb", {"vpcId": aws.vpc_id})["id"]
    rules = {"Filters": [{"Name": "group-id", "Values": [group_id]}]}
    ec2 = aws.client("ec2")
    assert ec2.describe_security_group_rules(**rules)["SecurityGroupRules"] == []
    clients = {"securityGroupId": group_id, "ipProtocol": "tcp", "cidrIpv4": "10.0.0.0/8"}
    engine.up(INGRESS, "clients", {**clients, "fromPort": 80, "toPort": 80})
    engine.up(EGRESS, "pods", {"securityGroupId": group_id, "ipProtocol": "-1", "cidrIpv4": "0.0.0.0/0"})
    engine.up(INGRESS, "clients", {**clients, "fromPort": 443, "toPort": 443})
    assert engine.steps[-1].op == "update"
    live = ec2.describe_security_group_rules(**rules)["SecurityGroupRules"]
    assert sorted((rule["IsEgress"], rule["FromPort"]) for rule in live) == [(False, 443), (True, -1)]


def test_another_description_replaces_a_security_group(aws: FakeAws, engine: Engine) -> None:
    engine.up(GROUP, "alb", {"vpcId": aws.vpc_id, "description": "one"})
    answer = engine.diff(GROUP, "alb", {"vpcId": aws.vpc_id, "description": "two"})
    assert list(answer.replaces) == ["description"]


def test_an_alarm_changes_in_place(aws: FakeAws, engine: Engine) -> None:
    def alarm(threshold: float) -> Tree:
        return {
            "comparisonOperator": "GreaterThanThreshold",
            "evaluationPeriods": 2,
            "metricName": "UnHealthyHostCount",
            "namespace": "AWS/ApplicationELB",
            "period": 60,
            "statistic": "Maximum",
            "threshold": threshold,
            "dimensions": {"TargetGroup": "targetgroup/blue/1", "LoadBalancer": "app/alb/1"},
        }

    engine.up(ALARM, "unhealthy", alarm(0))
    outputs = engine.up(ALARM, "unhealthy", alarm(0.5))
    assert engine.steps[-1].detailed_diff == {"threshold": "update"}
    live = aws.client("cloudwatch").describe_alarms(AlarmNames=[outputs["name"]])["MetricAlarms"][0]
    assert (live["Threshold"], len(live["Dimensions"])) == (0.5, 2)
    engine.delete(ALARM, "unhealthy")
    assert not aws.client("cloudwatch").describe_alarms(AlarmNames=[outputs["name"]])["MetricAlarms"]
