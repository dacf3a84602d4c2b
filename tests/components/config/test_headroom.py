"""The price of headroom for a service's settings, and the table of docs/headroom.md."""

from typing import Any

import pytest

from components.config.headroom import BEGIN, headroom_costs, with_table
from components.domain.capacity.headroom import MODES, MODES_ON_OTHERS_NODES
from components.domain.naming import COLORS
from tests.components.example import ROOT, release, service_settings

PAGE = ROOT / "docs" / "headroom.md"
FOUR: dict[str, Any] = {"blue": {"replicas": 4, "release": release()}, "green": {"replicas": 4}}
SURGE: dict[str, Any] = {**FOUR, "headroom_mode": "surge", "node_groups": "shared", "surge_replicas": 2}


def test_the_table_is_as_the_prices_are() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_table(text) == text, "run `make config`"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the page must have the lines '<!-- table: make config -->' and "):
        with_table("# Headroom\n")
    with pytest.raises(ValueError, match="the table goes between them"):
        with_table(f"# Headroom\n{BEGIN}")


@pytest.mark.parametrize(
    "changes", [FOUR, SURGE, {**FOUR, "headroom_mode": "always"}], ids=["default", "surge", "always"]
)
def test_the_chosen_mode_comes_first_and_every_other_one_follows(changes: dict[str, Any]) -> None:
    settings = service_settings(**changes)
    modes = [cost.mode for cost in headroom_costs(settings)]
    assert modes[0] == settings.headroom_mode
    assert sorted(modes) == sorted(MODES)


@pytest.mark.parametrize(("mode", "surge"), [("on_rollout", None), ("surge", 2)])
def test_on_others_nodes_there_are_two_modes_to_compare(mode: str, surge: int | None) -> None:
    nodes = {"existing_nodes": {"node_selector": {"team": "llm"}}}
    costs = headroom_costs(service_settings(**FOUR, **nodes, headroom_mode=mode, surge_replicas=surge))
    assert [cost.mode for cost in costs] == sorted(MODES_ON_OTHERS_NODES, key=lambda one: one != mode)
    assert {cost.of_month for cost in costs} == {"nothing"}


def test_with_an_autoscaler_surge_is_no_choice() -> None:
    scaling = {"min_replicas": 1, "max_replicas": 4, "target": 5, "prometheus_url": "http://prometheus:9090"}
    costs = headroom_costs(service_settings(autoscaling=scaling, blue={"release": release()}, green={}))
    assert [cost.mode for cost in costs] == ["on_rollout", "reserved", "always"]
    assert costs[0].nodes == 4, "at max_replicas"


def test_with_several_instance_types_a_reservation_is_no_choice() -> None:
    costs = headroom_costs(service_settings(fallback_instance_types=["g6e.4xlarge"]))
    assert [cost.mode for cost in costs] == ["on_rollout", "always", "surge"]


def test_a_rollout_lasts_from_the_start_of_the_nodes_to_the_end_of_the_keep_warm_window() -> None:
    settings = service_settings(
        **FOUR,
        node_start_seconds=900,
        cold_start_seconds=600,
        rollout={
            "steps": [{"candidate_percent": 10, "hold_seconds": 100}, {"candidate_percent": 100, "hold_seconds": 200}],
            "soak_seconds": 1800,
            "keep_warm_seconds": 7200,
        },
    )
    assert headroom_costs(settings)[0].hours == 3


def test_a_service_without_surge_is_compared_with_the_fewest_places_whose_way_back_is_short_enough() -> None:
    def surge(**changes: Any) -> tuple[int | None, str]:
        cost = next(one for one in headroom_costs(service_settings(**FOUR, **changes), 100) if one.mode == "surge")
        return cost.surge_replicas, cost.way_back

    assert surge() == (1, "instant up to 25 %, 780 s (3 waves of 260 s) from the last rung")
    assert surge(max_rollback_seconds=300) == (2, "instant up to 50 %, 260 s (1 wave of 260 s) from the last rung")
    assert surge(max_rollback_seconds=200) == (4, "instant until keep_until")


def test_a_service_with_surge_is_priced_with_its_own_places() -> None:
    settings = service_settings(**SURGE)
    cost = headroom_costs(settings)[0]
    assert (cost.surge_replicas, cost.nodes) == (2, 2)
    assert cost.usd_per_month == pytest.approx(730 * (settings.headroom_usd_per_hour or 0), abs=0.01)


def test_a_block_for_the_idle_colour_has_no_known_price() -> None:
    block = {
        "kind": "capacity_block",
        "id": "cr-0123456789abcdef0",
        "subnet_id": "subnet-1",
        "ends": "2027-01-01T00:00:00Z",
    }
    base: dict[str, Any] = {"instance_type": "p5.48xlarge", "gpus_per_replica": 8, "headroom_mode": "reserved"}
    green = service_settings(**base, green={"replicas": 2, "reservation": block})
    blue = service_settings(**base, blue={"replicas": 2, "release": release(), "reservation": block})
    assert headroom_costs(green)[0].of_month.endswith("price unknown (a Capacity Block has a price of its own)")
    assert headroom_costs(blue)[0].usd, "green's nodes are plain On-Demand capacity"
    # A colour's replicas cost what the other's do, whichever runs in the block.
    assert [blue.price_of_replicas(color, 1) for color in COLORS] == [None, None]
    own = service_settings(**base, green={"replicas": 2, "reservation": block}, node_usd_per_hour=40.0)
    assert headroom_costs(own)[0].usd_per_month == pytest.approx(730 * 2 * 40)
    assert [own.price_of_replicas(color, 3) for color in COLORS] == [120.0, 120.0]


def test_a_colour_pays_for_whole_nodes_of_its_own_and_for_its_part_of_shared_ones() -> None:
    base: dict[str, Any] = {"instance_type": "p5.48xlarge", "gpus_per_replica": 2, "node_usd_per_hour": 40.0}
    alone = service_settings(**base)
    assert [alone.price_of_replicas("blue", replicas) for replicas in (1, 4, 5)] == [40.0, 40.0, 80.0]
    shared = service_settings(**base, headroom_mode="always", node_groups="shared")
    assert [shared.price_of_replicas("blue", replicas) for replicas in (1, 4, 5)] == [10.0, 40.0, 50.0]
    assert alone.instance.usd_per_hour == 40.0
