"""The verdict of a gate, and the load balancer's figures for a target group."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Evidence = Mapping[str, float | int | str | None]


class Verdict(StrEnum):
    """What a gate decides."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, kw_only=True)
class GateVerdict:
    """One gate's verdict."""

    gate: str
    verdict: Verdict
    reason: str
    evidence: Evidence = field(default_factory=dict[str, float | int | str | None])
    dry_run: bool = False
    """Whether the verdict is only recorded and decides nothing."""


@dataclass(frozen=True, kw_only=True)
class TargetHealth:
    """The targets of one group: how many are healthy, and how many should serve (without draining ones)."""

    healthy: int
    total: int
    states: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, kw_only=True)
class TargetGroupCounts:
    """The load balancer's counts for one target group over a window."""

    requests: int
    server_errors: int
