"""One colour's nodes as they are declared."""

import json
from typing import Any

import pytest

from components.capacity import PoolSize
from components.gpu_node_group import GpuNodeGroup, GpuNodeGroupArgs
from tests.components.registrations import Registrations, register

ARGS: dict[str, Any] = {
    "service": "chat",
    "color": "green",
    "cluster_name": "main",
    "subnet_ids": ["subnet-1", "subnet-2"],
    "instance_type": "g6e.12xlarge",
    "volume_gib": 300,
    "pool": PoolSize(min_nodes=0, desired_nodes=2, max_nodes=3),
}


def _declare(**changes: Any) -> Registrations:
    return register(lambda: GpuNodeGroup("chat-green", GpuNodeGroupArgs(**{**ARGS, **changes})))


@pytest.fixture(scope="module")
def declared() -> Registrations:
    return _declare()


def test_the_pool_decides_how_many_nodes_there_are(declared: Registrations) -> None:
    inputs = declared["NodeGroup", "chat-green"].inputs
    assert inputs["scalingConfig"] == {"minSize": 0, "desiredSize": 2, "maxSize": 3}
    assert inputs["instanceTypes"] == ["g6e.12xlarge"]
    assert inputs["subnetIds"] == ["subnet-1", "subnet-2"]
    assert inputs["amiType"] == "AL2023_x86_64_NVIDIA"


def test_only_gpu_pods_of_this_colour_come_here(declared: Registrations) -> None:
    inputs = declared["NodeGroup", "chat-green"].inputs
    assert inputs["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    assert inputs["labels"] == {
        "nvidia.com/gpu.present": "true",
        "vllm-blue-green/service": "chat",
        "vllm-blue-green/color": "green",
    }


def test_an_update_takes_one_node_at_a_time_and_needs_no_spare_gpu(declared: Registrations) -> None:
    inputs = declared["NodeGroup", "chat-green"].inputs
    assert inputs["updateConfig"] == {"maxUnavailable": 1, "updateStrategy": "MINIMAL"}
    assert inputs["nodeRepairConfig"] == {"enabled": True}


def test_pods_cannot_reach_the_credentials_of_the_node(declared: Registrations) -> None:
    options = declared["LaunchTemplate", "chat-green"].inputs["metadataOptions"]
    assert options == {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1}


def test_the_root_volume_is_encrypted_and_large_enough(declared: Registrations) -> None:
    (mapping,) = declared["LaunchTemplate", "chat-green"].inputs["blockDeviceMappings"]
    assert mapping["ebs"] == {
        "volumeSize": 300,
        "volumeType": "gp3",
        "encrypted": "true",
        "deleteOnTermination": "true",
    }


def test_the_template_leaves_to_eks_what_eks_decides(declared: Registrations) -> None:
    # With any of these the node group's AMI type, instance types or the cluster's security group would not apply.
    template = declared["LaunchTemplate", "chat-green"].inputs
    assert {"imageId", "instanceType", "vpcSecurityGroupIds", "networkInterfaces", "iamInstanceProfile"}.isdisjoint(
        template
    )
    assert {"diskSize", "remoteAccess"}.isdisjoint(declared["NodeGroup", "chat-green"].inputs)


def test_nodes_follow_the_newest_version_of_the_template(declared: Registrations) -> None:
    template = declared["NodeGroup", "chat-green"].inputs["launchTemplate"]
    assert template == {"id": "id:LaunchTemplate:chat-green", "version": "3"}


def test_the_role_may_join_and_pull_images_and_nothing_else(declared: Registrations) -> None:
    attachments = declared.of_type("RolePolicyAttachment").values()
    assert {attachment.inputs["policyArn"].rpartition("/")[2] for attachment in attachments} == {
        "AmazonEKSWorkerNodePolicy",
        "AmazonEC2ContainerRegistryPullOnly",
    }
    trust = json.loads(declared["Role", "chat-green"].inputs["assumeRolePolicy"])
    assert trust["Statement"] == [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]


def test_the_network_policy_is_attached_only_when_the_cluster_needs_it() -> None:
    attachments = _declare(vpc_cni_uses_node_role=True).of_type("RolePolicyAttachment")
    assert attachments["chat-green-network"].inputs["policyArn"].endswith("/AmazonEKS_CNI_Policy")


def test_nodes_come_after_the_policies_without_which_they_cannot_join(declared: Registrations) -> None:
    assert declared.precede(("NodeGroup", "chat-green")) >= {
        ("RolePolicyAttachment", "chat-green-worker"),
        ("RolePolicyAttachment", "chat-green-images"),
        ("LaunchTemplate", "chat-green"),
    }


def test_instances_and_volumes_tell_whose_they_are(declared: Registrations) -> None:
    specifications = declared["LaunchTemplate", "chat-green"].inputs["tagSpecifications"]
    assert [specification["resourceType"] for specification in specifications] == ["instance", "volume"]
    for specification in specifications:
        assert specification["tags"]["vllm-blue-green/service"] == "chat"
        assert specification["tags"]["vllm-blue-green/color"] == "green"


def test_everything_belongs_to_the_component(declared: Registrations) -> None:
    parents = {resource.parent for resource in declared.resources.values() if resource.token.startswith("aws:")}
    assert parents == {("GpuNodeGroup", "chat-green")}
