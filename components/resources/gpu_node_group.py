"""The GPU nodes of one colour, or of both: a managed node group with its launch template and IAM role.

What replaces nodes in place is pinned or in plain sight: the launch template is named by its version, which a preview
shows when it changes; the AMI release and with it the Kubernetes version are a setting of the colour
(``node_release_version``; left out, EKS takes the newest when it makes the group and whenever the launch template
changes, never by itself); and an update is never forced past a disruption budget.

``desired_size`` is the program's: there is no autoscaler. One that resized the group would be undone by the next
update.

**One group for each colour, or one for both, is a choice for good.** The two kinds share no resource, and going from
one to the other takes the serving nodes away while pods move, which ``protect`` refuses. To change it, declare the
service anew under another name, with the other kind, move its clients there, and then remove the old one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, eks, iam

from components.config.reservation import Reservation
from components.domain.capacity import PoolSize
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
    """What the nodes are, where and how many; the volume is in GiB.

    Without a colour the nodes are for both. ``serves`` says whether replicas run on them; the traffic is not looked
    at, so that shifting it changes no node group. Without a reservation they are plain On-Demand instances, without a
    release version of the newest AMI.
    """

    service: str
    color: Color | None
    cluster_name: pulumi.Input[str]
    cluster_security_group_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    instance_type: str
    volume_gib: int
    pool: PoolSize
    serves: bool
    reservation: Reservation | None = None
    release_version: str | None = None
    vpc_cni_uses_node_role: bool = False
    permissions_boundary_arn: str | None = None
    protect: bool = False
    after: Sequence[pulumi.Resource] = ()
    guards: pulumi.ResourceHookBinding | None = None


class GpuNodeGroup(pulumi.ComponentResource):
    """A group of nodes; one for each colour, so that shrinking one never takes a node of the other, unless shared.

    With ``protect``, a group that has nodes can be neither deleted nor replaced. An empty one can: to move it to
    another instance type, other subnets or another kind of capacity, retire the colour first.
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
                "reservation_ends": reservation and reservation.ends,
            }
        )

    def _create_role(self) -> tuple[iam.Role, list[iam.RolePolicyAttachment]]:
        """Let nodes join the cluster and pull images; pods cannot borrow the role, see the metadata options."""
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
            # One hop keeps the node's credentials from pods: an answer does not survive the way into their network.
            metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            network_interfaces=[
                ec2.LaunchTemplateNetworkInterfaceArgs(
                    device_index=0,
                    # Whatever the subnet says.
                    associate_public_ip_address="false",
                    delete_on_termination="true",
                    # EKS adds the cluster's group only where a template says nothing of groups.
                    security_groups=[args.cluster_security_group_id],
                )
            ],
            block_device_mappings=[
                ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_size=args.volume_gib, volume_type="gp3", encrypted="true", delete_on_termination="true"
                    ),
                )
            ],
            # EKS wants a block's instance type here, and any other one in the node group.
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
        # The end is a tag of the group alone: on the instances, a later end would be a new launch template version.
        ends = {RESERVATION_ENDS_KEY: reservation.ends} if reservation else {}
        return eks.NodeGroup(
            self._name,
            cluster_name=args.cluster_name,
            node_role_arn=role.arn,
            subnet_ids=[reservation.subnet_id] if reservation and reservation.subnet_id else args.subnet_ids,
            ami_type="AL2023_x86_64_NVIDIA",
            # EKS wants the Kubernetes version of an AMI release beside it.
            release_version=args.release_version,
            version=args.release_version and args.release_version.rpartition(".")[0],
            force_update_version=False,
            capacity_type="CAPACITY_BLOCK" if in_block else "ON_DEMAND",
            instance_types=None if in_block else [args.instance_type],
            launch_template=eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str)),
            scaling_config=eks.NodeGroupScalingConfigArgs(
                min_size=args.pool.min_nodes, desired_size=args.pool.desired_nodes, max_size=args.pool.max_nodes
            ),
            labels=node_labels(args.service, args.color),
            # Only pods that ask for a GPU may sit on these nodes; the value is what NVIDIA's own daemonsets tolerate.
            taints=[eks.NodeGroupTaintArgs(key=GPU_RESOURCE, value="present", effect="NO_SCHEDULE")],
            update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1, update_strategy=_update_strategy(args)),
            # At its defaults EKS may repair several nodes of a small group at once.
            node_repair_config=eks.NodeGroupNodeRepairConfigArgs(enabled=True, max_parallel_nodes_repaired_count=1),
            tags={**self._tags, **ends},
            # Without its policies a node cannot join, nor leave in good order.
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*policies, *args.after],
                protect=args.protect and args.pool.desired_nodes > 0,
                hooks=args.guards,
            ),
        )


def node_labels(service: str, color: Color | None) -> Mapping[str, str]:
    """Return the labels of a group's nodes; NVIDIA's device plugin looks for the first."""
    return {GPU_LABEL: "true", **pool_labels(service, color)}


def _update_strategy(args: GpuNodeGroupArgs) -> str:
    """Choose how EKS replaces nodes in place.

    ``MINIMAL`` ends a node before it starts the next one. That costs no GPU beyond the group's, but is only for nodes
    on which nothing runs: a group of its own whose colour has no replicas. ``DEFAULT`` starts new nodes first; where
    there is no capacity for them, the update fails and the old nodes serve on. A group that both colours share always
    has the serving one's replicas on it.
    """
    return "DEFAULT" if args.serves or args.color is None else "MINIMAL"


def _only_in(reservation: Reservation) -> ec2.LaunchTemplateCapacityReservationSpecificationArgs:
    """Target the reservation and nothing else: a node that started outside it would be paid for twice."""
    return ec2.LaunchTemplateCapacityReservationSpecificationArgs(
        capacity_reservation_preference="capacity-reservations-only",
        capacity_reservation_target=ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs(
            capacity_reservation_id=reservation.id,
            capacity_reservation_resource_group_arn=reservation.resource_group_arn,
        ),
    )


def _policy_arn(role: iam.Role, policy: str) -> pulumi.Output[str]:
    """Name one of AWS's own policies in the partition that the role is in (aws, aws-us-gov), without asking AWS."""
    return role.arn.apply(lambda arn: f"arn:{arn.split(':')[1]}:iam::aws:policy/{policy}")
