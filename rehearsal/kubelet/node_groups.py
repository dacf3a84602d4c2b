"""Reads the EKS node groups of a cluster from the AWS API."""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_eks import EKSClient
    from mypy_boto3_eks.type_defs import LaunchTemplateSpecificationTypeDef as LaunchTemplate

_EFFECTS = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}


@dataclass(frozen=True, kw_only=True)
class Taint:
    """A taint as Kubernetes spells it."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet that nodes are launched into."""

    identity: str
    zone: str
    vpc: str


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """One group: what its nodes look like, and how many it wants."""

    name: str
    desired_size: int
    instance_type: str
    subnets: tuple[Subnet, ...]
    security_groups: tuple[str, ...]
    """Of the nodes and their pods; empty means the VPC's default group."""
    labels: dict[str, str]
    taints: tuple[Taint, ...]


class NodeGroupReader:
    """Reads node groups. Calls block and may raise botocore's exceptions."""

    def __init__(self, cluster_name: str) -> None:
        self._cluster_name = cluster_name
        self._template_types: dict[tuple[str, str], str] = {}
        self._subnets: dict[str, Subnet] = {}

    @cached_property
    def region(self) -> str:
        return os.environ.get("AWS_REGION", "us-east-1")

    @cached_property
    def _eks(self) -> "EKSClient":
        return boto3.client("eks", region_name=self.region)

    @cached_property
    def _ec2(self) -> "EC2Client":
        return boto3.client("ec2", region_name=self.region)

    def read(self) -> list[NodeGroup]:
        """Return all node groups; an empty list when the cluster does not exist yet."""
        try:
            names = self._eks.list_nodegroups(clusterName=self._cluster_name)["nodegroups"]
        except self._eks.exceptions.ResourceNotFoundException:
            return []
        return [self._describe(name) for name in names]

    @cached_property
    def _security_groups(self) -> tuple[str, ...]:
        """Return the cluster's own security group, which EKS gives to the nodes of a managed group."""
        cluster = self._eks.describe_cluster(name=self._cluster_name)["cluster"]
        group = cluster.get("resourcesVpcConfig", {}).get("clusterSecurityGroupId")
        return (group,) if group else ()

    def _describe(self, name: str) -> NodeGroup:
        group = self._eks.describe_nodegroup(clusterName=self._cluster_name, nodegroupName=name)["nodegroup"]
        types = group.get("instanceTypes") or []
        taints = [
            Taint(key=taint.get("key", ""), value=taint.get("value", ""), effect=_EFFECTS[taint.get("effect", "")])
            for taint in group.get("taints") or []
        ]
        return NodeGroup(
            name=name,
            desired_size=group.get("scalingConfig", {}).get("desiredSize", 0),
            instance_type=types[0] if types else self._type_in_template(group.get("launchTemplate", {})),
            subnets=tuple(self._subnet(subnet) for subnet in group.get("subnets", [])),
            security_groups=self._security_groups,
            labels=group.get("labels") or {},
            taints=tuple(taints),
        )

    def _type_in_template(self, template: "LaunchTemplate") -> str:
        # A launch template version never changes, so it is read once.
        identity, version = template.get("id", ""), template.get("version", "$Default")
        key = (identity, version)
        if key not in self._template_types or version.startswith("$"):
            answer = self._ec2.describe_launch_template_versions(LaunchTemplateId=identity, Versions=[version])
            data = answer["LaunchTemplateVersions"][0].get("LaunchTemplateData", {})
            self._template_types[key] = str(data.get("InstanceType", ""))
        return self._template_types[key]

    def _subnet(self, identity: str) -> Subnet:
        if identity not in self._subnets:
            found = self._ec2.describe_subnets(SubnetIds=[identity])["Subnets"][0]
            self._subnets[identity] = Subnet(
                identity=identity, zone=found.get("AvailabilityZone", ""), vpc=found.get("VpcId", "")
            )
        return self._subnets[identity]
