"""The doctor: every condition with its status, before and after the first deployment, on fakes."""

from dataclasses import replace
from typing import Any

import pytest

from rollout.doctor import Examination, examine_ports
from rollout.model.condition_result import ConditionResult, ConditionStatus
from rollout.model.errors import RefusedError
from rollout.model.nodes import BoundPod, Resources
from rollout.model.plan import make_plan
from rollout.session import Late
from rollout.steps.preflight import CONDITIONS, When, preflight
from scripts.doctor import lines
from tests.rollout.fakes import OLD, SERVICE, World

CONTROLLER = BoundPod(
    node="n",
    requests=Resources(),
    labels={"app.kubernetes.io/name": "aws-load-balancer-controller"},
    images=("public.ecr.aws/eks/aws-load-balancer-controller:v2.13.0",),
)


def new_world(**overrides: Any) -> World:
    """A world in order, before its first `pulumi up`."""
    world = World(**overrides)
    world.deployed = False
    world.nodes = list  # type: ignore[method-assign]
    world.bound_pods = lambda: [CONTROLLER]  # type: ignore[method-assign]
    return world


def examined(world: World) -> Examination:
    return examine_ports(world.ports(), SERVICE)


def finding(world: World, condition: str) -> ConditionResult:
    (found,) = [one for one in examined(world).findings if one.condition == condition]
    return found


def test_a_new_stack_in_order_lacks_nothing() -> None:
    found = examined(new_world())
    assert {
        one.condition: (one.missing, one.unanswered) for one in found.findings if one.status is not ConditionStatus.OK
    } == {}
    assert not found.deployed
    assert [one.condition for one in found.findings] == [
        one.name for one in CONDITIONS if one.when is not When.DEPLOYED
    ]
    assert found.later == tuple(one.name for one in CONDITIONS if one.when is When.DEPLOYED)


def test_what_the_program_would_warn_of_is_noted_before_the_first_deployment() -> None:
    release = {**OLD.model_dump(), "weights_gib": 140, "env": {"VLLM_ACME": "1"}}
    world = new_world(blue={"replicas": 2, "release": release})
    (size, variable, *_) = notes = finding(world, "releases").notes
    assert finding(world, "releases").status is ConditionStatus.OK
    assert size.startswith("blue: ")
    assert "140.0 GiB" in size
    assert variable.startswith("blue: vLLM 0.21 to 0.33 do not read VLLM_ACME")
    assert not any(note.startswith("green") for note in notes)


def test_every_condition_has_its_own_name() -> None:
    assert len({one.name for one in CONDITIONS}) == len(CONDITIONS)


def test_nothing_is_written_and_nothing_is_changed() -> None:
    world = new_world()
    ports = replace(world.ports(), journal=Late(lambda: pytest.fail("it opens the journal")))  # type: ignore[arg-type]
    examine_ports(ports, SERVICE)
    assert (world.previews, world.ups, world.direct, world.journal.records) == ([], [], [], [])


def test_the_quota_must_hold_the_nodes_of_both_colours() -> None:
    # Each colour needs two nodes with 8 vCPUs each.
    world = new_world()
    world.quota_vcpus = 32
    assert finding(world, "quota").status is ConditionStatus.OK
    world.quota_vcpus = 31
    (missing,) = finding(world, "quota").missing
    assert missing.startswith("instance_type: 4 new nodes of g6e.2xlarge for blue and green need 32 vCPUs")


def test_colours_in_the_same_subnets_share_their_addresses() -> None:
    # Each colour needs two nodes, and each node two addresses: its own and its replica's.
    world = new_world()
    world.free_addresses = 8
    assert finding(world, "addresses").status is ConditionStatus.OK
    world.free_addresses = 7
    (missing,) = finding(world, "addresses").missing
    assert "4 new nodes and 4 new replicas of blue and green need at least 8 addresses" in missing
    apart = new_world(blue={**World().config.values["blue"], "node_subnet_ids": ["subnet-b1b1b1b1"]})
    apart.free_addresses = 7
    assert finding(apart, "addresses").status is ConditionStatus.OK


def test_nodes_must_be_in_zones_of_the_load_balancer_that_will_be() -> None:
    world = new_world()
    world.zone_of_subnets = {"subnet-8": "us-east-1b", "subnet-9": "us-east-1c"}
    (missing,) = finding(world, "zones").missing
    assert "subnet-1 is in us-east-1a, but the load balancer is in us-east-1b and us-east-1c" in missing


