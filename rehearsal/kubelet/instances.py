"""The EC2 instances behind the nodes, with the addresses of their pods, as AWS has them."""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import boto3

from rehearsal.kubelet.node_groups import NodeGroup

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

_GROUP_TAG = "eks:nodegroup-name"
_CLUSTER_TAG = "eks:cluster-name"
_IMAGE = "ami-0123456789abcdef0"
"""A placeholder: EKS chooses the image of a managed node, and the rehearsal does not read it."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A running instance of a managed node group."""

    identity: str
    group: str
    zone: str
    address: str

    @property
    def provider_id(self) -> str:
        """The instance's name in a Node object."""
        return f"aws:///{self.zone}/{self.identity}"


class Instances:
    """A stand-in for the node groups' Auto Scaling groups and for the VPC CNI. Calls block and may raise botocore's
    exceptions."""

    def __init__(self, cluster_name: str, pod_network: str) -> None:
        self._cluster_name = cluster_name
        self._pod_network = pod_network
        self._interfaces: dict[str, str] = {}

    @cached_property
    def _ec2(self) -> "EC2Client":
        return boto3.client("ec2", region_name=os.environ.get("AWS_REGION", "us-east-1"))

    def running(self) -> list[Instance]:
        """Return every running instance of the cluster's node groups."""
        pages = self._ec2.get_paginator("describe_instances").paginate(
            Filters=[
                {"Name": f"tag:{_CLUSTER_TAG}", "Values": [self._cluster_name]},
                {"Name": "instance-state-name", "Values": ["pending", "running"]},
            ]
        )
        return [
            _instance(one)
            for page in pages
            for reservation in page["Reservations"]
            for one in reservation.get("Instances", [])
        ]

    def launch(self, group: NodeGroup, number: int) -> Instance:
        """Launch one more instance of a group. Consecutive numbers spread over the group's subnets."""
        subnet = group.subnets[number % len(group.subnets)]
        self._open_pod_network(subnet.vpc)
        tags = {
            _CLUSTER_TAG: self._cluster_name,
            _GROUP_TAG: group.name,
            f"kubernetes.io/cluster/{self._cluster_name}": "owned",
        }
        answer = self._ec2.run_instances(
            ImageId=_IMAGE,
            InstanceType=group.instance_type,  # pyright: ignore[reportArgumentType] - a name from the API
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": subnet.identity,
                    "Groups": group.security_groups,
                    "DeleteOnTermination": True,
                }
            ],
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ],
        )
        return _instance(answer["Instances"][0])

    def terminate(self, instance: str) -> None:
        """Terminate the instance with this id."""
        self._ec2.terminate_instances(InstanceIds=[instance])

    def add_address(self, instance: str, address: str) -> None:
        """Add a pod's address to its instance, unless the instance already has it."""
        self._ec2.assign_private_ip_addresses(
            NetworkInterfaceId=self._interface(instance), PrivateIpAddresses=[address], AllowReassignment=True
        )

    def remove_address(self, instance: str, address: str) -> None:
        """Remove a pod's address from its instance."""
        self._ec2.unassign_private_ip_addresses(
            NetworkInterfaceId=self._interface(instance), PrivateIpAddresses=[address]
        )

    def _interface(self, instance: str) -> str:
        if instance not in self._interfaces:
            found = self._ec2.describe_instances(InstanceIds=[instance])["Reservations"][0].get("Instances", [])
            self._interfaces[instance] = found[0].get("NetworkInterfaces", [])[0].get("NetworkInterfaceId", "")
        return self._interfaces[instance]

    def _open_pod_network(self, vpc: str) -> None:
        """Add the pods' network to the VPC, as the VPC CNI's custom networking requires."""
        found = self._ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0].get("CidrBlockAssociationSet", [])
        if self._pod_network not in [association.get("CidrBlock") for association in found]:
            self._ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=self._pod_network)


def _instance(described: "InstanceTypeDef") -> Instance:
    tags = {tag.get("Key"): tag.get("Value") for tag in described.get("Tags", [])}
    return Instance(
        identity=described.get("InstanceId", ""),
        group=tags.get(_GROUP_TAG) or "",
        zone=described.get("Placement", {}).get("AvailabilityZone", ""),
        address=described.get("PrivateIpAddress", ""),
    )
