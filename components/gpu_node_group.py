"""The GPU nodes of one colour: a managed node group with its launch template and IAM role."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, eks, iam

from components.capacity import PoolSize
from components.naming import COLOR_KEY, GPU_LABEL, GPU_RESOURCE, SERVICE_KEY, Color, aws_tags, color_name

_POLICY_ARN = "arn:aws:iam::aws:policy/"
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
    """What the nodes of one colour are and how many; the volume is in GiB."""

    service: str
    color: Color
    cluster_name: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    instance_type: str
    volume_gib: int
    pool: PoolSize
    vpc_cni_uses_node_role: bool = False
    protect: bool = False
    after: Sequence[pulumi.Resource] = ()
    guards: pulumi.ResourceHookBinding | None = None


class GpuNodeGroup(pulumi.ComponentResource):
    """One colour's nodes; a group of its own, so that shrinking one colour never takes a node of the other."""

    TYPE = "vllm-blue-green:index:GpuNodeGroup"

    node_group: eks.NodeGroup

    def __init__(self, name: str, args: GpuNodeGroupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, {}, opts)
        self._name = name
        self._tags = aws_tags(pulumi.get_stack(), args.service, "node-group", args.color)
        role, policies = self._create_role(args)
        template = self._create_launch_template(args)
        self.node_group = self._create_node_group(args, role, template, policies)
        self.register_outputs({"node_group_name": self.node_group.node_group_name})

    def _create_role(self, args: GpuNodeGroupArgs) -> tuple[iam.Role, list[iam.RolePolicyAttachment]]:
        """Let nodes join the cluster and pull images; pods cannot borrow the role, see the metadata options."""
        role = iam.Role(
            self._name,
            assume_role_policy=_ASSUME_BY_EC2,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        policies = {"worker": "AmazonEKSWorkerNodePolicy", "images": "AmazonEC2ContainerRegistryPullOnly"}
        if args.vpc_cni_uses_node_role:
            policies["network"] = "AmazonEKS_CNI_Policy"
        return role, [
            iam.RolePolicyAttachment(
                f"{self._name}-{purpose}",
                role=role.name,
                policy_arn=_POLICY_ARN + policy,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for purpose, policy in policies.items()
        ]

    def _create_launch_template(self, args: GpuNodeGroupArgs) -> ec2.LaunchTemplate:
        return ec2.LaunchTemplate(
            self._name,
            description=f"GPU nodes of {color_name(args.service, args.color)}",
            # One hop keeps the node's credentials from pods: an answer does not survive the way into their network.
            metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            block_device_mappings=[
                ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_size=args.volume_gib, volume_type="gp3", encrypted="true", delete_on_termination="true"
                    ),
                )
            ],
            tag_specifications=[
                ec2.LaunchTemplateTagSpecificationArgs(
                    resource_type=resource_type, tags={**self._tags, "Name": self._name}
                )
                for resource_type in ("instance", "volume")
            ],
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.after, hooks=args.guards),
        )

    def _create_node_group(
        self,
        args: GpuNodeGroupArgs,
        role: iam.Role,
        template: ec2.LaunchTemplate,
        policies: Sequence[pulumi.Resource],
    ) -> eks.NodeGroup:
        return eks.NodeGroup(
            self._name,
            cluster_name=args.cluster_name,
            node_role_arn=role.arn,
            subnet_ids=args.subnet_ids,
            ami_type="AL2023_x86_64_NVIDIA",
            capacity_type="ON_DEMAND",
            instance_types=[args.instance_type],
            launch_template=eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str)),
            scaling_config=eks.NodeGroupScalingConfigArgs(
                min_size=args.pool.min_nodes, desired_size=args.pool.desired_nodes, max_size=args.pool.max_nodes
            ),
            labels=node_labels(args.service, args.color),
            # Only pods that ask for a GPU may sit on these nodes; the value is what NVIDIA's own daemonsets tolerate.
            taints=[eks.NodeGroupTaintArgs(key=GPU_RESOURCE, value="present", effect="NO_SCHEDULE")],
            # The other strategy launches a spare node first, and there is no spare GPU.
            update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1, update_strategy="MINIMAL"),
            node_repair_config=eks.NodeGroupNodeRepairConfigArgs(enabled=True),
            tags=self._tags,
            # Without its policies a node cannot join, nor leave in good order.
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[*policies, *args.after], protect=args.protect, hooks=args.guards
            ),
        )


def node_labels(service: str, color: Color) -> Mapping[str, str]:
    """Return the labels of one colour's nodes; NVIDIA's device plugin looks for the first."""
    return {GPU_LABEL: "true", SERVICE_KEY: service, COLOR_KEY: color}
