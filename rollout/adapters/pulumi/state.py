"""Reads Pulumi's state, in the format of its deployments."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from components.domain.naming import ACTIVE_COLOR_KEY, COLOR_KEY, COLORS, ROLLOUT_SERIAL_KEY, SERVICE_KEY, Color
from rollout.model.changes import Change, cohort_of_rule, is_weighted_rule, weights_after
from rollout.model.rule import StateCohort, StateRule

_SIZED: Final = (
    "kubernetes:apps/v1:Deployment",
    "kubernetes:policy/v1:PodDisruptionBudget",
    "kubernetes:keda.sh/v1alpha1:ScaledObject",
)
_NODE_GROUP: Final = "aws:eks/nodeGroup:NodeGroup"


def state_rule(resources: Iterable[Mapping[str, Any]], service: str) -> StateRule | None:
    """Find the rule that splits a service's traffic among the resources of a state. Return None when there is none.

    The rule's outputs are AWS's answer at the last update or refresh.
    """
    every = [one for one in resources if not one.get("delete")]
    for one in every:
        rule = Change(op="same", urn=one.get("urn", ""), type=one.get("type", ""), new=one.get("outputs") or {})
        if is_weighted_rule(rule, service):
            tags: Mapping[str, str] = one["outputs"].get("tags") or {}
            return StateRule(
                urn=rule.urn,
                weights=weights_after(rule),
                active_color=tags.get(ACTIVE_COLOR_KEY, ""),
                rollout_serial=int(tags.get(ROLLOUT_SERIAL_KEY) or 0),
                cohorts=dict(_cohorts(every, service)),
                sized={color: urns for color in COLORS if (urns := tuple(_sized(every, service, color)))},
                nodes=dict(_nodes(every, service)),
            )
    return None


def _cohorts(resources: Iterable[Mapping[str, Any]], service: str) -> Iterator[tuple[str, StateCohort]]:
    """Yield the rules of the service's cohorts."""
    for one in resources:
        rule = Change(op="same", urn=one.get("urn", ""), type=one.get("type", ""), new=one.get("outputs") or {})
        if (cohort := cohort_of_rule(rule, service)) is not None:
            yield cohort, StateCohort(urn=rule.urn, weights=weights_after(rule))


def _sized(resources: Iterable[Mapping[str, Any]], service: str, color: Color) -> Iterable[str]:
    """Yield the URNs of a colour's Deployment, its PodDisruptionBudget and, with an autoscaler, its ScaledObject."""
    for one in resources:
        if one.get("type") in _SIZED:
            labels: Mapping[str, str] = ((one.get("outputs") or {}).get("metadata") or {}).get("labels") or {}
            if labels.get(SERVICE_KEY) == service and labels.get(COLOR_KEY) == color:
                yield one["urn"]


def _nodes(resources: Iterable[Mapping[str, Any]], service: str) -> Iterator[tuple[Color, str]]:
    """Yield the URN of each colour's node group."""
    for one in resources:
        if one.get("type") == _NODE_GROUP:
            tags: Mapping[str, str] = (one.get("outputs") or {}).get("tags") or {}
            if tags.get(SERVICE_KEY) == service and (color := tags.get(COLOR_KEY)) in COLORS:
                yield color, one["urn"]
