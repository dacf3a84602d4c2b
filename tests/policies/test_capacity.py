"""Policies on capacity, beyond the cases: the clock, options, unknown values, every instance type."""

from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from pulumi_policy import Policy

from components.domain.nodes.gpu_instances import INSTANCE_TYPES
from policies import clock
from policies.capacity import (
    active_color_runs,
    desired_holds_running_colors,
    maximum_holds_both_colors,
    node_group_per_color,
    replica_fits_node,
    reservation_end_known,
    reservation_outlasts_promise,
    tags_tell_the_truth,
    weight_needs_replicas,
)
from tests.policies.edits import GONE, UNKNOWN, Edits, edited
from tests.policies.judge import judge
from tests.policies.releases import BLUE_ID, GREEN_ID
from tests.policies.stacks import stack

_REQUESTS = 'spec.template.spec.containers[0].resources.requests["nvidia.com/gpu"]'
_LIMITS = 'spec.template.spec.containers[0].resources.limits["nvidia.com/gpu"]'
_KEEP_UNTIL = 'tags["vllm-blue-green/keep-until"]'
_ENDS = 'tags["vllm-blue-green/reservation-ends"]'
_WEIGHTS = "actions[0].forward.targetGroups"
NOT_EVALUATED = None


def found(policy: Policy, base: str, edits: Edits, options: Mapping[str, Any] | None = None) -> list[str | None]:
    """The messages of one policy; NOT_EVALUATED stands for a value that is not known yet."""
    config = None if options is None else {policy.name: options}
    return [one.message for one in judge(edited(stack(base), edits), config, (policy,))]


@pytest.mark.parametrize("name", INSTANCE_TYPES)
def test_every_instance_type_is_told_what_would_do_in_one_short_line(name: str) -> None:
    edits: Edits = {
        "NodeGroup chat-green": {"instanceTypes": [name]},
        "Deployment chat-green": {_REQUESTS: 9, _LIMITS: 9},
    }
    (message,) = found(replica_fits_node, "ramp", edits)
    assert message is not None
    assert f"which a {name} node offers one replica" in message
    assert len(message) <= 400


@pytest.mark.parametrize("name", ["t3.medium", "g6f.xlarge", "g4ad.xlarge", "g5g.xlarge", "zz9.metal", "g6e.3xlarge"])
def test_what_is_no_gpu_node_is_told_so_in_one_short_line(name: str) -> None:
    messages = found(replica_fits_node, "ramp", {"NodeGroup chat-green": {"instanceTypes": [name]}})
    assert [f"instanceTypes is {name}" in (message or "") for message in messages] == [True]
    assert len(messages[0] or "") <= 400
    sizes = (maximum_holds_both_colors, desired_holds_running_colors)
    assert [found(policy, "ramp", {"NodeGroup chat-green": {"instanceTypes": [name]}}) for policy in sizes] == [[], []]


def test_pods_without_a_gpu_need_no_gpu_node() -> None:
    edits: Edits = {"Deployment chat-green": {_REQUESTS: GONE, _LIMITS: GONE}}
    group = {"NodeGroup chat-green": {"instanceTypes": ["t3.medium"]}}
    assert found(replica_fits_node, "ramp", {**edits, **group}) == []


@pytest.mark.parametrize("weight", [0, 1, 24, 25, 26, 50, 51, 99, 100])
@pytest.mark.parametrize("percent", [1, 50, 99, 100])
@pytest.mark.parametrize("full", [1, 3, 4])
def test_a_weight_needs_its_share_of_the_active_colours_replicas(weight: int, percent: int, full: int) -> None:
    needed = ceil(Fraction(weight, 100) * Fraction(percent, 100) * full)
    for replicas in range(1, full + 1):
        edits = {
            "ListenerRule chat": {
                f"{_WEIGHTS}[0].weight": 100 - weight,
                f"{_WEIGHTS}[1].weight": weight,
                'tags["vllm-blue-green/blue"]': f"{BLUE_ID} x{full}",
                'tags["vllm-blue-green/green"]': f"{GREEN_ID} x{replicas}",
            }
        }
        refused = found(weight_needs_replicas, "ramp", edits, {"replicas_percent": percent}) != []
        assert refused == (replicas < needed)


def test_requests_to_a_colour_that_does_not_run_are_left_to_the_traffic_policies() -> None:
    candidate: Edits = {"ListenerRule chat": {'tags["vllm-blue-green/green"]': f"{GREEN_ID} parked"}}
    assert found(weight_needs_replicas, "ramp", candidate) == []
    active: Edits = {"ListenerRule chat": {'tags["vllm-blue-green/green"]': f"{GREEN_ID} parked"}}
    assert found(active_color_runs, "promoted", active) == []


