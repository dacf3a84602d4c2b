"""Nodes that others bring: what pods say, and every setting that only node groups of the program's own can follow."""

from typing import Any

import pytest

from components.config.settings import SettingsError
from components.domain.naming import COLORS
from components.domain.nodes.tolerations import GPU_TOLERATION, Toleration
from tests.components.example import release, service_settings

NODES: dict[str, Any] = {"node_selector": {"team": "llm"}}
POOL: dict[str, Any] = {"karpenter_node_pool": {"node_class": "gpu"}}
AUTO_MODE = {"node_class": "gpu", "node_class_kind": "NodeClass"}
RESERVATION = {"kind": "on_demand", "id": "cr-0a", "subnet_id": "subnet-1", "ends": "2026-12-01T08:00:00Z"}
BOTH: dict[str, Any] = {
    "blue": {"replicas": 2, "release": release()},
    "green": {"replicas": 2, "release": release(model_revision="beef123")},
}


def test_both_colours_select_the_named_nodes_and_tolerate_their_taints() -> None:
    nodes = {**NODES, "tolerations": [{"key": "team", "value": "llm"}, {"key": "x", "effect": "NoExecute"}]}
    settings = service_settings(existing_nodes=nodes)
    assert [settings.node_selector("chat", color) for color in COLORS] == [{"team": "llm"}] * 2
    assert settings.tolerations == (
        GPU_TOLERATION,
        Toleration(key="team", value="llm"),
        Toleration(key="x", effect="NoExecute"),
    )
    assert settings.topology == ("topology.kubernetes.io/zone",)
    assert settings.shares_nodes
    assert not settings.declares_nodes


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"headroom_mode": "always"},
            "headroom_mode: must not be always with existing_nodes: whoever brings the nodes keeps or reserves them "
            '(got "always"). Set it to on_rollout or surge, or remove existing_nodes.',
        ),
        ({"headroom_mode": "reserved"}, "headroom_mode: must not be reserved with existing_nodes"),
        ({"node_groups": "shared"}, "node_groups: must not be set with existing_nodes: the program declares no node"),
        ({"spare_nodes": 1}, "spare_nodes: must not be set with existing_nodes"),
        ({"nodes": {"ssm_access": True}}, "nodes: must not be set with existing_nodes"),
        ({"green": {"provisioned": True}}, "green.provisioned: must not be set with existing_nodes"),
        ({"green": {"reservation": RESERVATION}}, "green.reservation: must not be set with existing_nodes"),
        ({"green": {"node_release_version": "1.33.4-20260801"}}, "green.node_release_version: must not be set with"),
        ({"green": {"node_subnet_ids": ["subnet-1"]}}, "green.node_subnet_ids: must not be set with existing_nodes"),
        (
            {"existing_nodes": {}},
            "existing_nodes.node_selector: is required without karpenter_node_pool but not set. Name a label of the "
            'nodes, e.g. {"team": "llm"}.',
        ),
        ({"existing_nodes": {"node_selector": {}}}, "existing_nodes.node_selector: is required without"),
        (
            {"existing_nodes": {**NODES, **POOL}},
            "existing_nodes.node_selector: must not be set with karpenter_node_pool: pods select the nodes of that "
            'pool (got {"team": "llm"}). Remove one of the two.',
        ),
        (
            {"existing_nodes": {"karpenter_node_pool": {}}},
            "existing_nodes.karpenter_node_pool.node_class: is required but not set",
        ),
        (
            {"existing_nodes": {"karpenter_node_pool": {"node_class": "gpu", "zones": ["us-east-1"]}}},
            "existing_nodes.karpenter_node_pool.zones[0]: must be an availability zone, e.g. us-east-1a",
        ),
        (
            {"existing_nodes": {"karpenter_node_pool": {**AUTO_MODE, "capacity_reservation_ids": ["cr-0a"]}}},
            "existing_nodes.karpenter_node_pool.capacity_reservation_ids: must not be set with node_class_kind "
            'NodeClass: EKS Auto Mode has no label for it (got ["cr-0a"]). Select them in the NodeClass: '
            "capacityReservationSelectorTerms.",
        ),
        (
            {"existing_nodes": {**NODES, "topology": ["rack", "rack"]}},
            "existing_nodes.topology: must not name rack more than once",
        ),
        (
            {"existing_nodes": {**NODES, "tolerations": [{"key": "team", "effect": "Never"}]}},
            "existing_nodes.tolerations[0].effect: must be NoSchedule or PreferNoSchedule or NoExecute",
        ),
    ],
)
def test_what_does_not_go_with_others_nodes_is_named_with_the_fix(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        service_settings(**{"existing_nodes": NODES, **changes})
    (line,) = str(refused.value).splitlines()[1:]
    assert says in line
    assert "existing_nodes" in line


@pytest.mark.parametrize(
    "default", [{"node_groups": "per_color"}, {"spare_nodes": 0}, {"nodes": {"ssm_access": False}}], ids=str
)
def test_a_default_that_is_written_out_is_as_good_as_none(default: dict[str, Any]) -> None:
    assert service_settings(existing_nodes=NODES, **default) == service_settings(existing_nodes=NODES)


def test_a_surge_needs_no_shared_node_group_where_the_program_declares_none() -> None:
    settings = service_settings(existing_nodes=NODES, headroom_mode="surge", surge_replicas=1)
    assert settings.ladder is not None
    assert settings.first_replicas == 1


@pytest.mark.parametrize("parked", [True, False])
def test_only_nodes_with_replicas_on_them_are_headroom(parked: bool) -> None:
    green = {**BOTH["green"], "parked": parked}
    settings = service_settings(**{**BOTH, "green": green}, existing_nodes=NODES)
    assert settings.headroom_usd_per_hour == (0 if parked else pytest.approx(2 * 2.24208))


@pytest.mark.parametrize("nodes", [NODES, POOL])
@pytest.mark.parametrize(("floor", "headroom"), [(0, 2), (5, 5)])
def test_with_an_autoscaler_others_nodes_are_headroom_as_far_as_the_idle_floor_needs_them(
    nodes: dict[str, Any], floor: int, headroom: int
) -> None:
    scaling = {"min_replicas": 2, "max_replicas": 8, "target": 5, "prometheus_url": "http://prometheus:9090"}
    green = {"release": release(model_revision="a1b2c3d"), "floor_replicas": floor}
    settings = service_settings(autoscaling=scaling, existing_nodes=nodes, blue={"release": release()}, green=green)
    assert settings.headroom_usd_per_hour == pytest.approx(headroom * 2.24208)


def test_each_colour_has_a_node_pool_of_its_own_unless_both_share_places() -> None:
    own = service_settings(existing_nodes=POOL)
    assert not own.shares_nodes
    for color in COLORS:
        assert own.node_selector("chat", color) == {"vllm-blue-green/service": "chat", "vllm-blue-green/color": color}
    shared = service_settings(existing_nodes=POOL, headroom_mode="surge", surge_replicas=1)
    assert shared.shares_nodes
    assert shared.node_selector("chat", "blue") == {"vllm-blue-green/service": "chat"}


@pytest.mark.parametrize(
    ("changes", "gpus"),
    [
        ({}, 2),
        ({"blue": {"replicas": 5, "release": release()}, "instance_type": "g6e.12xlarge"}, 8),
        ({"instance_type": "p5.48xlarge", "gpus_per_replica": 8}, 16),
        ({"headroom_mode": "surge", "surge_replicas": 1}, 3),
        (
            {
                "blue": {"release": release()},
                "green": {},
                "autoscaling": {
                    "min_replicas": 2,
                    "max_replicas": 8,
                    "target": 5,
                    "prometheus_url": "http://prometheus:9090",
                },
            },
            8,
        ),
        ({"headroom_mode": "surge", "surge_replicas": 1, "active_color": "green"}, 3),
    ],
)
def test_a_node_pool_may_have_as_many_gpus_as_the_nodes_of_a_colour_at_full_size(
    changes: dict[str, Any], gpus: int
) -> None:
    assert service_settings(existing_nodes=POOL, **changes).node_pool_gpus("blue") == gpus


@pytest.mark.parametrize("parked", [True, False])
def test_the_program_has_no_nodes_to_give_back(parked: bool) -> None:
    green = {**BOTH["green"], "parked": parked}
    assert service_settings(**{**BOTH, "green": green}).gives_back_nodes("green")
    assert not service_settings(**{**BOTH, "green": green}, existing_nodes=NODES).gives_back_nodes("green")


def test_the_speed_of_others_disks_is_not_known() -> None:
    slow = {"blue": {"replicas": 2, "release": release(weights_gib=40)}, "cold_start_seconds": 10}
    assert list(service_settings(**slow).load_warnings("blue"))
    assert not list(service_settings(**slow, existing_nodes=NODES).load_warnings("blue"))
