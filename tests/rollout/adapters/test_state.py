"""The weighted rule in Pulumi's state."""

from typing import Any

from components.domain.naming import ACTIVE_COLOR_KEY, ROLE_KEY, ROLLOUT_SERIAL_KEY, SERVICE_KEY
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