@pytest.mark.parametrize(
    ("policy", "edits"),
    [
        (maximum_holds_both_colors, {"NodeGroup chat-green": {"scalingConfig.maxSize": UNKNOWN}}),
        (desired_holds_running_colors, {"NodeGroup chat-green": {"scalingConfig.desiredSize": UNKNOWN}}),
        (desired_holds_running_colors, {"Deployment chat-green": {"spec.replicas": UNKNOWN}}),
        (replica_fits_node, {"NodeGroup chat-green": {"instanceTypes": UNKNOWN}}),
        (replica_fits_node, {"NodeGroup chat-green": {"instanceTypes[0]": UNKNOWN}}),
        (tags_tell_the_truth, {"ListenerRule chat": {'tags["vllm-blue-green/green"]': UNKNOWN}}),
        (weight_needs_replicas, {"ListenerRule chat": {'tags["vllm-blue-green/green"]': UNKNOWN}}),
        (reservation_end_known, {"LaunchTemplate chat-green": {"instanceMarketOptions": UNKNOWN}}),
    ],
)
def test_what_is_not_known_yet_is_neither_passed_nor_refused(policy: Policy, edits: Edits) -> None:
    assert found(policy, "ramp", edits) == [NOT_EVALUATED]


def test_what_a_policy_does_not_need_may_be_unknown() -> None:
    edits = {
        "NodeGroup chat-green": {
            "launchTemplate.id": UNKNOWN,
            "launchTemplate.version": UNKNOWN,
            "nodeRoleArn": UNKNOWN,
        },
        "LaunchTemplate chat-green": {"networkInterfaces": UNKNOWN},
        "Deployment chat-green": {"spec.template.spec.volumes": UNKNOWN},
    }
    policies = (replica_fits_node, maximum_holds_both_colors, desired_holds_running_colors, node_group_per_color)
    assert [found(policy, "ramp", edits) for policy in policies] == [[]] * 4


def test_a_reservation_that_is_made_in_the_same_update_needs_an_end_as_well() -> None:
    target = "capacityReservationSpecification.capacityReservationTarget"
    edits: Edits = {
        "LaunchTemplate chat-green": {f"{target}.capacityReservationId": UNKNOWN},
        "NodeGroup chat-green": {_ENDS: GONE},
    }
    (message,) = found(reservation_end_known, "reserved", edits)
    assert "the end of its reservation is not set" in (message or "")


def test_a_service_that_cannot_be_judged_yet_hides_no_other() -> None:
    edits = {
        "NodeGroup chat-green": {"scalingConfig.maxSize": UNKNOWN},
        "NodeGroup search-green": {"scalingConfig.maxSize": 1},
    }
    refused, unknown = found(maximum_holds_both_colors, "two", edits)
    assert "search-green: scalingConfig.maxSize is 1" in (refused or "")
    assert unknown is NOT_EVALUATED


def test_an_exempt_service_is_passed_over_and_no_other() -> None:
    edits = {f"NodeGroup {service}-green": {"scalingConfig.maxSize": 1} for service in ("chat", "search")}
    (message,) = found(maximum_holds_both_colors, "two", edits, {"exempt": ["chat"]})
    assert "search-green" in (message or "")


@pytest.mark.parametrize(
    ("now", "refused"), [("2098-12-31T23:59:59+00:00", True), ("2099-01-01T00:00:00+00:00", False)]
)
def test_a_block_must_last_until_the_keep_warm_window_ends(
    now: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime.fromisoformat(now))
    edits: Edits = {"NodeGroup chat-green": {_ENDS: "2099-01-01T00:00:00Z"}}
    assert bool(found(reservation_outlasts_promise, "block", edits)) == refused


@pytest.mark.parametrize(
    ("now", "refused"), [("2098-12-31T23:59:59+00:00", True), ("2099-01-01T00:00:00+00:00", False)]
)
def test_the_tag_of_the_idle_colour_must_match_until_the_keep_warm_window_ends(
    now: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime.fromisoformat(now))
    edits: Edits = {"Deployment chat-blue": {"spec.replicas": 3}}
    assert bool(found(tags_tell_the_truth, "promoted", edits)) == refused


def test_a_keep_until_that_only_guards_can_read_does_not_bind_blocks() -> None:
    edits: Edits = {
        "ListenerRule chat": {_KEEP_UNTIL: "2099-01-01 00:00+00:00"},
        "NodeGroup chat-green": {_ENDS: "2030-01-01T00:00:00Z"},
    }
    assert found(reservation_outlasts_promise, "block", edits) == []


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        (maximum_holds_both_colors, {"spare_nodes": -1}),
        (maximum_holds_both_colors, {"spare_nodes": 101}),
        (maximum_holds_both_colors, {"sparenodes": 1}),
        (weight_needs_replicas, {"replicas_percent": 0}),
        (weight_needs_replicas, {"replicas_percent": 101}),
    ],
)
def test_options_that_mean_nothing_are_refused(policy: Policy, options: Mapping[str, Any]) -> None:
    (message,) = set(found(policy, "ramp", {}, options))
    assert (message or "").startswith(f"config of the policy: {next(iter(options))} is ")


def test_options_at_their_limits_are_taken() -> None:
    for spare_nodes in (0, 100):
        assert len(found(maximum_holds_both_colors, "ramp", {}, {"spare_nodes": spare_nodes})) == (
            2 if spare_nodes else 0
        )
    for percent in (1, 100):
        assert found(weight_needs_replicas, "ramp", {}, {"replicas_percent": percent}) == []


def test_the_clock_tells_the_time() -> None:
    before = datetime.now(UTC)
    assert before <= clock.now() <= datetime.now(UTC)
