"""The declared nodes of one colour."""

import json
from base64 import b64decode
from email import message_from_string
from typing import Any

import pytest
import yaml

from components.config.sections.node_settings import NodeSettings
from components.config.sections.reservation import Reservation
from components.domain.capacity.capacity import PoolSize
from components.resources.gpu_node_group import GpuNodeGroup, GpuNodeGroupArgs
from tests.components.registrations import Registrations, register

ARGS: dict[str, Any] = {
    "service": "chat",
    "color": "green",
    "cluster_name": "main",
    "cluster_security_group_id": "sg-0c",
    "subnet_ids": ["subnet-1", "subnet-2"],
    "instance_type": "g6e.12xlarge",
    "volume_gib": 300,
    "pool": PoolSize(min_nodes=0, desired_nodes=2, max_nodes=3),
    "in_use": True,
}
KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
ENDS = "2026-12-01T08:00:00Z"
NODES = ("NodeGroup", "chat-green")
TEMPLATE = ("LaunchTemplate", "chat-green")


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


def test_nodes_that_serve_are_replaced_only_after_new_ones_have_come(declared: Registrations) -> None:
    inputs = declared[NODES].inputs
    assert inputs["updateConfig"] == {"maxUnavailable": 1, "updateStrategy": "DEFAULT"}
    assert inputs["forceUpdateVersion"] is False


def test_nodes_on_which_nothing_runs_are_replaced_without_a_spare_gpu() -> None:
    assert _declare(in_use=False)[NODES].inputs["updateConfig"] == {"maxUnavailable": 1, "updateStrategy": "MINIMAL"}


@pytest.mark.parametrize("in_use", [True, False])
def test_nodes_of_both_colours_are_never_ended_first(in_use: bool) -> None:
    declared = _declare(color=None, in_use=in_use)
    assert declared[NODES].inputs["updateConfig"]["updateStrategy"] == "DEFAULT"


def test_broken_nodes_are_repaired_one_at_a_time(declared: Registrations) -> None:
    assert declared[NODES].inputs["nodeRepairConfig"] == {"enabled": True, "maxParallelNodesRepairedCount": 1}


def test_the_ami_is_left_alone_until_a_release_of_it_is_named(declared: Registrations) -> None:
    assert {"releaseVersion", "version"}.isdisjoint(declared[NODES].inputs)
    pinned = _declare(release_version="1.33.4-20260801")[NODES].inputs
    assert (pinned["releaseVersion"], pinned["version"]) == ("1.33.4-20260801", "1.33")


def test_nodes_of_both_colours_carry_no_colour() -> None:
    declared = _declare(color=None)
    inputs = declared[NODES].inputs
    assert inputs["labels"] == {"nvidia.com/gpu.present": "true", "vllm-blue-green/service": "chat"}
    assert "vllm-blue-green/color" not in inputs["tags"]
    assert declared[TEMPLATE].inputs["description"] == "GPU nodes of chat"


def test_only_a_group_that_has_nodes_is_protected() -> None:
    empty = PoolSize(min_nodes=0, desired_nodes=0, max_nodes=3)
    assert _declare(protect=True)[NODES].protect
    assert not _declare(protect=True, pool=empty)[NODES].protect
    assert not _declare()[NODES].protect


def test_plain_nodes_are_on_demand_and_have_no_reservation_end(declared: Registrations) -> None:
    assert declared[NODES].inputs["capacityType"] == "ON_DEMAND"
    assert "vllm-blue-green/reservation-ends" not in declared[NODES].inputs["tags"]
    assert {"capacityReservationSpecification", "instanceMarketOptions"}.isdisjoint(declared[TEMPLATE].inputs)
    assert "reservation_ends" not in declared.outputs["GpuNodeGroup", "chat-green"]


def _reserved(**target: str) -> Registrations:
    return _declare(reservation=Reservation.model_validate({"kind": "on_demand", "ends": ENDS, **target}))


def test_reserved_nodes_start_in_their_reservation_and_its_zone_only() -> None:
    declared = _reserved(id="cr-1", subnet_id="subnet-2")
    assert declared[TEMPLATE].inputs["capacityReservationSpecification"] == {
        "capacityReservationPreference": "capacity-reservations-only",
        "capacityReservationTarget": {"capacityReservationId": "cr-1"},
    }
    assert declared[NODES].inputs["subnetIds"] == ["subnet-2"]
    assert declared[NODES].inputs["capacityType"] == "ON_DEMAND"
    assert declared[NODES].inputs["instanceTypes"] == ["g6e.12xlarge"]
    assert {"instanceType", "instanceMarketOptions"}.isdisjoint(declared[TEMPLATE].inputs)


