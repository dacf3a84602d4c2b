"""The GPU nodes of one colour, or of both: a managed node group with its launch template and IAM role.

Changes that replace nodes in place are pinned or visible. The node group names its launch template by version, so a
preview shows a new version. The AMI release, and with it the Kubernetes version, is a setting of the colour
(``node_release_version``). Without it, EKS uses the newest release when it creates the group and when the launch
template changes, but never changes it on its own. An update is never forced past a disruption budget.

The program owns ``desired_size``: there is no autoscaler. The next update would undo the changes of one.

**One group per colour, or one for both, cannot be changed later.** The two layouts share no resource. Changing from
one to the other would remove the serving nodes while pods move, and ``protect`` refuses that. To change the layout,
declare a second service with the other layout, move the clients there, and then remove the first service.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_aws import ec2, eks, iam

from components.config.sections.node_settings import SCRIPT, NodeSettings
from components.config.sections.reservation import Reservation
from components.domain.capacity.capacity import PoolSize
from components.domain.moments import format_rfc3339
from components.domain.naming import (
    GPU_LABEL,
    GPU_RESOURCE,
    RESERVATION_ENDS_KEY,
    Color,
    aws_tags,
    color_name,
    pool_labels,
)

_ASSUME_BY_EC2 = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ],
    }
)


@dataclass(frozen=True, kw_only=True)
class GpuNodeGroupArgs:
    """Type, place and number of the nodes; the volume is in GiB.

    Without a colour, the nodes are for both colours. ``in_use`` says whether replicas may run on the nodes. It depends
    neither on the weights nor on parking, so neither changes a node group. Without a reservation, the nodes are plain
    On-Demand instances. Without a release version, they use the newest AMI release.
    """

    service: str
    color: Color | None
    cluster_name: pulumi.Input[str]
    cluster_security_group_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    instance_type: str
    volume_gib: int
    pool: PoolSize
    in_use: bool
    fallback_instance_types: Sequence[str] = ()
    reservation: Reservation | None = None
    release_version: str | None = None
    nodes: NodeSettings = field(default_factory=NodeSettings)
    vpc_cni_uses_node_role: bool = False
    permissions_boundary_arn: str | None = None
    protect: bool = False
    after: Sequence[pulumi.Resource] = ()
    guards: pulumi.ResourceHookBinding | None = None


class GpuNodeGroup(pulumi.ComponentResource):
    """A node group of one colour, or of both. Shrinking a colour's own group never removes the other colour's nodes.

    With ``protect``, a group that has nodes can be neither deleted nor replaced, but an empty group can. So to move a
    group to another instance type, other subnets or another kind of capacity, retire the colour first.
    """

    TYPE = "vllm-blue-green:index:GpuNodeGroup"

    node_group: eks.NodeGroup

    def __init__(self, name: str, args: GpuNodeGroupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, {}, opts)
        self._name = name
        self._args = args
        self._tags = aws_tags(pulumi.get_stack(), args.service, "node-group", args.color)
        role, policies = self._create_role()
        template = self._create_launch_template()
        self.node_group = self._create_node_group(role, template, policies)
        reservation = args.reservation
        self.register_outputs(
            {
                "node_group_name": self.node_group.node_group_name,
                "reservation_ends": reservation and format_rfc3339(reservation.ends),
            }
        )

    def _create_role(self) -> tuple[iam.Role, list[iam.RolePolicyAttachment]]:
        """Create the role with which nodes join the cluster and pull images. The metadata options keep pods from it."""
        role = iam.Role(
            self._name,
            assume_role_policy=_ASSUME_BY_EC2,
            permissions_boundary=self._args.permissions_boundary_arn,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        policies = {"worker": "AmazonEKSWorkerNodePolicy", "images": "AmazonEC2ContainerRegistryPullOnly"}
        if self._args.vpc_cni_uses_node_role:
            policies["network"] = "AmazonEKS_CNI_Policy"
        if self._args.nodes.ssm_access:
            policies["sessions"] = "AmazonSSMManagedInstanceCore"
        return role, [
            iam.RolePolicyAttachment(
                f"{self._name}-{purpose}",
                role=role.name,
                policy_arn=_policy_arn(role, policy),
                opts=pulumi.ResourceOptions(parent=self),
            )
            for purpose, policy in policies.items()
        ]

    def _create_launch_template(self) -> ec2.LaunchTemplate:
        args = self._args
        in_block = args.reservation is not None and args.reservation.kind == "capacity_block"
        whose = args.service if args.color is None else color_name(args.service, args.color)
        return ec2.LaunchTemplate(
            self._name,
            description=f"GPU nodes of {whose}",
            # One hop keeps the node's credentials from pods: the metadata answer cannot reach their network.
            # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html#imds-considerations
            # Left out, the account's default holds for the tags. Where it is `enabled`, EC2 refuses tag keys with a
            # slash, so no node starts. https://github.com/aws/karpenter-provider-aws/pull/7012
            metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled",
                http_tokens="required",
                http_put_response_hop_limit=1,
                instance_metadata_tags="disabled",
            ),
            network_interfaces=[
                ec2.LaunchTemplateNetworkInterfaceArgs(
                    device_index=0,
                    # This overrides the subnet's setting.
                    associate_public_ip_address="false",
                    delete_on_termination="true",
                    # EKS adds the cluster security group only if a template names no security groups.
                    # https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html
                    security_groups=[args.cluster_security_group_id, *args.nodes.security_group_ids],
                )
            ],
            block_device_mappings=list(_volumes(args)),
            user_data=_user_data(args.nodes),
            # EKS requires the instance type here for a Capacity Block; otherwise it is in the node group.
            # https://docs.aws.amazon.com/eks/latest/userguide/capacity-blocks-mng.html
            instance_type=args.instance_type if in_block else None,
            instance_market_options=(
                ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type="capacity-block") if in_block else None
            ),
            capacity_reservation_specification=_only_in(args.reservation) if args.reservation else None,
            tag_specifications=[
                ec2.LaunchTemplateTagSpecificationArgs(
                    resource_type=resource_type, tags={**self._tags, "Name": self._name}
                )
                for resource_type in ("instance", "volume", "network-interface")
            ],
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.after, hooks=args.guards),
        )

    def _create_node_group(
        self, role: iam.Role, template: ec2.LaunchTemplate, policies: Sequence[pulumi.Resource]
    ) -> eks.NodeGroup:
        args, reservation = self._args, self._args.reservation
        in_block = reservation is not None and reservation.kind == "capacity_block"
        # Only the group has the end as a tag: as an instance tag, a new end would make a new launch template version.
        ends = {RESERVATION_ENDS_KEY: format_rfc3339(reservation.ends)} if reservation else {}
        return eks.NodeGroup(
            self._name,
            cluster_name=args.cluster_name,
            node_role_arn=role.arn,
            subnet_ids=[reservation.subnet_id] if reservation and reservation.subnet_id else args.subnet_ids,
            ami_type=args.nodes.ami_type,
            # EKS requires the Kubernetes version together with an AMI release.
            release_version=args.release_version,
            version=args.release_version and args.release_version.rpartition(".")[0],
            force_update_version=False,
            capacity_type="CAPACITY_BLOCK" if in_block else "ON_DEMAND",
            # EKS takes On-Demand instances in this order.
            # https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html
            instance_types=None if in_block else [args.instance_type, *args.fallback_instance_types],
            launch_template=eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str)),
            scaling_config=eks.NodeGroupScalingConfigArgs(
                min_size=args.pool.min_nodes, desired_size=args.pool.desired_nodes, max_size=args.pool.max_nodes
            ),
            labels=node_labels(args.service, args.color),
            # Only pods that request a GPU may run on these nodes. NVIDIA's daemonsets tolerate the taint's value.
            # https://github.com/NVIDIA/k8s-device-plugin/blob/main/deployments/helm/nvidia-device-plugin/values.yaml
            taints=[eks.NodeGroupTaintArgs(key=GPU_RESOURCE, value="present", effect="NO_SCHEDULE")],
            update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1, update_strategy=_update_strategy(args)),
            # By default, EKS may repair several nodes of a small group at once.
            node_repair_config=eks.NodeGroupNodeRepairConfigArgs(enabled=True, max_parallel_nodes_repaired_count=1),
            tags={**self._tags, **ends},
            # Without these policies, a node can neither join the cluster nor leave it cleanly.
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*policies, *args.after],
                protect=args.protect and args.pool.desired_nodes > 0,
                hooks=args.guards,
            ),
        )


def node_labels(service: str, color: Color | None) -> Mapping[str, str]:
    """Return the labels of a group's nodes; NVIDIA's device plugin selects nodes by the first one."""
    return {GPU_LABEL: "true", **pool_labels(service, color)}


def _update_strategy(args: GpuNodeGroupArgs) -> str:
    """Return how EKS replaces nodes in place.

    ``MINIMAL`` ends a node before it starts the next one. It needs no extra GPUs, but is only for nodes that are not
    in use. ``DEFAULT`` starts new nodes first. If there is no capacity for them, the update fails and the old nodes
    keep serving. A shared group always runs the replicas of the serving colour, so it uses ``DEFAULT``.

    The strategy does not depend on whether replicas run: then parking a colour would update its node group, which EKS
    refuses while it updates the group itself, for example while nodes cannot start.
    https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html
    https://github.com/aws/containers-roadmap/issues/2204
    """
    return "DEFAULT" if args.in_use or args.color is None else "MINIMAL"


def _volumes(args: GpuNodeGroupArgs) -> Iterator[ec2.LaunchTemplateBlockDeviceMappingArgs]:
    """Yield the volumes of a node. Bottlerocket's images and pods are on its second one.

    https://github.com/bottlerocket-os/bottlerocket/blob/develop/README.md
    """
    nodes = args.nodes
    if nodes.is_bottlerocket:
        system = ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
            volume_type="gp3", encrypted="true", kms_key_id=nodes.volume_kms_key_arn, delete_on_termination="true"
        )
        yield ec2.LaunchTemplateBlockDeviceMappingArgs(device_name="/dev/xvda", ebs=system)
    data = ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
        volume_size=args.volume_gib,
        volume_type="gp3",
        iops=nodes.volume_iops,
        throughput=nodes.volume_mib_per_second,
        encrypted="true",
        kms_key_id=nodes.volume_kms_key_arn,
        delete_on_termination="true",
    )
    device_name = "/dev/xvdb" if nodes.is_bottlerocket else "/dev/xvda"
    yield ec2.LaunchTemplateBlockDeviceMappingArgs(device_name=device_name, ebs=data)


_BOUNDARY = "vllm-blue-green"
# nodeadm puts the kubelet's, containerd's and the pods' logs folders on the array.
# https://awslabs.github.io/amazon-eks-ami/nodeadm/doc/api/#localstorageoptions
_INSTANCE_STORE = """\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  instance:
    localStorage:
      strategy: RAID0
