"""Reads Pulumi's state, in the format of its deployments."""

from collections.abc import Iterable, Mapping
from typing import Any

from components.domain.naming import ACTIVE_COLOR_KEY, ROLLOUT_SERIAL_KEY
from rollout.model.changes import Change, is_weighted_rule, weights_after
from rollout.model.rule import StateRule


def state_rule(resources: Iterable[Mapping[str, Any]], service: str) -> StateRule | None:
    """Find the rule that splits a service's traffic among the resources of a state. Return None when there is none.

    The rule's outputs are AWS's answer at the last update or refresh.
    """
    for one in resources:
        rule = Change(op="same", urn=one.get("urn", ""), type=one.get("type", ""), new=one.get("outputs") or {})
        if not one.get("delete") and is_weighted_rule(rule, service):
            tags: Mapping[str, str] = one["outputs"].get("tags") or {}
            return StateRule(
                urn=rule.urn,
                weights=weights_after(rule),
                active_color=tags.get(ACTIVE_COLOR_KEY, ""),
                rollout_serial=int(tags.get(ROLLOUT_SERIAL_KEY) or 0),
            )
    return None
