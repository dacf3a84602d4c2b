"""The AWS account's capacity and node groups, read from EC2, EKS, Auto Scaling and others. Read-only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from components.domain.naming import COLOR_KEY, Color, aws_tags
from components.domain.nodes.gpu_instances import INSTANCE_TYPES
from rollout.adapters.aws.credentials import read_credentials
from rollout.adapters.aws.permissions import denied_actions
from rollout.adapters.aws.volume_key import read_volume_key
from rollout.model.account import (
    QUOTAS,
    CapacityReservation,
    Credentials,
    Launch,
    NodeGroupIssue,
    NodeGroupState,
    RunningInstance,
    Subnet,
    VolumeKey,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef
    from mypy_boto3_eks.type_defs import NodegroupTypeDef

_LAUNCHES: Final = 20
"""How many of an Auto Scaling group's latest activities are read."""
# The other codes are of launches that still run.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeScalingActivities.html
_FAILED: Final = frozenset({"Failed", "Cancelled"})
_ENDED: Final = _FAILED | {"Successful"}

_OVER: Final = ("cancelled", "expired", "failed", "payment-failed")


@dataclass(frozen=True, kw_only=True)
class AwsClients:
    """The clients of the services that an account is read from."""

    ec2: EC2Client
    eks: Any
    autoscaling: Any
    kms: Any
    service_quotas: Any
    resource_groups: Any
    iam: Any
    sts: Any


class AwsAccount:
    """The account, in the region of the stack's nodes."""

    def __init__(
        self, clients: AwsClients, *, stack: str, service: str, cluster_name: str, node_subnet_ids: Sequence[str]
    ) -> None:
        """Read with these clients, for the nodes of one service of a stack."""
        self._ec2 = clients.ec2
        self._eks = clients.eks
        self._autoscaling = clients.autoscaling
        self._kms = clients.kms
        self._quotas = clients.service_quotas
        self._groups = clients.resource_groups
        self._iam = clients.iam
        self._sts = clients.sts
        self._stack = stack
        self._service = service
        self._cluster_name = cluster_name
        self._node_subnet_ids = node_subnet_ids
        self._node_group_names: dict[Color | None, str] = {}

    def credentials(self) -> Credentials:
        """Return when the credentials of this process end."""
        return read_credentials(os.environ)

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

    def volume_key(self, arn: str | None) -> VolumeKey:
        """Return a KMS key, or without an ARN the account's default key for EBS. What may not be read stays unknown."""
        return read_volume_key(self._ec2, self._kms, arn)

    def has_pod_identity(self, namespace: str, service_account: str) -> bool:
        """Return whether a service account of the cluster has an IAM role by EKS Pod Identity."""
        answer = self._eks.list_pod_identity_associations(
            clusterName=self._cluster_name, namespace=namespace, serviceAccount=service_account
        )
        return bool(answer["associations"])

    def denied_actions(
        self, service: str, boundary_arn: str | None, *, dashboard: bool, node_groups: bool
    ) -> Sequence[str]:
        """Return the actions of `pulumi up` and the scripts that IAM's policies do not allow us, by its simulation."""
        values = {
            "region": self._ec2.meta.region_name,
            "cluster": self._cluster_name,
            "service": service,
            "boundary": boundary_arn or "",
        }
        return denied_actions(self._iam, self._sts, values, dashboard=dashboard, node_groups=node_groups)

    def node_group(self, color: Color | None) -> NodeGroupState | None:
        """Return the state of a colour's node group, or of the shared one. None when there is no such group.

        The group is found by its tags, and only once: its name does not change.
        """
        group = self._node_group(color)
        if group is None:
            return None
        names = [one.get("name", "") for one in group.get("resources", {}).get("autoScalingGroups", [])]
        return NodeGroupState(
            name=group.get("nodegroupName", ""),
            status=str(group.get("status", "")),
            issues=tuple(
                NodeGroupIssue(
                    code=str(issue.get("code", "")),
                    message=issue.get("message", ""),
                    resource_ids=tuple(issue.get("resourceIds", [])),
                )
                for issue in group.get("health", {}).get("issues", [])
            ),
            launches=tuple(launch for name in names for launch in self._launches(name)),
        )

    def _node_group(self, color: Color | None) -> NodegroupTypeDef | None:
        if (known := self._node_group_names.get(color)) is not None:
            return self._describe(known)
        tags = aws_tags(self._stack, self._service, "node-group", color)
        pages = self._eks.get_paginator("list_nodegroups").paginate(clusterName=self._cluster_name)
        names = [name for page in pages for name in page["nodegroups"]]
        # The program's names begin with the service, so those are likely to be ours.
        for name in sorted(names, key=lambda name: not name.startswith(self._service)):
            group = self._describe(name)
            if _is_tagged(group.get("tags", {}), tags, color):
                self._node_group_names[color] = name
                return group
        return None

    def _describe(self, name: str) -> NodegroupTypeDef:
        described = self._eks.describe_nodegroup(clusterName=self._cluster_name, nodegroupName=name)
        return described["nodegroup"]

    def _launches(self, auto_scaling_group: str) -> Sequence[Launch]:
        """Return the latest launches that have ended, newest first."""
        answer = self._autoscaling.describe_scaling_activities(
            AutoScalingGroupName=auto_scaling_group, MaxRecords=_LAUNCHES
        )
        ended = [
            one
            for one in answer["Activities"]
            if one["StatusCode"] in _ENDED and one.get("Description", "").startswith("Launching")
        ]
        return [
            Launch(id=one["ActivityId"], failed=one["StatusCode"] in _FAILED, message=one.get("StatusMessage", ""))
            for one in sorted(ended, key=lambda one: one["StartTime"], reverse=True)
        ]


def _is_tagged(found: Mapping[str, str], tags: Mapping[str, str], color: Color | None) -> bool:
    return tags.items() <= found.items() and (color is not None or COLOR_KEY not in found)


def _running(one: InstanceTypeDef) -> RunningInstance:
    name, cpus = str(one.get("InstanceType", "")), one.get("CpuOptions", {})
    known = INSTANCE_TYPES.get(name)
    # A quota counts all vCPUs of the type, even if some of them are disabled.
    vcpus = known.vcpus if known else cpus.get("CoreCount", 0) * cpus.get("ThreadsPerCore", 0)
    return RunningInstance(instance_type=name, vcpus=vcpus, lifecycle=one.get("InstanceLifecycle", ""))