"""


def _user_data(nodes: NodeSettings) -> str | None:
    """Return the nodes' user data as EC2 takes it, in base64. None when there is none.

    EKS adds what a node needs to join, so AL2023's must be a MIME archive, and Bottlerocket's TOML. nodeadm merges all
    NodeConfigs of the archive; of two values, the later one holds.
    https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html#launch-template-user-data
    https://awslabs.github.io/amazon-eks-ami/nodeadm/doc/examples/#merging-multiple-configuration-objects
    """
    if nodes.is_bottlerocket:
        return nodes.user_data and b64encode(nodes.user_data.encode()).decode()
    parts = [_INSTANCE_STORE] if nodes.instance_store else []
    parts += [nodes.user_data] if nodes.user_data else []
    if not parts:
        return None
    lines = ["MIME-Version: 1.0", f'Content-Type: multipart/mixed; boundary="{_BOUNDARY}"', ""]
    for part in parts:
        kind = 'text/x-shellscript; charset="utf-8"' if part.startswith(SCRIPT) else "application/node.eks.aws"
        lines += [f"--{_BOUNDARY}", f"Content-Type: {kind}", "", part]
    return b64encode("\n".join([*lines, f"--{_BOUNDARY}--", ""]).encode()).decode()


def _only_in(reservation: Reservation) -> ec2.LaunchTemplateCapacityReservationSpecificationArgs:
    """Return a specification that allows only the reservation: a node outside it would be paid for in addition.

    A target alone is not enough for a group of On-Demand Capacity Reservations: without free capacity in the group, a
    node would start as a plain On-Demand instance. The preference prevents that, and it is the only one that EC2 takes
    together with a target. EKS shows a Capacity Block with its target alone.
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/cr-groups-launch.html
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityReservationSpecification.html
    https://docs.aws.amazon.com/eks/latest/userguide/capacity-blocks-mng.html
    """
    on_demand = reservation.kind == "on_demand"
    return ec2.LaunchTemplateCapacityReservationSpecificationArgs(
        capacity_reservation_preference="capacity-reservations-only" if on_demand else None,
        capacity_reservation_target=ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs(
            capacity_reservation_id=reservation.id,
            capacity_reservation_resource_group_arn=reservation.resource_group_arn,
        ),
    )


def _policy_arn(role: iam.Role, policy: str) -> pulumi.Output[str]:
    """Return the ARN of an AWS managed policy in the role's partition (aws, aws-us-gov), without a call to AWS."""
    return role.arn.apply(lambda arn: f"arn:{arn.split(':')[1]}:iam::aws:policy/{policy}")
