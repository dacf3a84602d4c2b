"""The price of headroom: what each mode adds to a rollout, what it costs anyway, and its way back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.capacity.capacity import HeadroomMode, ReplicaShape, nodes_for, usd_per_hour
from components.domain.capacity.headroom import (
    HOURS_PER_MONTH,
    MODES,
    MODES_ON_OTHERS_NODES,
    HeadroomCase,
    climbing_way_back,
    headroom_lines,
)
from components.domain.capacity.ladder import SharedCapacity, make_ladder
from components.domain.nodes.gpu_instances import INSTANCE_TYPES

PRICED = [one for one in INSTANCE_TYPES.values() if one.usd_per_hour is not None]
UNPRICED = next(one for one in INSTANCE_TYPES.values() if one.usd_per_hour is None)
SMALL = ReplicaShape(gpus=1, millicpus=100, memory_mib=256)
FOUR = HeadroomCase(
    replicas=4,
    candidate_replicas=4,
    surge_replicas=1,
    instance=INSTANCE_TYPES["g6e.2xlarge"],
    shape=SMALL,
    shares_nodes=False,
    reservation="on_demand",
    rollout_seconds=25 * 3600,
    surge_way_back="instant up to 25 %",
)


@st.composite
def cases(draw: st.DrawFn) -> HeadroomCase:
    """Services of any size whose colours have equally many replicas."""
    replicas, instance = draw(st.integers(1, 64)), draw(st.sampled_from(PRICED))
    return HeadroomCase(
        replicas=replicas,
        candidate_replicas=replicas,
        surge_replicas=draw(st.integers(1, replicas)),
        instance=instance,
        shape=replace(SMALL, gpus=draw(st.integers(1, instance.gpus))),
        shares_nodes=draw(st.booleans()),
        reservation="on_demand",
        rollout_seconds=draw(st.integers(60, HOURS_PER_MONTH * 3600)),
        surge_way_back="instant",
    )


@given(cases(), st.integers(0, 100))
def test_a_second_pool_for_rollouts_never_costs_more_in_a_month_than_one_that_is_always_up(
    case: HeadroomCase, rollouts: int
) -> None:
    case = replace(case, shares_nodes=False)
    on_rollout, always = case.cost("on_rollout"), case.cost("always")
    assert on_rollout.usd is not None
    assert always.usd_per_month is not None
    fitting = min(rollouts, int(HOURS_PER_MONTH * 3600 // case.rollout_seconds))
    assert fitting * on_rollout.usd <= always.usd_per_month + 0.01 * (fitting + 1)
    assert fitting * on_rollout.gpu_hours <= always.gpu_hours_per_month + 0.1 * (fitting + 1)


@given(cases())
def test_a_surge_as_large_as_a_colour_needs_the_nodes_of_always_up(case: HeadroomCase) -> None:
    full = replace(case, surge_replicas=case.replicas, shares_nodes=True)
    assert full.extra_nodes("surge") == full.extra_nodes("always")


@given(cases())
def test_a_surge_never_needs_more_nodes_than_a_second_pool(case: HeadroomCase) -> None:
    assert case.extra_nodes("surge") <= case.extra_nodes("always") <= case.extra_nodes("on_rollout")
    both = nodes_for(case.replicas, case.instance, case.shape) + case.extra_nodes("surge")
    assert both == nodes_for(case.replicas + case.surge_replicas, case.instance, case.shape)


@given(cases())
def test_on_others_nodes_only_a_rollout_is_paid_and_all_replicas_share_nodes(case: HeadroomCase) -> None:
    case = replace(case, others_nodes=True, shares_nodes=True)
    for mode in MODES_ON_OTHERS_NODES:
        cost = case.cost(mode)
        assert cost.gpu_hours_per_month == 0
        assert bool(cost.usd) is bool(cost.nodes)
    both = nodes_for(2 * case.replicas, case.instance, case.shape)
    assert case.extra_nodes("on_rollout") == both - nodes_for(case.replicas, case.instance, case.shape)


@given(cases())
def test_nodes_are_paid_by_the_rollout_or_by_the_month(case: HeadroomCase) -> None:
    for mode in MODES:
        cost = case.cost(mode)
        by_rollout, by_month = bool(cost.gpu_hours), bool(cost.gpu_hours_per_month)
        assert not (by_rollout and by_month)
        assert by_month or mode in ("on_rollout", "surge", "always")
        assert cost.usd_per_month == pytest.approx(
            (usd_per_hour(case.instance, cost.nodes) or 0) * HOURS_PER_MONTH * (mode != "on_rollout"), abs=0.01
        )


def test_what_four_replicas_cost() -> None:
    found = {mode: FOUR.cost(mode) for mode in MODES}
    assert {mode: (one.nodes, one.gpu_hours, one.usd) for mode, one in found.items()} == {
        "on_rollout": (4, 100, 224.21),
        "reserved": (4, 0, 0),
        "always": (4, 0, 0),
        "surge": (1, 0, 0),
    }
    assert {mode: (one.gpu_hours_per_month, one.usd_per_month) for mode, one in found.items()} == {
        "on_rollout": (0, 0),
        "reserved": (2920, 6546.87),
        "always": (2920, 6546.87),
        "surge": (730, 1636.72),
    }


def test_a_colour_without_a_reservation_costs_what_a_rollout_takes() -> None:
    plain = replace(FOUR, reservation=None).cost("reserved")
    assert replace(plain, mode="on_rollout") == FOUR.cost("on_rollout")


@pytest.mark.parametrize("mode", MODES)
def test_a_type_without_a_price_is_named_in_place_of_a_price(mode: HeadroomMode) -> None:
    whole_node = replace(SMALL, gpus=UNPRICED.gpus)
    cost = replace(FOUR, instance=UNPRICED, shape=whole_node).cost(mode)
    assert (cost.usd, cost.usd_per_month) == (None, None)
    assert f"price unknown (there is none for {UNPRICED.name})" in str(cost)
    assert "USD" not in str(cost)


def test_the_price_of_a_capacity_block_is_unknown_and_that_of_other_modes_is_not() -> None:
    block = replace(FOUR, reservation="capacity_block")
    assert block.cost("reserved").of_month == (
        "2,920 GPU-hours, price unknown (a Capacity Block has a price of its own)"
    )
    assert block.cost("always").of_month == "2,920 GPU-hours, about 6,547 USD"


def test_each_mode_is_a_line_and_the_chosen_one_the_first() -> None:
    assert list(headroom_lines([FOUR.cost("on_rollout"), FOUR.cost("surge")])) == [
        "headroom on_rollout: 4 more nodes; one rollout (25.0 h with the keep-warm window): 100 GPU-hours, about 224 "
        "USD; a month, rollout or not: nothing; way back: instant until keep_until",
        "instead, headroom surge of 1: 1 more node; one rollout (25.0 h with the keep-warm window): nothing; a month, "
        "rollout or not: 730 GPU-hours, about 1,637 USD; way back: instant up to 25 %",
    ]


@pytest.mark.parametrize(
    ("surge", "expected"),
    [
        (1, "instant up to 25 %, 300 s (3 waves of 100 s) from the last rung"),
        (2, "instant up to 50 %, 100 s (1 wave of 100 s) from the last rung"),
        (4, "instant until keep_until"),
    ],
)
def test_the_way_back_from_a_ladder_names_where_it_stops_being_instant(surge: int, expected: str) -> None:
    capacity = SharedCapacity(replicas=4, surge=surge, max_utilization_percent=105)
    assert climbing_way_back(make_ladder(capacity, (1, 25, 75, 100)), 100) == expected