def test_reservations_of_a_group_may_be_in_any_zone() -> None:
    group = "arn:aws:resource-groups:us-east-1:123456789012:group/gpus"
    declared = _reserved(resource_group_arn=group)
    # Without the preference, nodes would start outside a full group.
    assert declared[TEMPLATE].inputs["capacityReservationSpecification"] == {
        "capacityReservationPreference": "capacity-reservations-only",
        "capacityReservationTarget": {"capacityReservationResourceGroupArn": group},
    }
    assert declared[NODES].inputs["subnetIds"] == ["subnet-1", "subnet-2"]


def test_a_capacity_block_has_its_instance_type_in_the_template() -> None:
    declared = _reserved(kind="capacity_block", id="cr-1", subnet_id="subnet-2")
    template, nodes = declared[TEMPLATE].inputs, declared[NODES].inputs
    assert template["instanceMarketOptions"] == {"marketType": "capacity-block"}
    assert template["instanceType"] == "g6e.12xlarge"
    # As in EKS's guide: a block has a target and no preference.
    assert template["capacityReservationSpecification"] == {
        "capacityReservationTarget": {"capacityReservationId": "cr-1"}
    }
    assert nodes["capacityType"] == "CAPACITY_BLOCK"
    assert "instanceTypes" not in nodes
    assert nodes["subnetIds"] == ["subnet-2"]


def test_the_end_of_a_reservation_is_in_plain_sight_and_extending_it_replaces_no_node() -> None:
    declared, extended = (
        _reserved(id="cr-1", subnet_id="subnet-2", ends=ends) for ends in (ENDS, "2026-12-24T08:00:00Z")
    )
    assert declared[NODES].inputs["tags"]["vllm-blue-green/reservation-ends"] == ENDS
    assert declared.outputs["GpuNodeGroup", "chat-green"]["reservation_ends"] == ENDS
    assert extended[TEMPLATE].inputs == declared[TEMPLATE].inputs
    changed = {key for key, value in extended[NODES].inputs.items() if value != declared[NODES].inputs[key]}
    assert changed == {"tags"}


def test_pods_cannot_reach_the_credentials_of_the_node(declared: Registrations) -> None:
    options = declared["LaunchTemplate", "chat-green"].inputs["metadataOptions"]
    assert options["httpEndpoint"] == "enabled"
    assert options["httpTokens"] == "required"
    assert options["httpPutResponseHopLimit"] == 1


def test_tags_with_a_slash_are_allowed_whatever_the_accounts_default_is(declared: Registrations) -> None:
    template = declared["LaunchTemplate", "chat-green"].inputs
    assert any("/" in key for one in template["tagSpecifications"] for key in one["tags"])
    assert template["metadataOptions"]["instanceMetadataTags"] == "disabled"


def test_the_root_volume_is_encrypted_and_large_enough(declared: Registrations) -> None:
    (mapping,) = declared["LaunchTemplate", "chat-green"].inputs["blockDeviceMappings"]
    assert mapping["deviceName"] == "/dev/xvda"
    assert mapping["ebs"] == {
        "volumeSize": 300,
        "volumeType": "gp3",
        "iops": 3000,
        "throughput": 750,
        "encrypted": "true",
        "deleteOnTermination": "true",
    }


def _with(**nodes: Any) -> Registrations:
    return _declare(nodes=NodeSettings.model_validate(nodes))


def _user_data(declared: Registrations) -> str:
    return b64decode(declared[TEMPLATE].inputs["userData"]).decode()


def test_the_volume_has_the_speed_and_the_key_of_the_settings() -> None:
    (mapping,) = _with(volume_iops=8000, volume_mib_per_second=2000, volume_kms_key_arn=KEY)[TEMPLATE].inputs[
        "blockDeviceMappings"
    ]
    assert mapping["ebs"]["iops"] == 8000
    assert mapping["ebs"]["throughput"] == 2000
    assert mapping["ebs"]["encrypted"] == "true"
    assert mapping["ebs"]["kmsKeyId"] == KEY


def test_without_user_data_eks_decides_alone(declared: Registrations) -> None:
    assert "userData" not in declared[TEMPLATE].inputs


