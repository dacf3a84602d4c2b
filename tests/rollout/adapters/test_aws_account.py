"""Requests to the AWS APIs, and how their answers are read. botocore checks both against the services' models."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from rollout.adapters.aws.account import AwsAccount, AwsClients
from rollout.model.account import (
    CapacityReservation,
    Launch,
    NodeGroupIssue,
    NodeGroupState,
    RunningInstance,
    Subnet,
)

GROUP = "arn:aws:resource-groups:us-east-1:123456789012:group/gpus"
ENDS = datetime(2026, 12, 3, tzinfo=UTC)


class Answers:
    """Clients that give only the answers that a test sets."""

    def __init__(self) -> None:
        keys: Any = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        names: tuple[Any, ...] = ("ec2", "eks", "autoscaling", "kms", "service-quotas", "resource-groups", "iam", "sts")
        self.clients: dict[str, Any] = {name: boto3.client(name, **keys) for name in names}
        self._stubs = {name: Stubber(client) for name, client in self.clients.items()}

    def to(self, service: str, method: str, asked: Mapping[str, Any], *answers: Mapping[str, Any]) -> AwsAccount:
        for answer in answers:
            self._stubs[service].add_response(method, dict(answer), dict(asked))
        self._stubs[service].activate()
        clients = AwsClients(**{name.replace("-", "_"): client for name, client in self.clients.items()})
        return AwsAccount(
            clients, stack="prod", service="chat", cluster_name="main", node_subnet_ids=["subnet-1", "subnet-2"]
        )


@pytest.fixture
def answers() -> Answers:
    return Answers()


def test_a_quota_is_one_of_ec2(answers: Answers) -> None:
    asked = {"ServiceCode": "ec2", "QuotaCode": "L-417A185B"}
    account = answers.to("service-quotas", "get_service_quota", asked, {"Quota": {"Value": 384.0}})
    assert account.vcpu_quota("L-417A185B") == 384.0


def test_gpu_instances_that_run_or_start_are_counted_by_their_type(answers: Answers) -> None:
    instances: list[dict[str, Any]] = [
        {"InstanceType": "g6e.2xlarge"},
        {"InstanceType": "p5.48xlarge", "InstanceLifecycle": "capacity-block"},
        {"InstanceType": "g4dn.2xlarge", "CpuOptions": {"CoreCount": 4, "ThreadsPerCore": 2}},
        {"InstanceType": "m5.large"},
    ]
    account = answers.to(
        "ec2",
        "describe_instances",
        {"Filters": [{"Name": "instance-state-name", "Values": ["pending", "running"]}]},
        {"Reservations": [{"Instances": instances}]},
    )
    assert account.instances() == [
        RunningInstance(instance_type="g6e.2xlarge", vcpus=8),
        RunningInstance(instance_type="p5.48xlarge", vcpus=192, lifecycle="capacity-block"),
        RunningInstance(instance_type="g4dn.2xlarge", vcpus=8),
    ]


def test_reservations_that_are_over_are_left_out(answers: Answers) -> None:
    def described(**changes: Any) -> dict[str, Any]:
        return {
            "CapacityReservationId": "cr-1",
            "InstanceType": "p5.48xlarge",
            "AvailabilityZone": "us-east-1b",
            "State": "active",
            "TotalInstanceCount": 2,
            "AvailableInstanceCount": 1,
            **changes,
        }

    kept = [described(), described(ReservationType="capacity-block", EndDate=ENDS), described(State="cancelled")]
    account = answers.to("ec2", "describe_capacity_reservations", {}, {"CapacityReservations": kept})
    one = CapacityReservation(
        id="cr-1", instance_type="p5.48xlarge", zone="us-east-1b", state="active", total=2, available=1, vcpus_each=192
    )
    block, *others = account.reservations()[::-1]
    assert (block.is_block, block.ends) == (True, ENDS)
    assert others == [one]


def test_of_a_resource_group_only_reservations_count(answers: Answers) -> None:
    arns = [f"arn:aws:ec2:us-east-1:123456789012:{what}" for what in ("capacity-reservation/cr-1", "instance/i-1")]
    listed = {"Resources": [{"Identifier": {"ResourceArn": arn}} for arn in arns]}
    account = answers.to("resource-groups", "list_group_resources", {"Group": GROUP}, listed)
    assert account.group_members(GROUP) == {"cr-1"}


@pytest.mark.parametrize(("ids", "asked"), [((), ["subnet-1", "subnet-2"]), (("subnet-9",), ["subnet-9"])])
def test_subnets_are_the_stack_s_unless_named(answers: Answers, ids: tuple[str, ...], asked: list[str]) -> None:
    found = {"SubnetId": "subnet-1", "AvailabilityZone": "us-east-1a", "AvailableIpAddressCount": 17}
    account = answers.to("ec2", "describe_subnets", {"SubnetIds": asked}, {"Subnets": [found]})
    assert account.subnets(ids) == [Subnet(id="subnet-1", zone="us-east-1a", free_addresses=17)]


TAGS = {"vllm-blue-green/stack": "prod", "vllm-blue-green/service": "chat", "vllm-blue-green/role": "node-group"}
ISSUE = {"code": "AsgInstanceLaunchFailures", "message": "no capacity", "resourceIds": ["eks-asg"]}


def group_of(name: str, color: str | None, **changes: Any) -> dict[str, Any]:
    tags = {**TAGS, **({} if color is None else {"vllm-blue-green/color": color})}
    return {"nodegroup": {"nodegroupName": name, "status": "ACTIVE", "tags": tags, **changes}}


def activity(number: int, status: str, description: str = "Launching a new EC2 instance: i-1") -> dict[str, Any]:
    return {
        "ActivityId": str(number),
        "AutoScalingGroupName": "eks-asg",
        "Cause": "an instance was started",
        "Description": description,
        "StartTime": datetime(2026, 12, 1, 8, number, tzinfo=UTC),
        "StatusCode": status,
        "StatusMessage": f"message {number}",
    }


def test_a_node_group_is_found_by_its_tags_with_its_issues_and_the_launches_that_have_ended(answers: Answers) -> None:
    described = group_of(
        "chat-green-1",
        "green",
        status="DEGRADED",
        health={"issues": [ISSUE]},
        resources={"autoScalingGroups": [{"name": "eks-asg"}]},
    )
    answers.to(
        "eks", "list_nodegroups", {"clusterName": "main"}, {"nodegroups": ["other", "chat-blue-1", "chat-green-1"]}
    )
    for name, answer in (("chat-blue-1", group_of("chat-blue-1", "blue")), *[("chat-green-1", described)] * 2):
        answers.to("eks", "describe_nodegroup", {"clusterName": "main", "nodegroupName": name}, answer)
    activities = [
        activity(1, "Successful"),
        activity(3, "Failed"),
        activity(2, "Cancelled"),
        activity(4, "InProgress"),
        activity(5, "Failed", "Terminating EC2 instance: i-2"),
    ]
    asked = {"AutoScalingGroupName": "eks-asg", "MaxRecords": 20}
    account = answers.to("autoscaling", "describe_scaling_activities", asked, *[{"Activities": activities}] * 2)
    state = NodeGroupState(
        name="chat-green-1",
        status="DEGRADED",
        issues=(NodeGroupIssue(code="AsgInstanceLaunchFailures", message="no capacity", resource_ids=("eks-asg",)),),
        launches=(
            Launch(id="3", failed=True, message="message 3"),
            Launch(id="2", failed=True, message="message 2"),
            Launch(id="1", failed=False, message="message 1"),
        ),
    )
    assert account.node_group("green") == state
    assert account.node_group("green") == state  # by its name, without another search


@pytest.mark.parametrize("color", [None, "green"])
def test_a_shared_group_is_the_one_without_a_colour(answers: Answers, color: Any) -> None:
    answers.to("eks", "list_nodegroups", {"clusterName": "main"}, {"nodegroups": ["chat-1", "chat-blue-1"]})
    answers.to(
        "eks", "describe_nodegroup", {"clusterName": "main", "nodegroupName": "chat-1"}, group_of("chat-1", None)
    )
    asked = {"clusterName": "main", "nodegroupName": "chat-blue-1"}
    account = answers.to("eks", "describe_nodegroup", asked, group_of("chat-blue-1", "blue"))
    found = account.node_group(color)
    assert found == (NodeGroupState(name="chat-1", status="ACTIVE") if color is None else None)


@pytest.mark.parametrize("associations", [[], [{"associationId": "a-1"}]])
def test_a_service_account_may_have_a_role_by_pod_identity(answers: Answers, associations: list[Any]) -> None:
    asked = {"clusterName": "main", "namespace": "kube-system", "serviceAccount": "aws-node"}
    account = answers.to("eks", "list_pod_identity_associations", asked, {"associations": associations})
    assert account.has_pod_identity("kube-system", "aws-node") == bool(associations)
