"""The AWS account's capacity, read from EC2, Service Quotas and Resource Groups. Read-only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from components.domain.gpu_instances import INSTANCE_TYPES
from rollout.model.account import QUOTAS, CapacityReservation, RunningInstance, Subnet

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

_OVER: Final = ("cancelled", "expired", "failed", "payment-failed")


class AwsAccount:
    """The account, in the region of the stack's nodes."""

    def __init__(
        self,
        ec2: EC2Client,
        quotas: Any,
        groups: Any,
        *,
        node_subnet_ids: Sequence[str],
    ) -> None:
        """Use these clients of EC2, Service Quotas and Resource Groups."""
        self._ec2 = ec2
        self._quotas = quotas
        self._groups = groups
        self._node_subnet_ids = node_subnet_ids

    def vcpu_quota(self, code: str) -> float:
        """Return an EC2 quota of the region, in vCPUs."""
        return self._quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"].get("Value", 0.0)

    def instances(self) -> Sequence[RunningInstance]:
        """List the region's running and starting instances that count towards a quota of GPU types."""
        pages = self._ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        )
        return [
            _running(one)
            for page in pages
            for reservation in page["Reservations"]
            for one in reservation.get("Instances", [])
            if any(quota.covers(str(one.get("InstanceType"))) for quota in QUOTAS)
        ]

    def reservations(self) -> Sequence[CapacityReservation]:
        """List the region's capacity reservations that are not over, including those that other accounts share."""
        pages = self._ec2.get_paginator("describe_capacity_reservations").paginate()
        found: list[CapacityReservation] = []
        for one in (one for page in pages for one in page["CapacityReservations"]):
            name, state = str(one.get("InstanceType", "")), str(one.get("State", ""))
            if state in _OVER:
                continue
            known = INSTANCE_TYPES.get(name)
            found.append(
                CapacityReservation(
                    id=one.get("CapacityReservationId", ""),
                    instance_type=name,
                    zone=one.get("AvailabilityZone", ""),
                    state=state,
                    total=one.get("TotalInstanceCount", 0),
                    available=one.get("AvailableInstanceCount", 0),
                    vcpus_each=known.vcpus if known else 0,
                    is_block=one.get("ReservationType") == "capacity-block",
                    ends=one.get("EndDate"),
                )
            )
        return found

    def group_members(self, resource_group_arn: str) -> frozenset[str]:
        """Return the ids of the capacity reservations in a resource group."""
        pages = self._groups.get_paginator("list_group_resources").paginate(Group=resource_group_arn)
        arns = [one.get("Identifier", {}).get("ResourceArn", "") for page in pages for one in page.get("Resources", [])]
        return frozenset(arn.rpartition("/")[2] for arn in arns if ":capacity-reservation/" in arn)

    def subnets(self, ids: Sequence[str] = ()) -> Sequence[Subnet]:
        """Return these subnets, or the stack's node subnets if no ids are given."""
        asked = list(ids or self._node_subnet_ids)
        pages = self._ec2.get_paginator("describe_subnets").paginate(SubnetIds=asked)
        return [
            Subnet(
                id=one.get("SubnetId", ""),
                zone=one.get("AvailabilityZone", ""),
                free_addresses=one.get("AvailableIpAddressCount", 0),
            )
            for page in pages
            for one in page["Subnets"]
        ]


def _running(one: InstanceTypeDef) -> RunningInstance:
    name, cpus = str(one.get("InstanceType", "")), one.get("CpuOptions", {})
    known = INSTANCE_TYPES.get(name)
    # A quota counts all vCPUs of the type, even if some of them are disabled.
    vcpus = known.vcpus if known else cpus.get("CoreCount", 0) * cpus.get("ThreadsPerCore", 0)
    return RunningInstance(instance_type=name, vcpus=vcpus, lifecycle=one.get("InstanceLifecycle", ""))
