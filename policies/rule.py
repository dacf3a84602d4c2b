"""Read weighted rules: each colour's weight, and what the rule's tags say about the colours."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.domain.balancer.traffic import ColorState, Traffic, parse_cohorts
from components.domain.capacity.ladder import SharedCapacity
from components.domain.moments import parse_or_none
from components.domain.naming import (
    ACTIVE_COLOR_KEY,
    ANNOUNCED_KEY,
    COHORTS_KEY,
    COLORS,
    EVIDENCE_KEY,
    KEEP_UNTIL_KEY,
    ROLLING_OUT_KEY,
    ROLLOUT_SERIAL_KEY,
    SHARED_CAPACITY_KEY,
    Color,
    color_state_key,
)
from policies.resources import LISTENER, LISTENER_RULE, Resource, at, items, tables, whole


@dataclass(frozen=True, kw_only=True)
class Share:
    """One target group of a forward action."""

    arn: str
    color: Color | None
    """None when the target group's name contains no colour."""
    weight: Any
    """The weight as written, which may be no whole number."""


def is_weighted_rule(resource: Resource) -> bool:
    """Return whether a resource is a service's weighted rule, by its tag or by its target groups."""
    if resource.type != LISTENER_RULE:
        return False
    role = resource.role
    if role is not None:
        return role == "weighted-rule"
    return {share.color for share in shares(resource)} == set(COLORS)


def splits_traffic(resource: Resource) -> bool:
    """Return whether a resource is a service's weighted rule, or the rule of one of its cohorts."""
    return is_cohort_rule(resource) or is_weighted_rule(resource)


def is_cohort_rule(resource: Resource) -> bool:
    """Return whether a resource is the rule of a cohort."""
    return resource.type == LISTENER_RULE and resource.role == "cohort-rule"


def shares(forwarder: Resource) -> list[Share]:
    """Return the target groups to which a rule, or a listener's default action, forwards.

    Raises:
        UnknownValueError: the target groups have no ARN yet.
    """
    service = forwarder.service
    actions = forwarder.get("defaultActions" if forwarder.type == LISTENER else "actions")
    groups = (group for action in tables(actions) for group in _groups(action))
    return [
        Share(arn=str(group.get("arn")), color=_color_of(str(group.get("arn")), service), weight=group.get("weight"))
        for group in groups
    ]


def traffic(rule: Resource) -> Traffic | None:
    """Return a rule's weights and tags; None when they cannot be read, which other policies refuse."""
    weights = weights_by_color(rule)
    active = rule.marks.get(ACTIVE_COLOR_KEY)
    colors: list[tuple[Color, ColorState | None]] = [
        (color, ColorState.parse(str(rule.marks.get(color_state_key(color))))) for color in COLORS
    ]
    known: dict[Color, ColorState] = {color: state for color, state in colors if state is not None}
    if weights is None or active not in COLORS or len(known) < len(COLORS):
        return None
    return Traffic(
        weights=weights,
        active_color=active,
        keep_until=parse_or_none(keep_until_text(rule)),
        rollout_serial=whole(rule.marks.get(ROLLOUT_SERIAL_KEY)) or 0,
        rolling_out=rule.marks.get(ROLLING_OUT_KEY) == "true",
        announced_serial=str(rule.marks.get(ANNOUNCED_KEY) or ""),
        evidence=str(rule.marks.get(EVIDENCE_KEY) or ""),
        colors=known,
        capacity=SharedCapacity.parse(str(rule.marks.get(SHARED_CAPACITY_KEY))),
        cohorts=parse_cohorts(str(rule.marks.get(COHORTS_KEY) or "")),
    )


def keep_until_text(rule: Resource) -> str:
    """Return a rule's tag for the end of the keep-warm window as it is; empty when it is missing."""
    return str(rule.marks.get(KEEP_UNTIL_KEY) or "")


def traffic_of(resource: Resource) -> Traffic | None:
    """Return a weighted rule's weights and tags; None for any other resource, too."""
    return traffic(resource) if is_weighted_rule(resource) else None


def weights_by_color(rule: Resource) -> Mapping[Color, int] | None:
    """Return both colours' weights; None unless the rule forwards to each colour once, with whole numbers."""
    found = shares(rule)
    weights: list[tuple[Color | None, int | None]] = [(share.color, whole(share.weight)) for share in found]
    numbers: dict[Color, int] = {color: weight for color, weight in weights if color and weight is not None}
    return numbers if len(found) == len(numbers) == len(COLORS) else None


def color_in(name: str, service: str | None) -> Color | None:
    """Return the colour in a target group's name, which begins with ``<service>-<color>``."""
    # The service's own name may contain a colour.
    own = bool(service) and name.startswith(f"{service}-")
    words = name.removeprefix(f"{service}-").split("-")[:1] if own else name.split("-")
    found: list[Color] = [color for color in COLORS if color in words]
    return found[0] if len(found) == 1 else None


def is_announced(traffic: Traffic) -> bool:
    """Return whether a person announced an unusual change at the rule's serial."""
    return re.fullmatch(r"[0-9]+", traffic.announced_serial) is not None and (
        int(traffic.announced_serial) == traffic.rollout_serial
    )


def _groups(action: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield an action's target groups; a single target group without a weight gets all requests."""
    if items(at(action, "forward.targetGroups")):
        yield from tables(at(action, "forward.targetGroups"))
    elif (arn := action.get("targetGroupArn")) is not None:
        yield {"arn": arn, "weight": 100}


def _color_of(arn: str, service: str | None) -> Color | None:
    return color_in(arn.rpartition(":targetgroup/")[2].partition("/")[0], service)
