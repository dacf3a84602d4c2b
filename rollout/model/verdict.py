"""The verdict of a gate, and the load balancer's figures for a target group."""

import json
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
class SliceVerdict:
    """A gate's verdict on one slice: the requests with one value of a label."""

    label: str
    value: str
    verdict: Verdict
    decides: bool
    """Whether it counts. A slice with too few requests does not, nor does one that chance may explain."""
    reason: str
    evidence: Evidence = field(default_factory=dict[str, float | int | str | None])

    @property
    def name(self) -> str:
        """The slice in words. A value may hold any character."""
        return f"{self.label} {json.dumps(self.value, ensure_ascii=False)}"


@dataclass(frozen=True, kw_only=True)
class GateVerdict:
    """One gate's verdict."""

    gate: str
    verdict: Verdict
    reason: str
    evidence: Evidence = field(default_factory=dict[str, float | int | str | None])
    dry_run: bool = False
    """Whether the verdict is only recorded and decides nothing."""
    slices: tuple[SliceVerdict, ...] = ()
    """The slices that were judged by themselves, the largest first."""


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