def test_the_nodes_own_disks_become_one_array_beside_what_the_team_sets() -> None:
    own = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  kubelet:\n    config:\n      maxPods: 20\n"
    archive = message_from_string(_user_data(_with(instance_store=True, user_data=own)))
    assert archive.is_multipart()
    parts = archive.walk()
    next(parts)
    (disks, kubelet) = [(part.get_content_type(), yaml.safe_load(str(part.get_payload()))) for part in parts]
    assert disks[0] == kubelet[0] == "application/node.eks.aws"
    assert disks[1]["spec"] == {"instance": {"localStorage": {"strategy": "RAID0"}}}
    assert kubelet[1]["spec"] == {"kubelet": {"config": {"maxPods": 20}}}


def test_a_script_is_a_part_of_the_archive() -> None:
    archive = message_from_string(_user_data(_with(user_data="#!/bin/bash\ntrue\n")))
    (part,) = [part for part in archive.walk() if not part.is_multipart()]
    assert part.get_content_type() == "text/x-shellscript"
    assert str(part.get_payload()).startswith("#!/bin/bash\ntrue\n")


def test_bottlerocket_has_its_images_on_a_second_volume_and_takes_toml() -> None:
    settings = '[settings.kernel]\nlockdown = "none"\n'
    declared = _with(ami_type="BOTTLEROCKET_x86_64_NVIDIA", user_data=settings)
    assert declared[NODES].inputs["amiType"] == "BOTTLEROCKET_x86_64_NVIDIA"
    system, data = declared[TEMPLATE].inputs["blockDeviceMappings"]
    assert (system["deviceName"], data["deviceName"]) == ("/dev/xvda", "/dev/xvdb")
    assert system["ebs"]["encrypted"] == data["ebs"]["encrypted"] == "true"
    assert "volumeSize" not in system["ebs"]
    assert data["ebs"]["volumeSize"] == 300
    assert _user_data(declared) == settings


def test_session_manager_is_allowed_only_on_request(declared: Registrations) -> None:
    assert "chat-green-sessions" not in declared.of_type("RolePolicyAttachment")
    attachments = _with(ssm_access=True).of_type("RolePolicyAttachment")
    assert attachments["chat-green-sessions"].inputs["policyArn"].endswith("/AmazonSSMManagedInstanceCore")


def test_more_security_groups_come_beside_the_clusters() -> None:
    (interface,) = _with(security_group_ids=["sg-1"])[TEMPLATE].inputs["networkInterfaces"]
    assert interface["securityGroups"] == ["sg-0c", "sg-1"]


def test_nodes_have_no_public_address_and_are_in_the_clusters_security_group(declared: Registrations) -> None:
    template = declared[TEMPLATE].inputs
    assert template["networkInterfaces"] == [
        {
            "deviceIndex": 0,
            "associatePublicIpAddress": "false",
            "deleteOnTermination": "true",
            "securityGroups": ["sg-0c"],
        }
    ]
    # EC2 accepts security groups in one place only, and EKS accepts no subnet here.
    assert "vpcSecurityGroupIds" not in template


def test_the_template_leaves_to_eks_what_eks_decides(declared: Registrations) -> None:
    # With any of these the node group's AMI type or instance types would not apply, or EKS would refuse it.
    template = declared[TEMPLATE].inputs
    assert {"imageId", "instanceType", "iamInstanceProfile"}.isdisjoint(template)
    assert {"diskSize", "remoteAccess"}.isdisjoint(declared["NodeGroup", "chat-green"].inputs)


def test_nodes_follow_the_newest_version_of_the_template(declared: Registrations) -> None:
    template = declared["NodeGroup", "chat-green"].inputs["launchTemplate"]
    assert template == {"id": "id:LaunchTemplate:chat-green", "version": "3"}


def test_the_role_may_join_and_pull_images_and_nothing_else(declared: Registrations) -> None:
    attachments = declared.of_type("RolePolicyAttachment").values()
    # The partition is that of the role.
    assert {attachment.inputs["policyArn"] for attachment in attachments} == {
        "arn:aws-us-gov:iam::aws:policy/AmazonEKSWorkerNodePolicy",
        "arn:aws-us-gov:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly",
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


def test_instances_volumes_and_interfaces_tell_whose_they_are(declared: Registrations) -> None:
    specifications = declared["LaunchTemplate", "chat-green"].inputs["tagSpecifications"]
    assert [specification["resourceType"] for specification in specifications] == [
        "instance",
        "volume",
        "network-interface",
    ]
    for specification in specifications:
        assert specification["tags"]["vllm-blue-green/service"] == "chat"
        assert specification["tags"]["vllm-blue-green/color"] == "green"


def test_everything_belongs_to_the_component(declared: Registrations) -> None:
    parents = {resource.parent for resource in declared.resources.values() if resource.token.startswith("aws:")}
    assert parents == {("GpuNodeGroup", "chat-green")}
