"""Settings of the nodes: what fits together, and the errors for what does not."""

from typing import Any

import pytest

from components.config.sections.node_settings import NodeSettings
from components.config.settings import SettingsError
from tests.components.example import release, service_settings

NODE_CONFIG = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {}\n"
BOTTLEROCKET = "BOTTLEROCKET_x86_64_NVIDIA"


def test_by_default_a_volume_is_as_fast_as_the_included_operations_allow() -> None:
    nodes = service_settings().nodes
    assert (nodes.volume_iops, nodes.volume_mib_per_second) == (3000, 750)
    assert nodes == NodeSettings()


@pytest.mark.parametrize(
    "nodes",
    [
        {"volume_iops": 8000, "volume_mib_per_second": 2000},
        {"volume_mib_per_second": 125},
        {"user_data": NODE_CONFIG},
        {"user_data": "#!/bin/bash\ntrue\n"},
        {"ami_type": BOTTLEROCKET, "user_data": '[settings.kernel]\nlockdown = "none"\n'},
        {"instance_store": True, "user_data": NODE_CONFIG},
        {"security_group_ids": ["sg-1", "sg-2"], "ssm_access": True},
        {"volume_kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"},
        {"volume_kms_key_arn": f"arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-{'a' * 32}"},
    ],
)
def test_what_fits_together(nodes: dict[str, Any]) -> None:
    assert (
        service_settings(instance_type="g6e.4xlarge", nodes=nodes).nodes.model_dump(exclude_unset=True, mode="json")
        == nodes
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"volume_mib_per_second": 751}, r"nodes\.volume_mib_per_second: must be at most 750 with volume_iops 3000"),
        ({"volume_mib_per_second": 751}, r"Set volume_iops to at least 3004"),
        ({"volume_iops": 2999}, r"nodes\.volume_iops"),
        ({"user_data": "yum install -y jq"}, r"nodes\.user_data: must begin with #! or apiVersion: node\.eks\.aws/"),
        ({"ami_type": BOTTLEROCKET, "user_data": "#!/bin/bash"}, r"nodes\.user_data: must be settings in TOML"),
        (
            {"ami_type": BOTTLEROCKET, "instance_store": True},
            r"nodes\.instance_store: must be false with ami_type BOTTLE",
        ),
        ({"volume_kms_key_arn": "alias/mine"}, r"nodes\.volume_kms_key_arn: must be the ARN of a KMS key"),
        ({"security_group_ids": ["sg-1", "sg-1"]}, r"nodes\.security_group_ids: must not name sg-1 more than once"),
    ],
)
def test_what_does_not(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        service_settings(nodes=changes)


def test_a_nodes_own_disks_must_hold_images_and_weights() -> None:
    nodes = {"instance_store": True}
    # A g6e.xlarge has 250 GB, which are 232 GiB; the default size is 190 GiB.
    assert service_settings(instance_type="g6e.2xlarge", nodes=nodes).nodes.instance_store
    with pytest.raises(
        SettingsError, match=r"nodes\.instance_store: must be false: g6e\.2xlarge has 419 GiB of its own"
    ):
        service_settings(instance_type="g6e.2xlarge", nodes=nodes, node_volume_gib=420)
    assert service_settings(instance_type="g6e.2xlarge", nodes=nodes, node_volume_gib=419).nodes.instance_store


def test_bottlerocket_takes_no_release_of_al2023() -> None:
    with pytest.raises(SettingsError, match=r"blue\.node_release_version: must be left out with nodes\.ami_type"):
        service_settings(nodes={"ami_type": BOTTLEROCKET}, blue={"node_release_version": "1.33.4-20260801"})


def test_shared_nodes_have_one_list_of_subnets() -> None:
    shared = {"node_groups": "shared", "headroom_mode": "always", "blue": {"node_subnet_ids": ["subnet-1"]}}
    with pytest.raises(SettingsError, match=r"green\.node_subnet_ids: must be the same as for blue"):
        service_settings(**shared)
    assert service_settings(**shared, green={"node_subnet_ids": ["subnet-1"]}).shares_nodes


def warnings(**changes: Any) -> list[str]:
    green = {"release": release(weights_gib=130.0)}
    base: dict[str, Any] = {"instance_type": "p5.48xlarge", "gpus_per_replica": 8, "headroom_mode": "always"}
    return list(service_settings(**{**base, "green": green, **changes}).load_warnings("green"))


def test_weights_that_the_volume_cannot_read_before_the_probe_ends_the_pod_are_warned_of() -> None:
    assert warnings() == []  # 130 GiB take three minutes at 750 MiB/s
    (warning,) = warnings(nodes={"volume_mib_per_second": 125})
    assert warning.startswith("cold_start_seconds: is 600, but the weights of ")
    assert "take at least 1065 s at 125 MiB/s" in warning
    assert warnings(nodes={"volume_mib_per_second": 125}, cold_start_seconds=1065) == []
    assert warnings(nodes={"volume_mib_per_second": 125, "instance_store": True}) == []
    assert warnings(nodes={"volume_mib_per_second": 125}, pods={"model_cache_claim": "weights"}) == []
    assert warnings(nodes={"volume_mib_per_second": 125}, green={"release": release()}) == []
    assert warnings(nodes={"volume_mib_per_second": 125}, green={}) == []


def test_replicas_of_one_node_share_its_volume() -> None:
    green = {"release": release(weights_gib=30.0)}
    (warning,) = warnings(instance_type="g6e.12xlarge", gpus_per_replica=1, green=green, cold_start_seconds=160)
    assert "(4 × 30 GiB on a node) take at least 164 s at 750 MiB/s" in warning


def test_the_instance_type_may_be_slower_than_the_volume() -> None:
    green = {"release": release(weights_gib=20.0)}
    (warning,) = warnings(instance_type="g5.xlarge", gpus_per_replica=1, green=green, cold_start_seconds=30)
    assert "at 417 MiB/s" in warning


def test_an_image_that_does_not_arrive_in_time_is_warned_of() -> None:
    nodes = {"volume_mib_per_second": 125}
    (warning,) = warnings(nodes=nodes, node_start_seconds=327, green={"release": release()})
    assert warning.startswith("node_start_seconds: is 327, but an image of 40 GiB takes at least 328 s at 125 MiB/s.")
    assert warnings(nodes=nodes, node_start_seconds=328, green={"release": release()}) == []
