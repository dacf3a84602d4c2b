"""The weighted rule in Pulumi's state."""

from typing import Any

from components.domain.naming import ACTIVE_COLOR_KEY, COLOR_KEY, ROLE_KEY, ROLLOUT_SERIAL_KEY, SERVICE_KEY, Color
from rollout.adapters.pulumi.state import state_rule
from rollout.model.changes import RULE_TYPE
from rollout.model.rule import StateRule


def rule(service: str = "chat", role: str = "weighted-rule", **more: Any) -> dict[str, Any]:
    groups = [{"arn": "arn:blue", "weight": 75.0}, {"arn": "arn:green", "weight": 25}]
    tags = {SERVICE_KEY: service, ROLE_KEY: role, ACTIVE_COLOR_KEY: "blue", ROLLOUT_SERIAL_KEY: "7"}
    outputs = {"actions": [{"type": "forward", "forward": {"targetGroups": groups}}], "tags": tags}
    return {"type": RULE_TYPE, "urn": f"urn::{service}", "outputs": outputs, **more}


def test_the_rule_is_found_by_its_tags() -> None:
    resources = [{"type": "pulumi:pulumi:Stack"}, rule("search"), rule(role="candidate-rule"), rule()]
    expected = StateRule(
        urn="urn::chat", weights={"arn:blue": 75, "arn:green": 25}, active_color="blue", rollout_serial=7
    )
    assert state_rule(resources, "chat") == expected


def test_a_rule_that_waits_for_its_deletion_is_none() -> None:
    assert state_rule([rule(delete=True)], "chat") is None
    assert state_rule([], "chat") is None


def of_color(kind: str, color: Color, service: str = "chat", **more: Any) -> dict[str, Any]:
    labels = {SERVICE_KEY: service, COLOR_KEY: color}
    outputs = {"metadata": {"labels": labels}}
    return {"type": f"kubernetes:{kind}", "urn": f"urn::{kind}::{service}-{color}", "outputs": outputs, **more}


def test_what_depends_on_a_colours_replicas_is_found_by_its_labels() -> None:
    budget, pods = "policy/v1:PodDisruptionBudget", "apps/v1:Deployment"
    resources = [
        rule(),
        of_color(budget, "blue"),
        of_color(pods, "blue"),
        of_color(pods, "green", delete=True),
        of_color(pods, "green"),
        of_color(pods, "green", service="search"),
        of_color("core/v1:Service", "green"),
        {"type": "kubernetes:apps/v1:Deployment", "urn": "urn::other"},
    ]
    found = state_rule(resources, "chat")
    assert found is not None
    assert found.sized == {
        "blue": (f"urn::{budget}::chat-blue", f"urn::{pods}::chat-blue"),
        "green": (f"urn::{pods}::chat-green",),
    }


def test_node_groups_are_found_by_their_tags() -> None:
    def group(name: str, **tags: str) -> dict[str, Any]:
        return {"type": "aws:eks/nodeGroup:NodeGroup", "urn": f"urn::{name}", "outputs": {"tags": tags}}

    resources = [
        rule(),
        group("blue", **{SERVICE_KEY: "chat", COLOR_KEY: "blue"}),
        group("other", **{SERVICE_KEY: "search", COLOR_KEY: "green"}),
        group("shared", **{SERVICE_KEY: "chat"}),
        {"type": "aws:eks/nodeGroup:NodeGroup", "urn": "urn::of-others", "outputs": {}},
    ]
    found = state_rule(resources, "chat")
    assert found is not None
    assert found.nodes == {"blue": "urn::blue"}
