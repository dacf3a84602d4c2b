"""Several instance types in order of preference: which go together, and what the arithmetic takes of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.settings import SettingsError
from components.domain.capacity.capacity import smallest_of
from components.domain.nodes.gpu_instances import INSTANCE_TYPES
from tests.components.example import service_settings

RESERVED: dict[str, Any] = {
    "headroom_mode": "reserved",
    "green": {
        "replicas": 2,
        "reservation": {"kind": "on_demand", "id": "cr-0a", "subnet_id": "subnet-1", "ends": "2026-12-01T08:00:00Z"},
    },
}
ALIKE = [
    [one for one in INSTANCE_TYPES.values() if (one.gpus, one.gpu_memory_mib) == (first.gpus, first.gpu_memory_mib)]
    for first in INSTANCE_TYPES.values()
]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"fallback_instance_types": ["g6e.12xlarge"]},
            "fallback_instance_types[0]: must have the GPUs of g6e.2xlarge, 1 of 45776 MiB: it has 4 of 45776 MiB (got "
            '"g6e.12xlarge"). Such are g6e.xlarge, g6e.4xlarge, g6e.8xlarge, g6e.16xlarge.',
        ),
        ({"fallback_instance_types": ["g6.2xlarge"]}, "1 of 45776 MiB: it has 1 of 22888 MiB"),
        (
            {
                "fallback_instance_types": ["g6e.4xlarge"],
                "existing_nodes": {
                    "karpenter_node_pool": {
                        "node_class": "gpu",
                        "capacity_reservation_ids": ["cr-0a1b2c3d4e5f60718"],
                    }
                },
            },
            "fallback_instance_types: must not be more than the 1 of existing_nodes.karpenter_node_pool."
            "capacity_reservation_ids allow: a reservation is for one type",
        ),
        (
            {"fallback_instance_types": ["g6e.4xlarge", "g6e.2xlarge"]},
            "fallback_instance_types[1]: must not name a type",
        ),
        (
            {"fallback_instance_types": ["g6e.4xlarge", "g6e.4xlarge"]},
            "fallback_instance_types[1]: must not name a type",
        ),
        (
            {"fallback_instance_types": ["m5.large"]},
            "fallback_instance_types[0]: must be an EC2 instance type with whole",
        ),
        (
            {**RESERVED, "fallback_instance_types": ["g6e.4xlarge"]},
            "fallback_instance_types: must not be set with headroom_mode reserved: a reservation is for one type",
        ),
        (
            {"fallback_instance_types": ["g6e.xlarge"], "replica_millicpus": 5000},
            "replica_millicpus: must be at most 3620: a g6e.2xlarge or g6e.xlarge node has no more millicpus for one",
        ),
    ],
)
def test_a_type_that_cannot_take_the_others_place_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        service_settings(**changes)
    assert any(says in line for line in str(refused.value).splitlines()[1:])


def test_replicas_are_sized_for_the_smallest_type_and_the_quota_for_the_largest() -> None:
    settings = service_settings(instance_type="g6e.4xlarge", fallback_instance_types=["g6e.2xlarge", "g6e.8xlarge"])
    assert settings.instance_types == ("g6e.4xlarge", "g6e.2xlarge", "g6e.8xlarge")
    smallest = INSTANCE_TYPES["g6e.2xlarge"]
    assert settings.instance.allocatable_millicpus == smallest.allocatable_millicpus
    assert settings.instance.allocatable_memory_mib == smallest.allocatable_memory_mib
    assert settings.instance.usd_per_hour == INSTANCE_TYPES["g6e.4xlarge"].usd_per_hour
    assert settings.most_vcpus == 32


def test_one_type_is_as_before() -> None:
    assert service_settings().instance == INSTANCE_TYPES["g6e.2xlarge"]


@given(st.sampled_from(ALIKE).flatmap(lambda alike: st.lists(st.sampled_from(alike), min_size=1, unique=True)))
def test_the_smallest_offers_no_more_than_any_of_them(instances: list[Any]) -> None:
    smallest = smallest_of(instances)
    for one in instances:
        assert smallest.allocatable_millicpus <= one.allocatable_millicpus
        assert smallest.allocatable_memory_mib <= one.allocatable_memory_mib
        assert smallest.instance_store_gib <= one.instance_store_gib
        assert smallest.ebs_mib_per_second <= one.ebs_mib_per_second
        assert smallest.gpus == one.gpus
    assert smallest.name == instances[0].name
