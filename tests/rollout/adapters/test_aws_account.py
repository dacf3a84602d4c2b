"""Requests to the AWS APIs, and how their answers are read. botocore checks both against the services' models."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from rollout.adapters.aws.account import AwsAccount
from rollout.model.account import CapacityReservation, RunningInstance, Subnet

GROUP = "arn:aws:resource-groups:us-east-1:123456789012:group/gpus"
ENDS = datetime(2026, 12, 3, tzinfo=UTC)


class Answers:
    """Clients that give only the answers that a test sets."""

    def __init__(self) -> None:
        keys: Any = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        names: tuple[Any, ...] = ("ec2", "service-quotas", "resource-groups")
        self.clients: dict[str, Any] = {name: boto3.client(name, **keys) for name in names}
        self._stubs = {name: Stubber(client) for name, client in self.clients.items()}

    def to(self, service: str, method: str, asked: Mapping[str, Any], *answers: Mapping[str, Any]) -> AwsAccount:
        for answer in answers:
            self._stubs[service].add_response(method, dict(answer), dict(asked))
        self._stubs[service].activate()
        return AwsAccount(*self.clients.values(), node_subnet_ids=["subnet-1", "subnet-2"])


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
