"""Properties of every layout: node counts by an oracle that places replicas one by one, their order, and cost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.domain.capacity.capacity import (
    DAEMONSET_MEMORY_MIB,
    DAEMONSET_MILLICPUS,
    ColorDemand,
    HeadroomMode,
    PoolSize,
    ReplicaShape,
    headroom_usd_per_hour,
    nodes_for,
    pool_sizes,
    shared_pool_size,
    usd_per_hour,
)
from components.domain.naming import COLORS, Color
from components.domain.nodes.gpu_instances import INSTANCE_TYPES, GpuInstance

pytestmark = pytest.mark.slow

MODES: list[HeadroomMode] = ["always", "on_rollout", "reserved"]
Case = tuple[GpuInstance, ReplicaShape]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A type and a replica that fits it; often a few replicas fill a node to the last MiB, or narrowly do not fit."""
    instance = draw(st.sampled_from(sorted(INSTANCE_TYPES.values(), key=lambda one: one.name)))
    millicpus = instance.allocatable_millicpus - DAEMONSET_MILLICPUS
    memory_mib = instance.allocatable_memory_mib - DAEMONSET_MEMORY_MIB
    shares = st.integers(2, 9)
    return instance, ReplicaShape(
        gpus=draw(st.integers(1, instance.gpus)),
        millicpus=draw(st.integers(100, millicpus) | st.builds(_edge, st.just(millicpus), shares, st.booleans())),
        memory_mib=draw(st.integers(256, memory_mib) | st.builds(_edge, st.just(memory_mib), shares, st.booleans())),
    )


def _edge(offered: int, share: int, beyond: bool) -> int:
    return offered // share + beyond


replicas_of_both = st.fixed_dictionaries({"blue": st.integers(1, 40), "green": st.integers(1, 40)})


def holds(case: Case, count: int) -> bool:
    """Whether so many replicas fit a node besides its daemonsets."""
    instance, shape = case
    return (
        count * shape.gpus <= instance.gpus
        and count * shape.millicpus + DAEMONSET_MILLICPUS <= instance.allocatable_millicpus
        and count * shape.memory_mib + DAEMONSET_MEMORY_MIB <= instance.allocatable_memory_mib
    )


def placements(case: Case, nodes: int, replicas: int) -> tuple[bool, bool]:
    """Try every node with room for each replica in turn: whether all can be placed, and whether all always are."""
    reached, always = {(0,) * nodes}, True
    for _ in range(replicas):
        reached_before, reached = reached, set[tuple[int, ...]]()
        for loads in reached_before:
            roomy = [node for node, load in enumerate(loads) if holds(case, load + 1)]
            always = always and bool(roomy)
            reached |= {tuple(sorted((*loads[:node], loads[node] + 1, *loads[node + 1 :]))) for node in roomy}
    return bool(reached), always


@settings(max_examples=200)
@given(cases(), st.integers(1, 9))
def test_no_order_of_arrival_leaves_a_replica_out_and_no_order_does_with_a_node_less(case: Case, replicas: int) -> None:
    nodes = nodes_for(replicas, *case)
    assert placements(case, nodes, replicas) == (True, True)
    assert placements(case, nodes - 1, replicas)[0] is False


@settings(max_examples=100)
@given(cases(), st.integers(1, 5), st.integers(1, 5))
def test_a_shared_group_fits_both_colours_in_any_order_and_needs_every_node(case: Case, blue: int, green: int) -> None:
    instance, shape = case
    size = shared_pool_size({"blue": blue, "green": green}, instance=instance, shape=shape, spare_nodes=0)
    assert placements(case, size.desired_nodes, blue + green) == (True, True)
    assert placements(case, size.desired_nodes - 1, blue + green)[0] is False


@given(cases(), st.integers(0, 1000))
def test_one_more_replica_needs_the_same_nodes_or_one_more(case: Case, replicas: int) -> None:
    assert nodes_for(replicas + 1, *case) - nodes_for(replicas, *case) in (0, 1)


@given(cases(), st.integers(1, 1000), st.data())
def test_a_smaller_replica_never_needs_more_nodes(case: Case, replicas: int, data: st.DataObject) -> None:
    instance, shape = case
    smaller = ReplicaShape(
        gpus=data.draw(st.integers(1, shape.gpus)),
        millicpus=data.draw(st.integers(100, shape.millicpus) if shape.millicpus > 100 else st.just(shape.millicpus)),
        memory_mib=data.draw(
            st.integers(256, shape.memory_mib) if shape.memory_mib > 256 else st.just(shape.memory_mib)
        ),
    )
    assert nodes_for(replicas, instance, smaller) <= nodes_for(replicas, instance, shape)


@given(cases(), replicas_of_both, st.booleans(), st.booleans(), st.integers(0, 100), st.sampled_from(MODES))
def test_the_sizes_of_a_pool_are_in_order_and_hold_what_must_be_up(
    case: Case, replicas: dict[Color, int], blue_up: bool, green_up: bool, spare_nodes: int, mode: HeadroomMode
) -> None:
    instance, shape = case
    up: dict[Color, bool] = {"blue": blue_up, "green": green_up}
    demands: dict[Color, ColorDemand] = {
        color: ColorDemand(replicas=replicas[color], provisioned=up[color], shape=shape) for color in COLORS
    }
    sizes = pool_sizes(demands, instance=instance, spare_nodes=spare_nodes, mode=mode)
    for color in COLORS:
        full = nodes_for(replicas[color], instance, shape)
        assert sizes[color].desired_nodes == (full if mode == "always" or up[color] else 0)
        assert sizes[color].max_nodes == full + spare_nodes
        _in_order(sizes[color])


@given(cases(), replicas_of_both, st.integers(0, 100))
def test_a_shared_group_never_needs_more_nodes_than_two_groups(
    case: Case, replicas: dict[Color, int], spare_nodes: int
) -> None:
    instance, shape = case
    size = shared_pool_size(replicas, instance=instance, shape=shape, spare_nodes=spare_nodes)
    apart = [nodes_for(replicas[color], instance, shape) for color in COLORS]
    assert max(apart) <= size.desired_nodes <= sum(apart)
    assert size.desired_nodes >= sum(apart) - 1
    assert size.max_nodes == size.desired_nodes + spare_nodes
    _in_order(size)


@given(cases(), replicas_of_both)
def test_full_headroom_costs_the_idle_colours_nodes(case: Case, replicas: dict[Color, int]) -> None:
    instance, shape = case
    blue, green = (nodes_for(replicas[color], instance, shape) for color in COLORS)
    cost = headroom_usd_per_hour(blue + green, active_replicas=replicas["blue"], instance=instance, shape=shape)
    assert cost == usd_per_hour(instance, green)
    assert headroom_usd_per_hour(0, active_replicas=replicas["blue"], instance=instance, shape=shape) in (0, None)
    assert (cost is None) == (instance.usd_per_hour is None)


def _in_order(size: PoolSize) -> None:
    assert 0 <= size.min_nodes <= size.desired_nodes <= size.max_nodes
    assert size.max_nodes >= 1  # EKS takes no less
