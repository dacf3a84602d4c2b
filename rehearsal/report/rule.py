"""The weighted rule in the data plane: its weights by colour, now and over time."""

from dataclasses import dataclass
from typing import Any

from rehearsal.aws.client import AwsAdmin

_RULE = "weighted"


@dataclass(frozen=True, kw_only=True)
class RuleChange:
    """One change of the weights, in percent by colour."""

    at: float
    """Seconds since the epoch."""
    applied: bool
    """Whether requests follow the weights from here on. False means that they were only requested."""
    weights: dict[str, int]


def weights_asked(aws: AwsAdmin) -> dict[str, int]:
    """Return the weights in the API; empty before the rule exists."""
    state = aws.state()
    colors = _colors(state)
    rule = next((rule for rule in state["rules"] if rule["rule"] == _RULE), None)
    return _by_color(rule["weights_asked"], colors) if rule else {}


def rule_changes(aws: AwsAdmin) -> list[RuleChange]:
    """Return every change of the weights so far, in order."""
    colors = _colors(aws.state())
    return [
        RuleChange(at=event["at"], applied=event["type"] == "rule_applied", weights=_by_color(event["weights"], colors))
        for event in aws.events()
        if event["type"] in ("rule_asked", "rule_applied") and event["rule"] == _RULE and event["weights"]
    ]


def _colors(state: dict[str, Any]) -> dict[str, str]:
    return {group["arn"]: group["color"] for group in state["target_groups"]}


def _by_color(weights: dict[str, int], colors: dict[str, str]) -> dict[str, int]:
    return {colors[arn]: weight for arn, weight in weights.items()}
