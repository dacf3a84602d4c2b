"""The rehearsal's changes to moto's clusters, inside its process."""

from typing import Any

from moto.ec2.models import ec2_backends
from moto.eks import models as eks


def install() -> None:
    """Patch moto's classes. Call once in a process, before its server takes requests."""
    _patch_cluster_security_group()


def _patch_cluster_security_group() -> None:
    """Give each cluster a security group for its nodes and pods, as EKS does; moto makes none."""
    create = eks.EKSBackend.create_cluster

    def create_cluster(self: eks.EKSBackend, name: str, *args: Any, **kwargs: Any) -> eks.Cluster:
        cluster = create(self, name, *args, **kwargs)
        network: dict[str, Any] = cluster.resources_vpc_config
        if network.get("subnetIds"):
            ec2 = ec2_backends[self.account_id][self.region_name]
            network["vpcId"] = ec2.get_subnet(network["subnetIds"][0]).vpc_id
            group = ec2.create_security_group(
                f"eks-cluster-sg-{name}",
                f"Nodes and pods of the cluster {name}",
                vpc_id=network["vpcId"],
                tags={f"kubernetes.io/cluster/{name}": "owned"},
            )
            network["clusterSecurityGroupId"] = group.id
        return cluster

    eks.EKSBackend.create_cluster = create_cluster
