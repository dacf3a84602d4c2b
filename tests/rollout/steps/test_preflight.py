"""The violations that preflight finds before a rollout starts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from components.domain.naming import Color
from rollout.model.account import Credentials, Subnet, VolumeKey
from rollout.model.plan import make_plan
from rollout.steps.conditions import reservation_violations
from rollout.steps.preflight import preflight
from tests.components.example import service_settings
from tests.rollout.fakes import OLD, SERVICE, World

NOW = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)
BLOCK = {"kind": "capacity_block", "id": "cr-1", "subnet_id": "subnet-2"}
ROLLOUT = {"steps": [{"candidate_percent": 100, "hold_seconds": 1200}], "keep_warm_seconds": 3600}


def _violations(color: Color, ends: str, **changes: Any) -> list[str]:
    settings = service_settings(
        instance_type="p5.48xlarge",
        gpus_per_replica=8,
        headroom_mode="reserved",
        rollout=ROLLOUT,
        **{color: {"replicas": 1, "reservation": {**BLOCK, "ends": ends, **changes}}},
    )
    return list(reservation_violations(settings, NOW))


@pytest.mark.parametrize("color", ["blue", "green"])
def test_a_block_must_outlast_the_ramp_and_the_time_to_keep_warm(color: Color) -> None:
    # 20 minutes of holds, an hour to keep warm, and the 40 minutes of EKS.
    assert _violations(color, "2026-12-01T02:00:00Z") == []
    (violation,) = _violations(color, "2026-12-01T01:59:59Z")
    assert violation.startswith(f"{color}.reservation.ends: is 2026-12-01T01:59:59Z")
    assert "at least until 2026-12-01T01:20:00Z" in violation


def test_on_demand_nodes_outlive_their_reservation() -> None:
    assert _violations("green", "2026-12-01T00:10:00Z", kind="on_demand") == []


def test_without_a_reservation_there_is_nothing_to_outlast() -> None:
    assert list(reservation_violations(service_settings(), NOW)) == []


KEYS = {"api_key_secret": {"name": "keys", "key": "api"}, "hub_token_secret": {"name": "hub", "key": "token"}}


def found(world: World) -> tuple[str, ...]:
    settings = world.config.read()
    return preflight(world.ports(), make_plan(settings.idle_color, settings.rollout), SERVICE)


def test_a_world_in_order_has_no_violations() -> None:
    assert found(World()) == ()


def test_everything_that_is_wrong_is_reported_at_once() -> None:
    world = World(
        pods={**KEYS, "model_cache_claim": "weights"},
        blue={"replicas": 4, "release": OLD.model_dump(mode="json")},
    )
    world.secrets["hub"] = frozenset({"other"})
    world.quota_vcpus = 8
    world.free_addresses = 1
    world.endpoint_down = True
    world.idle_timeout = 20
    violations = found(world)
    for part in (
        "pods.api_key_secret.name: namespace chat has no Secret keys",
        "pods.hub_token_secret.key: Secret hub of namespace chat has no key token; it has other",
        "pods.model_cache_claim: namespace chat has no PersistentVolumeClaim weights",
        "green.replicas: is 2, but step 3 (100 %) needs at least 4",
        "instance_type: 2 new nodes of g6e.2xlarge for green need 16 vCPUs",
        "node_subnet_ids:",
        "max_stream_seconds: the load balancer ends connections",
        "the endpoint http://llm does not answer",
    ):
        assert [violation for violation in violations if violation.startswith(part)], part
    assert len(violations) == 8


REFERENCES = {
    **KEYS,
    "model_cache_claim": "weights",
    "image_pull_secrets": ["registry"],
    "volumes": [
        {"claim": "adapters", "mount_path": "/adapters"},
        {"secret": "certificates", "mount_path": "/certificates"},
        {"config_map": "tools", "mount_path": "/tools"},
    ],
}


def test_what_pods_refer_to_and_is_there_is_no_violation() -> None:
    world = World(pods=REFERENCES)
    world.secrets |= {"keys": frozenset({"api"}), "hub": frozenset({"token"})}
    world.secrets |= {"registry": frozenset(), "certificates": frozenset()}
    world.claims |= {"weights", "adapters"}
    assert found(world) == ()


def test_what_volumes_and_registries_refer_to_must_exist() -> None:
    world = World(pods={**REFERENCES, **dict.fromkeys(KEYS)})
    world.claims.add("weights")
    assert found(world) == (
        "pods.image_pull_secrets[0]: namespace chat has no Secret registry; create it, or set another name",
        "pods.volumes[1].secret: namespace chat has no Secret certificates; create it, or set another name",
        "pods.volumes[0].claim: namespace chat has no PersistentVolumeClaim adapters; create it, or set another name",
    )


@pytest.mark.parametrize(
    "question",
    [
        *("rule", "health", "idle_timeout_seconds", "rule_in_state", "nodes", "bound_pods", "vcpu_quota"),
        *("credentials", "instances", "reservations", "subnets", "pods", "counts", "prepare"),
    ],
)
def test_what_does_not_answer_is_reported_once(question: str) -> None:
    world = World()

    def silent(*_: object, **__: object) -> object:
        raise ConnectionError(f"no {question}")

    setattr(world, question, silent)
    violations = found(world)
    assert [violation for violation in violations if f"no {question}" in violation] == [f"no {question}"]


def test_a_rule_that_was_changed_outside_of_pulumi_is_reported() -> None:
    world = World()
    world.weights = {"blue": 90, "green": 10}
    assert [violation for violation in found(world) if "Pulumi's state has blue 100, green 0" in violation]


def test_a_rule_that_the_state_does_not_have_is_reported() -> None:
    world = World()
    world.rule_in_state = lambda _: None  # type: ignore[method-assign]
    assert [one for one in found(world) if one.startswith("weighted rule: is missing in Pulumi's state")]


def test_a_block_s_zone_is_that_of_the_subnet_it_names() -> None:
    world = World(
        instance_type="p5.48xlarge",
        gpus_per_replica=8,
        headroom_mode="reserved",
        green={"replicas": 2, "reservation": {**BLOCK, "ends": "2027-12-01T00:00:00Z"}},
    )
    asked: list[Any] = []

    def subnets(ids: Any = ()) -> list[Subnet]:
        asked.append(ids)
        return [Subnet(id="subnet-2", zone="us-east-1b", free_addresses=100)]

    world.subnets = subnets  # type: ignore[method-assign]
    assert found(world) == (
        "green.reservation: cr-1 does not exist in this account and region. Check the id, AWS_PROFILE and aws:region",
    )
    assert asked == [("subnet-2",)]


def test_what_keeps_new_nodes_from_starting_or_serving_is_found_before() -> None:
    world = World(green={"replicas": 2, "node_subnet_ids": ["subnet-c"]})
    world.zone_of_subnets["subnet-c"] = "us-east-1c"
    world.key = VolumeKey(arn="arn:key", state="Enabled", auto_scaling_may_use=False)
    world.cni_annotations = {}
    starts = ("green.node_subnet_ids: subnet-c is in us-east-1c", "nodes.volume_kms_key_arn: not set", "vpc_cni_uses_")
    violations = found(world)
    assert all(any(violation.startswith(start) for violation in violations) for start in starts)
    assert len(violations) == len(starts)
    world.load_balancer_zones |= {"us-east-1c"}
    world.key = VolumeKey(arn="arn:key", state="Enabled", auto_scaling_may_use=True)
    world.pod_identities.add(("kube-system", "aws-node"))
    assert found(world) == ()


def test_nodes_that_are_up_prove_that_nodes_can_start() -> None:
    world = World(headroom_mode="always")
    world.key = VolumeKey(arn="arn:key", state="Disabled")
    world.cni_annotations = {}
    assert found(world) == ()


def test_what_may_go_wrong_later_is_noted_and_refuses_nothing() -> None:
    world = World(green={"replicas": 2, "node_subnet_ids": ["subnet-a", "subnet-b"]})
    world.zone_of_subnets["subnet-b"] = "us-east-1b"
    world.key = VolumeKey(arn="arn:key", state="Enabled")
    assert found(world) == ()
    notes = [record["text"] for record in world.journal.of("note")]
    assert [note for note in notes if note.startswith("warning: green.node_subnet_ids: the nodes of green are spread")]
    assert [
        note for note in notes if note.startswith("warning: nodes.volume_kms_key_arn: whether Auto Scaling may use")
    ]


def test_credentials_that_end_during_the_rollout_keep_it_from_starting() -> None:
    world = World()
    # Holds and soak take 280 s, and may be extended by 120 s each.
    world.aws_credentials = Credentials(ends=world.clock.now() + timedelta(seconds=759))
    (violation,) = found(world)
    assert violation.startswith("AWS credentials: end at ")
    world.aws_credentials = Credentials(ends=world.clock.now() + timedelta(seconds=760))
    assert found(world) == ()


def test_credentials_of_unknown_end_are_noted() -> None:
    world = World()
    world.aws_credentials = Credentials(end_unknown=True)
    assert found(world) == ()
    assert [note for note in world.journal.of("note") if "AWS credentials: are temporary" in note["text"]]


def test_what_keeps_our_requests_from_the_pods_comes_with_the_rules_that_may_be_why() -> None:
    world = World()
    world.route.blocked = "the candidate route at https://llm answers 302"
    world.rules_that_ask_for_a_login = ["3", "7"]
    assert found(world) == (
        "listener rules with priority 3, 7 come before the candidate rules and ask for a login. If they match "
        "x-candidate-route requests, give the candidate rules a lower number",
        "the candidate route at https://llm answers 302",
    )
    world.route.blocked = ""
    assert found(world) == ()
