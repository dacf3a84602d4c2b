"""Capacity arithmetic: node counts are sufficient and no larger than needed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.capacity.capacity import (
    DAEMONSET_MEMORY_MIB,
    DAEMONSET_MILLICPUS,
    CapacityError,
    ColorDemand,
    HeadroomMode,
    PoolSize,
    ReplicaShape,
    headroom_usd_per_hour,
    instance_type,
    misfits,
    nodes_for,
    pool_sizes,
    replicas_per_node,
    shared_pool_size,
    types_that_fit,
    usd_per_hour,
)
from components.domain.naming import Color
from components.domain.nodes.gpu_instances import INSTANCE_TYPES, GpuInstance

instances = st.sampled_from(sorted(INSTANCE_TYPES.values(), key=lambda instance: instance.name))
SMALL = ReplicaShape(gpus=1, millicpus=1000, memory_mib=4096)


@st.composite
def fitting(draw: st.DrawFn) -> tuple[GpuInstance, ReplicaShape]:
    instance = draw(instances)
    return instance, ReplicaShape(
        gpus=draw(st.integers(1, instance.gpus)),
        millicpus=draw(st.integers(100, instance.allocatable_millicpus - DAEMONSET_MILLICPUS)),
        memory_mib=draw(st.integers(256, instance.allocatable_memory_mib - DAEMONSET_MEMORY_MIB)),
    )


@given(fitting())
def test_a_full_node_leaves_no_room_for_one_more_replica(case: tuple[GpuInstance, ReplicaShape]) -> None:
    instance, shape = case
    fit = replicas_per_node(instance, shape)
    offers = (
        (instance.gpus, shape.gpus),
        (instance.allocatable_millicpus - DAEMONSET_MILLICPUS, shape.millicpus),
        (instance.allocatable_memory_mib - DAEMONSET_MEMORY_MIB, shape.memory_mib),
    )
    assert all(fit * asked <= offered for offered, asked in offers)
    assert any((fit + 1) * asked > offered for offered, asked in offers)


@given(fitting(), st.integers(1, 500))
def test_the_nodes_hold_all_replicas_and_one_node_less_would_not(
    case: tuple[GpuInstance, ReplicaShape], replicas: int
) -> None:
    nodes = nodes_for(replicas, *case)
    per_node = replicas_per_node(*case)
    assert (nodes - 1) * per_node < replicas <= nodes * per_node


def test_a_replica_never_spans_nodes() -> None:
    three_of_four_gpus = ReplicaShape(gpus=3, millicpus=1000, memory_mib=4096)
    assert nodes_for(2, instance_type("g6e.12xlarge"), three_of_four_gpus) == 2


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (ReplicaShape(gpus=2, millicpus=1000, memory_mib=4096), "2 GPUs, but a g6e.xlarge node offers 1"),
        (ReplicaShape(gpus=1, millicpus=4000, memory_mib=4096), "4000 millicpus, but a g6e.xlarge node offers 3620"),
        (ReplicaShape(gpus=1, millicpus=1000, memory_mib=32768), "32768 MiB of memory"),
    ],
)
def test_a_replica_that_fits_no_node_is_refused_with_the_numbers(shape: ReplicaShape, said: str) -> None:
    with pytest.raises(CapacityError, match=said):
        replicas_per_node(instance_type("g6e.xlarge"), shape)


def test_the_fix_for_a_replica_larger_than_a_node_names_types_that_fit() -> None:
    four_gpus = ReplicaShape(gpus=4, millicpus=1000, memory_mib=4096)
    with pytest.raises(CapacityError) as raised:
        replicas_per_node(instance_type("g6e.xlarge"), four_gpus)
    assert str(raised.value) == (
        "one replica requests 4 GPUs, but a g6e.xlarge node offers 1. "
        "A replica never spans nodes (LeaderWorkerSet is not supported). "
        "Choose g6e.12xlarge, g6e.24xlarge or g6e.48xlarge, or a smaller replica."
    )


def test_the_fix_for_a_replica_beyond_its_family_names_the_smallest_type_of_each_other() -> None:
    much_memory = ReplicaShape(gpus=1, millicpus=1000, memory_mib=1_500_000)
    assert types_that_fit(much_memory, like=instance_type("g6e.48xlarge")) == [
        *("g7e.48xlarge", "p5.48xlarge", "p5e.48xlarge", "p5en.48xlarge", "p6-b200.48xlarge", "p6-b300.48xlarge")
    ]


def test_the_fix_says_that_no_type_fits_the_replica() -> None:
    sixteen_gpus = ReplicaShape(gpus=16, millicpus=1000, memory_mib=4096)
    with pytest.raises(CapacityError, match=r"LeaderWorkerSet is not supported\). No known type fits such a replica"):
        replicas_per_node(instance_type("p5.48xlarge"), sixteen_gpus)


@given(instances, st.integers(1, 9), st.integers(100, 200_000), st.integers(256, 4_000_000))
def test_the_types_named_do_hold_it_and_none_named_means_that_none_does(
    instance: GpuInstance, gpus: int, millicpus: int, memory_mib: int
) -> None:
    shape = ReplicaShape(gpus=gpus, millicpus=millicpus, memory_mib=memory_mib)
    named = types_that_fit(shape, like=instance)
    assert all(replicas_per_node(instance_type(name), shape) >= 1 for name in named)
    if not named:
        assert all(misfits(other, shape) for other in INSTANCE_TYPES.values())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("g6e.3xlarge", "Known g6e types: g6e.xlarge"),
        ("g6f.xlarge", "Its nodes have a fraction of a GPU and advertise no whole GPU.* Families: g5, g6"),
        ("gr6f.4xlarge", "Its nodes have a fraction of a GPU"),
        ("m5.large", "Its nodes have no NVIDIA GPU. Families: g5"),
        ("inf2.xlarge", "Its nodes have no NVIDIA GPU"),
        ("g4ad.xlarge", "Its GPUs are from AMD"),
        ("g5g.xlarge", "Its CPUs are ARM"),
        ("p6e-gb200.36xlarge", "Its CPUs are ARM"),
        ("p9.large", "type with whole GPUs. Families: g5"),
        ("large", "type with whole GPUs. Families: g5"),
        ("", "type with whole GPUs. Families: g5"),
    ],
)
def test_a_type_without_whole_gpus_is_refused_with_the_reason(name: str, hint: str) -> None:
    with pytest.raises(CapacityError, match=hint):
        instance_type(name)


def _sizes(*, green_provisioned: bool, mode: HeadroomMode, spare_nodes: int = 0) -> dict[Color, PoolSize]:
    demands: dict[Color, ColorDemand] = {
        "blue": ColorDemand(replicas=3, provisioned=True, shape=SMALL),
        "green": ColorDemand(replicas=2, provisioned=green_provisioned, shape=SMALL),
    }
    return pool_sizes(demands, instance=instance_type("g6e.2xlarge"), spare_nodes=spare_nodes, mode=mode)


@pytest.mark.parametrize("mode", ["on_rollout", "reserved"])
def test_an_idle_colour_keeps_no_nodes_but_may_have_them_all(mode: HeadroomMode) -> None:
    green = _sizes(green_provisioned=False, mode=mode, spare_nodes=1)["green"]
    assert green == PoolSize(min_nodes=0, desired_nodes=0, max_nodes=3)


@pytest.mark.parametrize("mode", ["always", "on_rollout", "reserved"])
def test_full_green_has_its_nodes_beside_full_blue(mode: HeadroomMode) -> None:
    sizes = _sizes(green_provisioned=True, mode=mode)
    assert (sizes["blue"].desired_nodes, sizes["green"].desired_nodes) == (3, 2)


def test_full_headroom_keeps_the_idle_colours_nodes_up() -> None:
    assert _sizes(green_provisioned=False, mode="always")["green"].desired_nodes == 2


def test_a_shared_group_packs_both_colours_into_the_same_nodes() -> None:
    instance = instance_type("g6e.12xlarge")
    size = shared_pool_size({"blue": 3, "green": 2}, instance=instance, shape=SMALL, spare_nodes=1)
    assert size == PoolSize(min_nodes=0, desired_nodes=2, max_nodes=3)


def test_the_headroom_costs_what_is_up_beyond_the_active_colour() -> None:
    instance = instance_type("g6e.12xlarge")
    assert headroom_usd_per_hour(3, active_replicas=4, instance=instance, shape=SMALL) == 2 * 10.49264
    assert headroom_usd_per_hour(1, active_replicas=4, instance=instance, shape=SMALL) == 0


def test_the_cost_of_a_type_without_a_known_price_is_unknown() -> None:
    instance = instance_type("p5e.48xlarge")
    assert usd_per_hour(instance, 2) is None
    assert headroom_usd_per_hour(2, active_replicas=1, instance=instance, shape=SMALL) is None
