"""Creates what an AWS account needs before the first stack: a network, an EKS cluster, and a key for secrets."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rehearsal.aws.api import api_client

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

VPC_CIDR = "10.0.0.0/16"
"""The nodes' network. The kubelet stand-in adds a pod network, which differs from world to world."""

STACK_KEY_ALIAS = "alias/pulumi"
"""The KMS key of stacks' secrets."""


@dataclass(frozen=True)
class SeedSettings:
    endpoint_url: str
    cluster_name: str
    region: str = "us-east-1"


@dataclass(frozen=True)
class SeededAccount:
    vpc_id: str
    private_subnet_ids: list[str]
    public_subnet_ids: list[str]
    cluster_name: str
    cluster_security_group_id: str


def seed(settings: SeedSettings) -> SeededAccount:
    """Create the network, the cluster and the key."""

    def client(service: str) -> Any:
        return api_client(service, settings.endpoint_url, settings.region)

    ec2, iam, eks, kms = client("ec2"), client("iam"), client("eks"), client("kms")
    kms.create_alias(AliasName=STACK_KEY_ALIAS, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    vpc_id = str(ec2.create_vpc(CidrBlock=VPC_CIDR)["Vpc"]["VpcId"])
    zones = [f"{settings.region}a", f"{settings.region}b"]
    private = [_subnet(ec2, vpc_id, zone, f"10.0.{16 * i}.0/20", "internal-elb") for i, zone in enumerate(zones)]
    public = [_subnet(ec2, vpc_id, zone, f"10.0.{240 + i}.0/24", "elb") for i, zone in enumerate(zones)]
    role = iam.create_role(
        RoleName=f"{settings.cluster_name}-cluster",
        AssumeRolePolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "eks.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            }
        ),
    )["Role"]
    network = {"subnetIds": [*private, *public]}
    cluster = eks.create_cluster(name=settings.cluster_name, roleArn=role["Arn"], resourcesVpcConfig=network)["cluster"]
    security_group = str(cluster["resourcesVpcConfig"]["clusterSecurityGroupId"])
    return SeededAccount(vpc_id, private, public, settings.cluster_name, security_group)


def _subnet(ec2: "EC2Client", vpc_id: str, zone: str, cidr: str, role: str) -> str:
    subnet = ec2.create_subnet(
        VpcId=vpc_id,
        AvailabilityZone=zone,
        CidrBlock=cidr,
        TagSpecifications=[{"ResourceType": "subnet", "Tags": [{"Key": f"kubernetes.io/role/{role}", "Value": "1"}]}],
    )["Subnet"]
    return str(subnet.get("SubnetId"))
