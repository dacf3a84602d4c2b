"""The root volume stores what a node needs, and leaves the free space that the kubelet requires."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.nodes.gpu_instances import INSTANCE_TYPES
from components.domain.nodes.root_volume import CACHE_GIB, IMAGE_GIB, IMAGES, SYSTEM_GIB, root_volume_gib
from tests.components.example import service_settings

weights = st.floats(0, 3000)
replica_counts = st.integers(1, 8)


@given(weights, replica_counts)
def test_images_are_not_collected_while_all_that_a_node_holds_is_there(weights_gib: float, replicas: int) -> None:
    size = root_volume_gib(weights_gib, replicas)
    held = SYSTEM_GIB + IMAGES * IMAGE_GIB + replicas * (weights_gib + CACHE_GIB)
    assert held <= 0.85 * size + 1e-6
    assert held > 0.85 * (size - 10) - 1e-6
    assert size % 10 == 0


@given(weights, weights, replica_counts)
def test_more_weights_never_take_less(one: float, other: float, replicas: int) -> None:
    small, large = sorted((one, other))
    assert root_volume_gib(small, replicas) <= root_volume_gib(large, replicas)
    assert root_volume_gib(large, replicas) <= root_volume_gib(large, replicas + 1)


def test_without_a_size_there_is_room_for_weights_that_fill_the_gpus() -> None:
    # 25 of the system, 80 of two images, 44.7 of weights and 5 of caches, at 85 %.
    assert service_settings().root_volume_gib == 190
    # As much for each of four replicas.
    assert service_settings(instance_type="g6e.12xlarge").root_volume_gib == 360
    assert service_settings(instance_type="p5.48xlarge", gpus_per_replica=8).root_volume_gib == 890


def test_a_size_of_ones_own_is_taken_as_it_is() -> None:
    assert service_settings(node_volume_gib=50).root_volume_gib == 50


@pytest.mark.parametrize("name", INSTANCE_TYPES)
def test_every_instance_type_gets_a_volume_that_ebs_has(name: str) -> None:
    gpus = INSTANCE_TYPES[name].gpus
    settings = service_settings(instance_type=name, gpus_per_replica=gpus, replica_millicpus=100)
    assert 30 <= settings.root_volume_gib <= 16_384
