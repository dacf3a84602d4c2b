"""Node pools as they are declared: whether their nodes may be disrupted, and of which types they are."""

from typing import Any

import pytest

from components.domain.nodes.node_pools import keeps_all_nodes, required_types


@pytest.mark.parametrize(
    ("budgets", "keeps"),
    [
        ([{"nodes": "0"}], True),
        ([{"nodes": "0%"}], True),
        ([{"nodes": "10%"}, {"nodes": "0"}], True),
        ([{"nodes": 0}], True),
        ([{"nodes": "0", "reasons": []}], True),
        ([{"nodes": "1"}], False),
        ([{"nodes": "0", "reasons": ["Drifted"]}], False),
        ([{"nodes": "0", "schedule": "@daily", "duration": "10m"}], False),
        ([], False),
        (None, False),
        (["0"], False),
    ],
)
def test_only_a_budget_of_nothing_for_any_reason_at_any_time_keeps_all_nodes(budgets: Any, keeps: bool) -> None:
    assert keeps_all_nodes(budgets) is keeps


def test_types_are_those_that_a_requirement_names() -> None:
    types = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["g6e.2xlarge", "g6e.4xlarge"]}
    zones = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a"]}
    assert required_types([zones, types]) == ["g6e.2xlarge", "g6e.4xlarge"]
    assert required_types([zones, {**types, "operator": "NotIn"}]) is None
    assert required_types(None) is None
