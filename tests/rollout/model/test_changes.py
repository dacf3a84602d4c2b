"""Which changes count as exactly the intended change."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from components.domain.naming import COLOR_KEY, ROLE_KEY, ROLLOUT_SERIAL_KEY, SERVICE_KEY
from rollout.model.changes import RULE_TYPE, Change, unlike_candidate_change, unlike_weight_change

BLUE, GREEN = "arn:aws:elasticloadbalancing:tg/blue", "arn:aws:elasticloadbalancing:tg/green"
URN = "urn:pulumi:prod::vllm-blue-green::vllm-blue-green:index:BlueGreenService$aws:lb/listenerRule:ListenerRule::chat"
Edit = Callable[[dict[str, Any]], object]
DEPLOYMENT = "kubernetes:apps/v1:Deployment"


def inputs(green_weight: float, serial: str) -> dict[str, Any]:
    return {
        "__defaults": [],
        "actions": [
            {
                "type": "forward",
                "forward": {
                    "targetGroups": [
                        {"arn": BLUE, "weight": 100 - green_weight},
                        {"arn": GREEN, "weight": green_weight},
                    ],
                    "stickiness": {"enabled": False, "duration": 3600},
                },
            }
        ],
        "priority": 100,
        "tags": {ROLE_KEY: "weighted-rule", SERVICE_KEY: "chat", ROLLOUT_SERIAL_KEY: serial},
        "tagsAll": {ROLE_KEY: "weighted-rule", SERVICE_KEY: "chat", ROLLOUT_SERIAL_KEY: serial},
    }


def step(edit: Edit = lambda _: None, *, paths: tuple[str, ...] = ()) -> Change:
    new = copy.deepcopy(inputs(25.0, "8"))
    edit(new)
    return Change(op="update", urn=URN, type=RULE_TYPE, old=inputs(1, "7"), new=new, paths=paths)


def found(*changes: Change) -> tuple[str, ...]:
    return unlike_weight_change(changes, service="chat", weights={BLUE: 75, GREEN: 25})


def test_a_weight_change_with_its_serial_is_nothing_else() -> None:
    assert found(step()) == ()


def test_the_providers_own_paths_are_understood() -> None:
    exact = (
        "actions[0].forward.targetGroups[0].weight",
        f'tags["{ROLLOUT_SERIAL_KEY}"]',
        f"tagsAll['{ROLLOUT_SERIAL_KEY}']",
        f"tags.{ROLLOUT_SERIAL_KEY}",
    )
    assert found(step(paths=exact)) == ()
    assert found(step(paths=("actions", "tags", "tagsAll"))) == ()


def test_components_do_not_count() -> None:
    component = Change(op="update", urn="urn::chat", type="vllm-blue-green:index:WeightedRouter")
    assert found(step(), component) == ()


EDITS: list[tuple[Edit, str]] = [
    (lambda new: new.update(priority=5), "priority"),
    (lambda new: new["tags"].update(owner="me"), "tags.owner"),
    (lambda new: new["actions"][0]["forward"]["stickiness"].update(enabled=True), "stickiness.enabled"),
    (lambda new: new["actions"][0]["forward"]["targetGroups"][0].update(arn="other"), "arn"),
    (lambda new: new["actions"][0]["forward"]["targetGroups"].pop(), "targetGroups"),
    (lambda new: new["actions"][0]["forward"]["targetGroups"][1].update(weight=26), "intended"),
    (lambda new: new.pop("actions"), "actions"),
]


@pytest.mark.parametrize(("edit", "named"), EDITS)
def test_anything_else_on_the_rule_is_named(edit: Edit, named: str) -> None:
    assert any(named in one for one in found(step(edit)))


def test_what_only_the_provider_sees_is_named_too() -> None:
    assert any("conditions" in one for one in found(step(paths=("conditions[0].pathPattern",))))


@pytest.mark.parametrize("op", ["create", "delete", "replace", "update"])
def test_another_resource_is_named(op: str) -> None:
    other = Change(op=op, urn="urn::chat-blue", type=DEPLOYMENT, new={"metadata": {"labels": {}}})
    assert any("chat-blue" in one for one in found(step(), other))


def test_replacing_the_rule_is_not_updating_it() -> None:
    rule = step()
    assert found(Change(op="replace", urn=rule.urn, type=rule.type, old=rule.old, new=rule.new))


def test_a_candidate_rule_is_not_the_weighted_one() -> None:
    assert found(step(), step(lambda new: new["tags"].update({ROLE_KEY: "candidate-rule"})))


def test_no_change_at_all_is_not_the_weight_change() -> None:
    assert found() == ("no change of the weighted rule",)


def of_color(color: str) -> Change:
    labels = {SERVICE_KEY: "chat", COLOR_KEY: color}
    return Change(op="update", urn=f"urn::x::chat-{color}", type=DEPLOYMENT, new={"metadata": {"labels": labels}})


def unlike_green(*changes: Change) -> tuple[str, ...]:
    return unlike_candidate_change(changes, service="chat", color="green")


def test_a_deploy_may_touch_the_idle_colour_and_the_rules_tags() -> None:
    tags = Change(op="update", urn=URN, type=RULE_TYPE, old=inputs(0, "7"), new=inputs(0, "8"))
    policy = Change(
        op="create", urn="urn::x::chat-green-worker", type="aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    )
    nodes = Change(
        op="update",
        urn="u::n",
        type="aws:eks/nodeGroup:NodeGroup",
        new={"tags": {SERVICE_KEY: "chat", COLOR_KEY: "green"}},
    )
    assert unlike_green(tags, policy, nodes, of_color("green")) == ()


def test_a_deploy_must_not_touch_the_serving_colour() -> None:
    assert unlike_green(of_color("blue")) == ("update Deployment chat-blue (metadata)",)


def test_a_deploy_must_not_move_weight() -> None:
    assert any("weight" in one for one in unlike_green(step()))


def test_a_deploy_must_not_touch_what_both_colours_share() -> None:
    shared = Change(op="update", urn="urn::x::chat", type="aws:lb/loadBalancer:LoadBalancer", new={"tags": {}})
    assert unlike_green(shared)


def test_another_services_colour_is_not_ours() -> None:
    labels = {SERVICE_KEY: "search", COLOR_KEY: "green"}
    other = Change(op="update", urn="urn::x::search-green", type=DEPLOYMENT, new={"metadata": {"labels": labels}})
    assert unlike_green(other)
