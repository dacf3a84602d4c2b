"""Whether an account has enough for the new nodes: quota, reservation, addresses."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.rollout_settings import RolloutSettings
from components.config.settings import ServiceSettings
from components.domain.naming import COLORS
from components.domain.nodes.gpu_instances import INSTANCE_TYPES
from rollout.model.account import QUOTAS, CapacityReservation, Credentials, RunningInstance, Subnet, VolumeKey
from rollout.model.plan import make_plan
from rollout.steps.account import (
    address_violations,
    cni_violations,
    credential_violations,
    credential_warnings,
    key_violations,
    key_warnings,
    quota_of,
    quota_violations,
    reservation_state_violations,
    subnet_ids_of,
    used_vcpus,
    zone_violations,
    zone_warnings,
)
from tests.components.example import release, service_settings

NOW = datetime(2026, 12, 1, tzinfo=UTC)
BLOCK = {"kind": "capacity_block", "id": "cr-1", "subnet_id": "subnet-2", "ends": "2026-12-03T00:00:00Z"}
ZONE = Subnet(id="subnet-2", zone="us-east-1b", free_addresses=100)


def reserved(**changes: Any) -> ServiceSettings:
    return service_settings(
        instance_type="p5.48xlarge",
        gpus_per_replica=8,
        headroom_mode="reserved",
        green={"replicas": 2, "reservation": {**BLOCK, **changes}},
    )


def reservation(**changes: Any) -> CapacityReservation:
    values: dict[str, Any] = {
        "id": "cr-1",
        "instance_type": "p5.48xlarge",
        "zone": "us-east-1b",
        "state": "active",
        "total": 2,
        "available": 2,
        "vcpus_each": 192,
        "is_block": True,
        "ends": datetime(2026, 12, 3, tzinfo=UTC),
    }
    return CapacityReservation(**{**values, **changes})


def on_demand(count: int, name: str = "g6e.2xlarge", lifecycle: str = "") -> list[RunningInstance]:
    return [RunningInstance(instance_type=name, vcpus=INSTANCE_TYPES[name].vcpus, lifecycle=lifecycle)] * count


def quota(settings: ServiceSettings, limit: float, *instances: RunningInstance, **kept: Any) -> list[str]:
    reservations = kept.get("reservations", [])
    return list(
        quota_violations(settings, ["green"], limit_vcpus=limit, instances=instances, reservations=reservations)
    )


@pytest.mark.parametrize("name", INSTANCE_TYPES)
def test_every_known_type_has_one_quota(name: str) -> None:
    assert [quota.code for quota in QUOTAS if quota.covers(name)] == [quota_of(name).code]
    assert quota_of(name).code == ("L-417A185B" if name.startswith("p") else "L-DB2E81BA")


def test_the_nodes_to_come_must_fit_beside_all_that_runs() -> None:
    settings = service_settings()  # needs two new nodes of 8 vCPUs
    assert quota(settings, 32, *on_demand(2)) == []
    (violation,) = quota(settings, 31, *on_demand(2))
    assert "2 new nodes of g6e.2xlarge" in violation
    assert "is 31 and 16 are in use" in violation
    assert "--quota-code L-DB2E81BA --desired-value 32" in violation


def test_nodes_that_are_up_need_no_more_quota() -> None:
    assert quota(service_settings(headroom_mode="always"), 0) == []


def test_a_reservation_brings_its_own_capacity() -> None:
    assert quota(reserved(), 0) == []


@given(
    mine=st.integers(0, 5),
    spot=st.integers(0, 5),
    block=st.integers(0, 5),
    others=st.integers(0, 5),
    free=st.integers(0, 5),
)
def test_on_demand_instances_and_unused_reservations_of_the_family_count_and_nothing_else(
    mine: int, spot: int, block: int, others: int, free: int
) -> None:
    instances = [
        *on_demand(mine, "p5.48xlarge"),
        *on_demand(spot, "p5.48xlarge", "spot"),
        *on_demand(block, "p5.48xlarge", "capacity-block"),
        *on_demand(others, "g5.xlarge"),
    ]
    kept = [
        reservation(is_block=False, available=free),
        reservation(is_block=True, available=3),
        reservation(is_block=False, state="pending"),
        reservation(is_block=False, instance_type="g5.xlarge"),
    ]
    assert used_vcpus(quota_of("p4d.24xlarge"), instances, kept) == 192 * (mine + free)


def state(settings: ServiceSettings, *found: CapacityReservation, subnet: Subnet = ZONE) -> list[str]:
    return list(reservation_state_violations(settings, "green", reservations=found, subnets=[subnet], now=NOW))


def test_an_active_block_with_room_in_the_right_zone_will_do() -> None:
    assert state(reserved(), reservation()) == []
    assert state(service_settings()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": "scheduled"}, "green.reservation.id: cr-1 is scheduled, not active. It has not begun: wait"),
        ({"state": "expired"}, "green.reservation.id: cr-1 is expired, not active. Use another one"),
        ({"is_block": False}, "green.reservation.kind: is capacity_block, but cr-1 is not a Capacity Block"),
        ({"instance_type": "p5en.48xlarge"}, "green.reservation.id: cr-1 is for p5en.48xlarge"),
        ({"zone": "us-east-1a"}, "green.reservation.subnet_id: is in us-east-1b, but cr-1 is in us-east-1a"),
        ({"available": 1}, "green.reservation: cr-1 has 1 of 2 instances free, but green needs 2 new nodes"),
        (
            {"ends": datetime(2026, 12, 2, tzinfo=UTC)},
            "green.reservation.ends: is 2026-12-03T00:00:00Z, but cr-1 ends at 2026-12-02T00:00:00Z",
        ),
    ],
)
def test_what_is_wrong_with_a_reservation(change: dict[str, Any], message: str) -> None:
    (violation,) = state(reserved(), reservation(**change))
    assert violation.startswith(message)


def test_several_violations_are_reported_at_once() -> None:
    assert len(state(reserved(), reservation(state="scheduled", zone="us-east-1a", instance_type="p4d.24xlarge"))) == 3


def test_a_reservation_that_is_not_there() -> None:
    (violation,) = state(reserved())
    assert "cr-1 does not exist" in violation


def test_of_a_group_those_count_that_can_hold_the_nodes() -> None:
    arn = "arn:aws:resource-groups:us-east-1:123456789012:group/gpus"
    settings = reserved(kind="on_demand", id=None, subnet_id=None, resource_group_arn=arn)
    one = reservation(is_block=False, available=1, ends=None)
    assert state(settings, one, one) == []
    assert "1 of 2 instances free" in state(settings, one, reservation(is_block=False, state="expired"))[0]
    (violation,) = state(settings, reservation(is_block=False, instance_type="p4d.24xlarge"))
    assert violation.startswith(f"green.reservation.resource_group_arn: no reservation of {arn} can hold p5.48xlarge")


@pytest.mark.parametrize(("free", "enough"), [((4,), True), ((3,), False), ((2, 2), True), ((3, 1), False)])
def test_a_node_and_its_pods_get_their_addresses_from_one_subnet(free: tuple[int, ...], enough: bool) -> None:
    subnets = [Subnet(id=f"subnet-{i}", zone="a", free_addresses=count) for i, count in enumerate(free)]
    found = list(address_violations(service_settings(), ["green"], subnets))
    assert bool(found) != enough
    if found:
        assert found[0].startswith("node_subnet_ids: 2 new nodes and 2 new replicas of green need at least 4 addresses")


def test_on_nodes_that_are_up_only_pods_need_addresses() -> None:
    settings = service_settings(green={"replicas": 2, "release": release(model_revision="a1b2c3d")})
    assert list(address_violations(settings, ["green"], [Subnet(id="s", zone="a", free_addresses=2)])) == []
    assert list(address_violations(settings, ["green"], [Subnet(id="s", zone="a", free_addresses=1)])) != []


A, B, C = (Subnet(id=f"subnet-{zone}", zone=f"us-east-1{zone}", free_addresses=100) for zone in "abc")
BALANCER_ZONES = frozenset({"us-east-1a", "us-east-1b"})


def test_nodes_must_be_in_zones_of_the_load_balancer() -> None:
    settings = service_settings()
    assert list(zone_violations(settings, "green", [A, B], BALANCER_ZONES)) == []
    (violation,) = zone_violations(settings, "green", [A, C], BALANCER_ZONES)
    assert violation.startswith(
        "node_subnet_ids: subnet-c is in us-east-1c, but the load balancer is in us-east-1a and "
    )
    assert "add a subnet to load_balancer_subnet_ids" in violation


@pytest.mark.parametrize(
    ("settings", "field", "ids"),
    [
        (service_settings(), "node_subnet_ids", ()),
        (service_settings(green={"node_subnet_ids": ["subnet-1"]}), "green.node_subnet_ids", ("subnet-1",)),
        (reserved(), "green.reservation.subnet_id", ("subnet-2",)),
    ],
)
def test_the_field_that_names_the_subnets_is_the_one_to_change(
    settings: ServiceSettings, field: str, ids: tuple[str, ...]
) -> None:
    assert subnet_ids_of(settings, "green") == ids
    (violation,) = zone_violations(settings, "green", [C], BALANCER_ZONES)
    assert violation.startswith(f"{field}: subnet-c is in us-east-1c")


def test_a_quota_must_allow_the_largest_of_several_types() -> None:
    settings = service_settings(fallback_instance_types=["g6e.4xlarge"], green={"replicas": 2})
    (violation,) = quota_violations(settings, ["green"], limit_vcpus=31, instances=[], reservations=[])
    assert "need 32 vCPUs" in violation
    assert list(quota_violations(settings, ["green"], limit_vcpus=32, instances=[], reservations=[])) == []


def test_a_quota_must_also_allow_what_the_active_colour_may_become() -> None:
    settings = service_settings(green={"replicas": 2})
    ask = partial(quota_violations, settings, ["green"], instances=[], reservations=[], growing=3)
    (violation,) = ask(limit_vcpus=39)
    assert "5 new nodes of g6e.2xlarge for green and blue at max_replicas need 40 vCPUs" in violation
    assert list(ask(limit_vcpus=40)) == []


def test_a_pool_of_several_nodes_in_several_zones_is_warned_of() -> None:
    settings = service_settings(green={"replicas": 2})
    (warning,) = zone_warnings(settings, "green", [A, B])
    assert "spread over us-east-1a, us-east-1b" in warning
    assert "set green.node_subnet_ids to one subnet" in warning
    assert list(zone_warnings(settings, "green", [A, A])) == []
    assert list(zone_warnings(service_settings(green={"replicas": 1}), "green", [A, B])) == []
    shared = service_settings(headroom_mode="always", node_groups="shared", green={"replicas": 1}, blue={"replicas": 1})
    warnings = {one for color in COLORS for one in zone_warnings(shared, color, [A, B])}
    assert len(warnings) == 1
    assert "give both colours the same one node_subnet_ids, before the first `pulumi up`" in warnings.pop()
    others = service_settings(existing_nodes={"node_selector": {"team": "llm"}}, green={"replicas": 2})
    assert list(zone_warnings(others, "green", [A, B])) == []


ARN = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


def test_a_key_must_be_enabled_and_auto_scaling_must_be_allowed_to_use_it() -> None:
    own, default = service_settings(nodes={"volume_kms_key_arn": ARN}), service_settings()
    usable = VolumeKey(arn=ARN, state="Enabled", auto_scaling_may_use=True)
    assert list(key_violations(own, usable)) == list(key_warnings(usable)) == []
    (violation,) = key_violations(own, VolumeKey(arn=ARN, state="PendingDeletion", auto_scaling_may_use=True))
    assert violation.startswith(f"nodes.volume_kms_key_arn: {ARN}, which is PendingDeletion, so no node can start")
    (violation,) = key_violations(default, VolumeKey(arn=ARN, state="Enabled", auto_scaling_may_use=False))
    assert violation.startswith(
        f"nodes.volume_kms_key_arn: not set, and the account's default is {ARN}, which Auto Scal"
    )
    assert "key-policy-requirements-EBS-encryption.html" in violation


def test_a_key_that_may_not_be_read_is_warned_of() -> None:
    unknown = VolumeKey(arn=ARN)
    assert list(key_violations(service_settings(), unknown)) == []
    (warning,) = key_warnings(unknown)
    assert ARN in warning


@pytest.mark.parametrize(
    ("annotations", "uses_node_role", "has_pod_identity", "fits"),
    [
        (None, False, False, True),
        ({}, True, False, True),
        ({}, False, True, True),
        ({"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/cni"}, False, False, True),
        ({"eks.amazonaws.com/role-arn": ""}, False, False, False),
        ({}, False, False, False),
    ],
)
def test_the_vpc_cni_needs_a_role_from_somewhere(
    annotations: dict[str, str] | None, uses_node_role: bool, has_pod_identity: bool, fits: bool
) -> None:
    found = list(cni_violations(annotations, uses_node_role=uses_node_role, has_pod_identity=has_pod_identity))
    assert (found == []) == fits
    assert all(violation.startswith("vpc_cni_uses_node_role: is false") for violation in found)


PLAN = make_plan("green", RolloutSettings())


@given(st.integers(-1000, 100_000))
def test_credentials_must_last_as_long_as_the_rollout_can_take(seconds: int) -> None:
    credentials = Credentials(ends=NOW + timedelta(seconds=seconds))
    violations = list(credential_violations(credentials, PLAN, NOW))
    assert bool(violations) == (seconds < PLAN.longest_seconds)


def test_credentials_that_end_too_early_come_with_what_to_raise() -> None:
    (violation,) = credential_violations(Credentials(ends=NOW + timedelta(hours=1)), PLAN, NOW)
    for part in (
        "AWS credentials: end at 2026-12-01T01:00:00Z, in 60 minutes, but",
        "can take 215 minutes",
        "--max-session-duration",
        "AWS_ROLE_DURATION_SECONDS (role-duration-seconds of configure-aws-credentials)",
    ):
        assert part in violation


def test_a_rollout_that_no_session_of_a_role_outlasts_is_not_sent_to_the_role() -> None:
    plan = make_plan("green", RolloutSettings(soak_seconds=43_200))
    (violation,) = credential_violations(Credentials(ends=NOW + timedelta(hours=12)), plan, NOW)
    assert "no session of a role is longer than 12 hours. Shorten rollout.steps" in violation
    assert "max-session-duration" not in violation


def test_credentials_that_last_are_nothing_to_talk_about_and_those_of_unknown_end_are() -> None:
    assert [*credential_violations(Credentials(), PLAN, NOW), *credential_warnings(Credentials())] == []
    unknown = Credentials(end_unknown=True)
    assert list(credential_violations(unknown, PLAN, NOW)) == []
    assert ["Set AWS_CREDENTIAL_EXPIRATION" in one for one in credential_warnings(unknown)] == [True]
