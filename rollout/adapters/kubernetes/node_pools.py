"""Reads Karpenter's objects: node pools, and what became of the nodes that it wanted to start.

https://github.com/kubernetes-sigs/karpenter/tree/main/pkg/apis/v1
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from components.domain.moments import parse_or_none
from components.domain.naming import COLOR_KEY, COLORS, GPU_RESOURCE, SERVICE_KEY, Color
from rollout.model.account import Launch
from rollout.model.node_pools import POOL_LABEL, NodePool, Requirement
from rollout.model.nodes import Taint

NO_CAPACITY: Final = "InsufficientCapacityError"
"""The reason of the event about a node for which EC2 has no capacity."""

_LAUNCHED: Final = "Launched"
_AWAITING: Final = "AwaitingReconciliation"
_THROTTLED: Final = "RequestLimitExceeded"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def node_pool(item: Any, service: str) -> NodePool:
    """Return a node pool, with the colours of the service whose pods run on its nodes."""
    spec = item["spec"]
    template, below = spec.get("template", {}), spec.get("template", {}).get("spec", {})
    labels = template.get("metadata", {}).get("labels") or {}
    limit = (spec.get("limits") or {}).get(GPU_RESOURCE)
    used = (item.get("status", {}).get("resources") or {}).get(GPU_RESOURCE, 0)
    return NodePool(
        name=item["metadata"]["name"],
        colors=_colors(labels.get(COLOR_KEY)) if labels.get(SERVICE_KEY) == service else (),
        labels=labels,
        requirements={
            one["key"]: Requirement(operator=one["operator"], values=tuple(one.get("values") or ()))
            for one in below.get("requirements") or ()
        },
        taints=tuple(
            Taint(key=one["key"], value=one.get("value") or "", effect=one["effect"])
            for one in below.get("taints") or ()
        ),
        limit_gpus=None if limit is None else _whole(limit),
        used_gpus=_whole(used),
    )


def node_claim_launches(items: Sequence[Any], pools: Sequence[str]) -> Iterator[tuple[datetime, Launch]]:
    """Yield what became of the nodes that are wanted for these pools, with the time when that was known."""
    for item in items:
        if (item["metadata"].get("labels") or {}).get(POOL_LABEL) not in pools:
            continue
        for one in item.get("status", {}).get("conditions") or ():
            if one.get("type") != _LAUNCHED or one.get("reason") == _AWAITING:
                continue
            at = parse_or_none(one.get("lastTransitionTime", "")) or _EPOCH
            launched = one.get("status") == "True"
            message = "" if launched else f"{one.get('reason', '')}: {one.get('message', '')}"
            if _THROTTLED in message:
                continue
            yield at, Launch(id=f"{item['metadata']['uid']} {launched}", failed=not launched, message=message)


def event_launches(events: Sequence[Any], pools: Sequence[str]) -> Iterator[tuple[datetime, Launch]]:
    """Yield the starts of nodes of these pools that failed, by Karpenter's events, with the time of the latest one."""
    # A NodeClaim is named after its pool, with five random letters and digits.
    names = re.compile(f"({'|'.join(map(re.escape, pools))})-[a-z0-9]{{5}}")
    for event in events:
        if names.fullmatch(event.involved_object.name or ""):
            at = event.last_timestamp or event.event_time or event.metadata.creation_timestamp or _EPOCH
            launch = Launch(id=f"{event.metadata.uid} {event.count or 1}", failed=True, message=event.message or "")
            yield at, launch


def _colors(color: str | None) -> tuple[Color, ...]:
    """Return the colours of a pool's label: both without one."""
    return COLORS if color is None else tuple(one for one in COLORS if one == color)


def _whole(quantity: Any) -> int:
    from kubernetes.utils.quantity import parse_quantity

    return int(parse_quantity(quantity))
