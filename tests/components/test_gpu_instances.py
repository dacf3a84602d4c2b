"""The instance table: sound figures, and reserves that never promise more than a node has."""

import pytest

from components.gpu_instances import INSTANCE_TYPES

# What the Karpenter project publishes as allocatable: millicpus and MiB.
PUBLISHED = {"g6e.xlarge": (3920, 29317), "p5.48xlarge": (191450, 1938410)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_pods_may_ask_for_is_no_more_than_published(name: str) -> None:
    millicpus, memory_mib = PUBLISHED[name]
    instance = INSTANCE_TYPES[name]
    assert instance.allocatable_millicpus == millicpus
    assert memory_mib * 0.98 <= instance.allocatable_memory_mib <= memory_mib


@pytest.mark.parametrize("name", INSTANCE_TYPES)
def test_every_type_has_whole_gpus_and_room_for_pods(name: str) -> None:
    instance = INSTANCE_TYPES[name]
    assert instance.name == name
    assert instance.gpus in (1, 2, 4, 8)
    assert 0 < instance.allocatable_millicpus < instance.vcpus * 1000
    assert 0 < instance.allocatable_memory_mib < instance.memory_gib * 1024
    assert instance.usd_per_hour is None or instance.usd_per_hour / instance.gpus > 0.5