@pytest.mark.parametrize(
    ("breaks", "condition", "words"),
    [
        ({"bound_pods": list}, "load balancer controller", "runs no AWS Load Balancer Controller"),
        ({"plugins": []}, "device plugin", "no NVIDIA device plugin"),
        ({"resource_types": {"podmonitors"}}, "resource types", "no targetgroupbindings of elbv2.k8s.aws/v1beta1"),
        ({"denied": ["iam:PassRole"]}, "permissions", "IAM does not allow iam:PassRole"),
    ],
)
def test_what_a_new_cluster_or_account_lacks_is_named(breaks: dict[str, Any], condition: str, words: str) -> None:
    world = new_world()
    for name, value in breaks.items():
        setattr(world, name, value)
    found = examined(world)
    assert [one.condition for one in found.findings if one.status is not ConditionStatus.OK] == [condition]
    assert words in finding(world, condition).missing[0]
    assert found.has(ConditionStatus.MISSING)


@pytest.mark.parametrize(
    ("question", "conditions"),
    [
        ("denied_actions", ["permissions"]),
        ("credentials", ["credentials"]),
        ("vcpu_quota", ["quota"]),
        ("subnets", ["addresses", "zones"]),
        ("bound_pods", ["places", "load balancer controller", "device plugin"]),
        ("has_resource", ["resource types"]),
        ("counters", ["Prometheus"]),
        ("rule_in_state", ["stack"]),
    ],
)
def test_what_does_not_answer_could_not_be_checked(question: str, conditions: list[str]) -> None:
    world, asked = new_world(), 0

    def silent(*_: object, **__: object) -> object:
        nonlocal asked
        asked += 1
        raise ConnectionError(f"no {question}")

    setattr(world, question, silent)
    found = examined(world)
    unchecked = {one.condition: one.unanswered for one in found.findings if one.status is ConditionStatus.UNCHECKED}
    assert unchecked == dict.fromkeys(conditions, (f"no {question}",))
    assert not found.has(ConditionStatus.MISSING)
    # Subnets are asked for the nodes and for the load balancer.
    assert asked == (2 if question == "subnets" else 1)


def test_what_cannot_even_be_asked_is_missing() -> None:
    world = new_world()

    def unset(*_: object) -> object:
        raise RefusedError("rollout.prometheus_url: is not set")

    world.counters = unset  # type: ignore[method-assign, assignment]
    assert finding(world, "Prometheus").missing == ("rollout.prometheus_url: is not set",)


def test_of_a_deployed_service_the_doctor_says_what_preflight_would() -> None:
    world = World()
    world.quota_vcpus, world.endpoint_down, world.idle_timeout = 8, True, 20
    found = examined(world)
    assert found.deployed
    assert found.later == ()
    texts = [text for one in found.findings for text in (*one.missing, *one.unanswered)]
    settings = world.config.read()
    assert sorted(texts) == sorted(preflight(world.ports(), make_plan(settings.idle_color, settings.rollout), SERVICE))
    assert len(texts) == 3


def test_a_load_balancer_that_does_not_answer_is_no_new_stack() -> None:
    world = World()

    def silent() -> object:
        raise ConnectionError("no rule")

    world.rule = silent  # type: ignore[method-assign, assignment]
    found = examined(world)
    assert found.deployed
    assert "no rule" in finding(world, "traffic").unanswered


def test_each_thing_that_is_missing_has_a_line() -> None:
    found = ConditionResult(condition="quota", missing=("a [b]", "c"), unanswered=("d",), notes=("n",))
    assert lines(found) == [
        r"[bold red]missing  [/] quota: a \[b]",
        "[bold red]missing  [/] quota: c",
        "[yellow]unchecked[/] quota: could not be checked: d",
    ]
    assert lines(ConditionResult(condition="quota", notes=("n", "m"))) == ["[green]ok       [/] quota (n; m)"]
    assert lines(ConditionResult(condition="quota")) == ["[green]ok       [/] quota"]


class Port:
    def ask(self, what: str, *, more: int = 0) -> str:
        return f"{what} {more}"


def test_a_late_port_opens_once_when_it_is_asked_and_fails_as_often_as_it_is_asked() -> None:
    opened: list[Port] = []

    def open_port() -> Port:
        opened.append(Port())
        return opened[-1]

    late = Late(open_port)
    ask = late.ask
    assert opened == []
    assert (ask("a"), late.ask("b", more=2)) == ("a 0", "b 2")
    assert len(opened) == 1

    def fail() -> Port:
        opened.append(Port())
        raise RefusedError("there is no `pulumi` on PATH")

    broken = Late(fail)
    for _ in range(2):
        with pytest.raises(RefusedError):
            broken.ask("a")
    assert len(opened) == 2
