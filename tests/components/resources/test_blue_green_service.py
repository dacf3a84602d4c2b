"""The service as a component: its parts, their parents and their dependencies."""

from itertools import pairwise
from typing import Any

import pulumi
import pytest

from components.domain.naming import COLORS, SERVICE_KEY
from components.resources.blue_green_service import BlueGreenService, BlueGreenServiceArgs
from tests.components.example import SECRET, release, run_program, settings
from tests.components.registrations import Reference, Registrations, register

CHAT = ("BlueGreenService", "chat")


def make(*, encrypted: bool = False, **changes: Any) -> Registrations:
    stack = settings(
        **changes,
        service_name="chat",
        blue={"replicas": 2, "release": release()},
        green={"replicas": 2, "release": release(model_revision="beef123")},
        green_weight=25,
    )

    def program() -> None:
        secret = pulumi.Output.secret(SECRET) if encrypted else SECRET
        args = BlueGreenServiceArgs(stack=stack, service=stack.services["chat"], candidate_route_secret=secret)
        BlueGreenService("chat", args)

    return register(program)


@pytest.fixture(scope="module")
def chat() -> Registrations:
    return make()


def ancestors(declared: Registrations, reference: Reference) -> list[Reference]:
    above: list[Reference] = []
    while (parent := declared[reference].parent) is not None and parent in declared:
        above.append(parent)
        reference = parent
    return above


def test_it_is_a_router_a_namespace_and_for_each_colour_nodes_and_pods(chat: Registrations) -> None:
    parts = {one.reference for one in chat.resources.values() if one.parent == CHAT}
    assert parts == {
        ("Namespace", "chat"),
        ("WeightedRouter", "chat"),
        *(("GpuNodeGroup", f"chat-{color}") for color in COLORS),
        *(("VllmStack", f"chat-{color}") for color in COLORS),
    }


def test_everything_is_below_the_service_and_named_after_it(chat: Registrations) -> None:
    for reference in chat.resources:
        assert reference == CHAT or ancestors(chat, reference)[-1] == CHAT
        assert reference[1] == "chat" or reference[1].startswith("chat-")


@pytest.mark.parametrize("color", COLORS)
def test_each_colours_parts_are_its_own(chat: Registrations, color: str) -> None:
    name = f"chat-{color}"
    for kind in ("Service", "TargetGroupBinding", "Deployment", "PodDisruptionBudget"):
        assert chat[kind, name].parent == ("VllmStack", name)
    for kind in ("NodeGroup", "LaunchTemplate", "Role"):
        assert chat[kind, name].parent == ("GpuNodeGroup", name)
    for kind, rule in (("TargetGroup", name), ("ListenerRule", f"{name}-candidate")):
        assert chat[kind, rule].parent == ("WeightedRouter", "chat")


@pytest.mark.parametrize("color", COLORS)
def test_namespace_service_rule_binding_and_pods_come_in_this_order(chat: Registrations, color: str) -> None:
    name = f"chat-{color}"
    order = [("Namespace", "chat"), ("Service", name), ("TargetGroupBinding", name), ("Deployment", name)]
    for earlier, later in pairwise(order):
        assert earlier in chat.precede(later)
    assert ("ListenerRule", "chat") in chat.precede(("TargetGroupBinding", name))
    assert chat["Namespace", "chat"].inputs["metadata"]["labels"][SERVICE_KEY] == "chat"
    assert (
        chat["Namespace", "chat"].inputs["metadata"]["labels"]["elbv2.k8s.aws/pod-readiness-gate-inject"] == "enabled"
    )


def test_its_outputs_are_registered_and_hold_no_secret(chat: Registrations) -> None:
    outputs = chat.outputs[CHAT]
    assert outputs["endpoint"] == "http://chat.elb.example"
    assert outputs["green_weight"] == 25
    assert outputs["target_group_arns"] == {color: f"arn:TargetGroup:chat-{color}" for color in COLORS}
    assert SECRET not in str(chat.outputs)


def test_the_secret_is_one_wherever_it_is_even_when_it_came_as_plain_text(chat: Registrations) -> None:
    holders = {reference for reference, one in chat.resources.items() if SECRET in str(one.inputs)}
    assert holders == {("ListenerRule", f"chat-{color}-candidate") for color in COLORS}
    for holder in holders:
        (secret,) = chat[holder].secrets
        place = chat[holder].inputs
        assert SECRET not in str({key: value for key, value in place.items() if not secret.startswith(key)})


def test_a_secret_of_the_callers_stays_one() -> None:
    declared = make(encrypted=True)
    assert declared["ListenerRule", "chat-blue-candidate"].secrets
    assert SECRET not in str(declared.outputs)


def test_a_namespace_that_exists_is_only_named() -> None:
    declared = make(create_namespace=False, namespace="models")
    assert ("Namespace", "chat") not in declared.resources
    assert declared["Deployment", "chat-blue"].inputs["metadata"]["namespace"] == "models"
    assert declared.outputs[CHAT]["namespace"] == "models"


def test_a_model_in_s3_without_access_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    blue = {"replicas": 1, "release": release(model="s3://bucket/model")}
    run_program(blue=blue)
    (message,) = caplog.messages
    assert message.startswith("llm-blue: s3://bucket/model is in S3, but pods.service_account_name is not set")
    caplog.clear()
    run_program(blue=blue, pods={"service_account_name": "models"})
    assert caplog.messages == []


def test_a_colour_whose_adapters_are_on_no_volume_warns(caplog: pytest.LogCaptureFixture) -> None:
    run_program(blue={"replicas": 2, "release": release(lora_adapters={"sql": "/mnt/adapters/sql"})})
    (message,) = caplog.messages
    assert message.startswith("llm-blue: no volume holds lora_adapters.sql /mnt/adapters/sql: the pods have none.")


@pytest.mark.parametrize("mode", ["on_rollout", "always"])
def test_parking_a_colour_changes_nothing_of_its_nodes(mode: str) -> None:
    """EKS refuses updates of a group that it is updating itself, for example while nodes cannot start."""

    def nodes(*, parked: bool) -> dict[Reference, object]:
        green = {"replicas": 2, "release": release(model_revision="beef123"), "parked": parked, "provisioned": True}
        stack = settings(
            service_name="chat", headroom_mode=mode, blue={"replicas": 2, "release": release()}, green=green
        )
        args = BlueGreenServiceArgs(stack=stack, service=stack.services["chat"], candidate_route_secret=SECRET)
        declared = register(lambda: BlueGreenService("chat", args))
        kinds = ("NodeGroup", "LaunchTemplate", "Role")
        return {(kind, "chat-green"): declared[kind, "chat-green"].inputs for kind in kinds}

    assert nodes(parked=True) == nodes(parked=False)
