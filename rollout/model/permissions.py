"""The actions of AWS that the scripts and `pulumi up` call, as docs/permissions.md allows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Need:
    """Actions that one statement of the policies allows, on an example of the resources that it names."""

    sid: str
    """The statement's name."""
    actions: tuple[str, ...]
    resource: str = "*"
    """The ARN, with ``{partition}``, ``{region}``, ``{account}``, ``{cluster}`` and ``{service}``."""
    context: Mapping[str, str] = field(default_factory=dict[str, str])
    """The values that the statement's condition asks for. One is ``{boundary}``."""
    for_dashboard: bool = False
    """Whether only a service with a dashboard needs them."""
    for_node_groups: bool = False
    """Whether only a service needs them whose nodes the program declares."""


# Two are left out: the records' bucket, which taking the lock tries, and the topic of notifications, which only some
# stacks have, and without which a command goes on.
NEEDS: Final = (
    Need(
        sid="SeeTheLoadBalancer",
        actions=(
            "elasticloadbalancing:DescribeListeners",
            "elasticloadbalancing:DescribeLoadBalancerAttributes",
            "elasticloadbalancing:DescribeLoadBalancers",
            "elasticloadbalancing:DescribeRules",
            "elasticloadbalancing:DescribeTags",
            "elasticloadbalancing:DescribeTargetHealth",
        ),
    ),
    Need(
        sid="RollBack",
        actions=("elasticloadbalancing:ModifyRule",),
        resource="arn:{partition}:elasticloadbalancing:{region}:{account}:listener-rule/app/{service}/1/2/3",
        context={"aws:ResourceTag/vllm-blue-green/role": "weighted-rule"},
    ),
    Need(
        sid="Judge",
        actions=("cloudwatch:GetMetricData",),
    ),
    Need(
        sid="CheckBeforeARollout",
        actions=(
            "autoscaling:DescribeScalingActivities",
            "ec2:DescribeCapacityReservations",
            "ec2:DescribeInstances",
            "ec2:DescribeSubnets",
            "ec2:GetEbsDefaultKmsKeyId",
            "eks:DescribeNodegroup",
            "eks:ListNodegroups",
            "eks:ListPodIdentityAssociations",
            "kms:DescribeKey",
            "kms:GetKeyPolicy",
            "kms:ListGrants",
            "resource-groups:ListGroupResources",
            "servicequotas:GetServiceQuota",
        ),
    ),
    Need(
        sid="CheckOwnPermissions",
        actions=("iam:GetRole", "iam:SimulatePrincipalPolicy", "sts:GetCallerIdentity"),
    ),
    Need(
        sid="See",
        actions=(
            "cloudwatch:DescribeAlarms",
            "cloudwatch:ListTagsForResource",
            "ec2:DescribeAccountAttributes",
            "ec2:DescribeAddresses",
            "ec2:DescribeInternetGateways",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:DescribeLaunchTemplates",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroupRules",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
            "elasticloadbalancing:DescribeCapacityReservation",
            "elasticloadbalancing:DescribeListenerAttributes",
            "elasticloadbalancing:DescribeListeners",
            "elasticloadbalancing:DescribeLoadBalancerAttributes",
            "elasticloadbalancing:DescribeLoadBalancers",
            "elasticloadbalancing:DescribeRules",
            "elasticloadbalancing:DescribeTags",
            "elasticloadbalancing:DescribeTargetGroupAttributes",
            "elasticloadbalancing:DescribeTargetGroups",
        ),
    ),
    Need(
        sid="LoadBalancersRulesAndTargetGroups",
        actions=(
            "elasticloadbalancing:AddTags",
            "elasticloadbalancing:CreateListener",
            "elasticloadbalancing:CreateLoadBalancer",
            "elasticloadbalancing:CreateRule",
            "elasticloadbalancing:CreateTargetGroup",
            "elasticloadbalancing:DeleteListener",
            "elasticloadbalancing:DeleteLoadBalancer",
            "elasticloadbalancing:DeleteRule",
            "elasticloadbalancing:DeleteTargetGroup",
            "elasticloadbalancing:ModifyListener",
            "elasticloadbalancing:ModifyListenerAttributes",
            "elasticloadbalancing:ModifyLoadBalancerAttributes",
            "elasticloadbalancing:ModifyRule",
            "elasticloadbalancing:ModifyTargetGroup",
            "elasticloadbalancing:ModifyTargetGroupAttributes",
            "elasticloadbalancing:RemoveTags",
            "elasticloadbalancing:SetRulePriorities",
            "elasticloadbalancing:SetSecurityGroups",
            "elasticloadbalancing:SetSubnets",
        ),
        resource="arn:{partition}:elasticloadbalancing:{region}:{account}:loadbalancer/app/{service}/1",
    ),
    Need(
        sid="SecurityGroupsAndLaunchTemplates",
        actions=(
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateLaunchTemplate",
            "ec2:CreateLaunchTemplateVersion",
            "ec2:CreateSecurityGroup",
            "ec2:CreateTags",
            "ec2:DeleteLaunchTemplate",
            "ec2:DeleteSecurityGroup",
            "ec2:DeleteTags",
            "ec2:ModifyLaunchTemplate",
            "ec2:ModifySecurityGroupRules",
            "ec2:RevokeSecurityGroupEgress",
            "ec2:RevokeSecurityGroupIngress",
            "ec2:RunInstances",
        ),
        resource="arn:{partition}:ec2:{region}:{account}:security-group/sg-1",
    ),
    Need(
        sid="NodeGroups",
        actions=(
            "eks:CreateNodegroup",
            "eks:DeleteNodegroup",
            "eks:DescribeNodegroup",
            "eks:DescribeUpdate",
            "eks:TagResource",
            "eks:UntagResource",
            "eks:UpdateNodegroupConfig",
            "eks:UpdateNodegroupVersion",
        ),
        resource="arn:{partition}:eks:{region}:{account}:cluster/{cluster}",
        for_node_groups=True,
    ),
    Need(
        sid="NodeRolesInTheirBoundary",
        actions=(
            "iam:CreateRole",
            "iam:PutRolePermissionsBoundary",
        ),
        resource="arn:{partition}:iam::{account}:role/{service}-1",
        context={"iam:PermissionsBoundary": "{boundary}"},
        for_node_groups=True,
    ),
    Need(
        sid="NodeRoles",
        actions=(
            "iam:DeleteRole",
            "iam:GetRole",
            "iam:ListAttachedRolePolicies",
            "iam:ListInstanceProfilesForRole",
            "iam:ListRolePolicies",
            "iam:PassRole",
            "iam:TagRole",
            "iam:UntagRole",
            "iam:UpdateAssumeRolePolicy",
        ),
        resource="arn:{partition}:iam::{account}:role/{service}-1",
        for_node_groups=True,
    ),
    Need(
        sid="PoliciesOfNodes",
        actions=(
            "iam:AttachRolePolicy",
            "iam:DetachRolePolicy",
        ),
        resource="arn:{partition}:iam::{account}:role/{service}-1",
        context={"iam:PolicyARN": "arn:{partition}:iam::aws:policy/AmazonEKSWorkerNodePolicy"},
        for_node_groups=True,
    ),
    Need(
        sid="RolesOfServices",
        actions=("iam:CreateServiceLinkedRole",),
        resource="arn:{partition}:iam::{account}:role/aws-service-role/eks-nodegroup.amazonaws.com/AWSServiceRoleForAmazonEKSNodegroup",
        context={"iam:AWSServiceName": "eks-nodegroup.amazonaws.com"},
        for_node_groups=True,
    ),
    Need(
        sid="Alarms",
        actions=(
            "cloudwatch:DeleteAlarms",
            "cloudwatch:PutMetricAlarm",
            "cloudwatch:TagResource",
            "cloudwatch:UntagResource",
        ),
        resource="arn:{partition}:cloudwatch:{region}:{account}:alarm:{service}",
    ),
    Need(
        sid="Dashboards",
        actions=(
            "cloudwatch:DeleteDashboards",
            "cloudwatch:GetDashboard",
            "cloudwatch:PutDashboard",
        ),
        resource="arn:{partition}:cloudwatch::{account}:dashboard/vllm-blue-green-{service}",
        for_dashboard=True,
    ),
)
