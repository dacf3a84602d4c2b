"""What a run did, as plain values: a rollout, the rollback of a promotion, a reap, a drill, or a changed window.

Pure. A report is made from the journal's records alone, so the same journal always makes the same report.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from components.domain.capacity.headroom import HeadroomCost
from components.domain.naming import Color
from rollout.model.machine import Phase
from rollout.model.plan import Plan
from rollout.model.records import Kind, Outcome
from rollout.model.verdict import Evidence, SliceVerdict, Verdict
from rollout.report.lines import Tone

What = Literal["rollout", "rollback", "reap", "drill", "keep"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a gate or a check said at one moment."""

    at: datetime
    verdict: Verdict
    reason: str
    evidence: Evidence = field(default_factory=dict[str, float | int | str | None])
    slices: tuple[SliceVerdict, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Readings:
    """All that one gate or check said in one hold, or in the phase ``verifying``. Never empty."""

    name: str
    dry_run: bool
    readings: tuple[Reading, ...]

    @property
    def last(self) -> Reading:
        """The last reading."""
        return self.readings[-1]


@dataclass(frozen=True, kw_only=True)
class Hold:
    """One window in which the gates judged: the hold of a step, or the soak."""

    step: int | None
    """The step's place in the ramp, from 0. None for the soak."""
    candidate_percent: int
    planned_seconds: float
    counted_from: datetime
    """From when requests count: from the first step's change of the rule on, otherwise from the beginning on."""
    began_at: datetime
    ended_at: datetime | None
    """None while it goes on, or when its process was killed."""
    gates: tuple[Readings, ...]
    cohort: str = ""
    """The cohort that the step has sent to the candidate. Empty for a step that moves the weight."""

    @property
    def name(self) -> str:
        """The name of the window, for people."""
        if self.step is None:
            return "soak"
        return f"cohort {self.cohort}" if self.cohort else f"{self.candidate_percent} %"

    @property
    def cost(self) -> Evidence | None:
        """The costs of both colours at the end of the hold. None when they are not known."""
        found = next((gate.last.evidence for gate in self.gates if gate.name == "cost"), {})
        return found if found.get("usd_per_million_tokens") is not None else None

    @property
    def has_slices(self) -> bool:
        """Whether a gate judged slices."""
        return any(gate.last.slices for gate in self.gates)

    @property
    def extended_by_seconds(self) -> float:
        """How long it lasted beyond its planned time; 0 when it ended within it, or has not ended."""
        if self.ended_at is None:
            return 0.0
        return max(0.0, (self.ended_at - self.began_at).total_seconds() - self.planned_seconds)


@dataclass(frozen=True, kw_only=True)
class ReportedChange:
    """One change of the weights or of a cohort, and what the load balancer counted under it."""

    candidate_percent: int
    green_weight: int
    asked_at: datetime
    in_effect_at: datetime | None = None
    """None when the load balancer's counts never confirmed it."""
    requests: int | None = None
    candidate_requests: int | None = None
    observed_percent: float | None = None
    cohort: str = ""
    """The cohort that was sent to the candidate, whatever the weights. Empty when the weights changed."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One command that worked on the run."""

    command: str
    at: datetime
    user: str
    host: str
    run_url: str
    commit: str
    """The program's commit, with ``+`` behind it when files differ from it. Empty when it is not known."""
    taken_over_from: str
    config_sha256: str = ""
    """The digest of the service's settings, without those that a script writes. Empty when it is not known."""
    pack_version: str = ""
    """The version of the policy pack. Empty when none ran, or when it is not known."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The records that a report is made from."""

    records: int
    first_seq: int
    last_seq: int
    sha256: str
    """The digest of their digests."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """One update of the stack."""

    message: str
    began_at: datetime
    ended_at: datetime | None
    status: str
    unexpected: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The decision that ended a rollout, and what tipped it."""

    action: Literal["promote", "rollback"]
    reason: str
    decided_at: datetime
    tipped_by: tuple[Readings, ...]
    """The gates or checks that the reason names, with their readings up to the decision."""


@dataclass(frozen=True, kw_only=True)
class Drain:
    """How long a colour ran on for its last requests."""

    color: Color
    seconds: float
    """From the decision to take it out of use until its pods were gone."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the timeline."""

    at: datetime
    kind: Kind
    head: str
    text: str
    tone: Tone
    detail: bool


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run."""

    rollout: str
    """The id that all its records carry."""
    journal: Segment
    service: str
    what: What
    began_at: datetime
    ended_at: datetime | None
    phase: Phase | None
    outcome: Outcome | None
    """None while it is unfinished."""
    reason: str
    candidate: Color | None
    release_id: str | None
    previous_release_id: str | None
    release: Mapping[str, Any] | None
    plan: Plan | None
    processes: tuple[Process, ...]
    baseline_p95_seconds: Mapping[str, float]
    skipped: Mapping[str, str]
    """The reasons of checks that somebody left out, by check."""
    checks: tuple[Readings, ...]
    weights: tuple[ReportedChange, ...]
    holds: tuple[Hold, ...]
    decision: Ending | None
    """The last decision. None when none was made."""
    rule_back_seconds: float | None
    """Time from the decision to roll back until the rule was recorded as back. None without a rollback."""
    drain: Drain | None
    """None when no colour was parked."""
    updates: tuple[Update, ...]
    bring_up_seconds: float | None
    """How long the candidate's nodes and replicas took to be ready."""
    keep_until: datetime | None
    candidate_usd_per_hour: float | None
    usd: float | None
    """What the candidate's nodes cost from their first update to the end. None when it is unknown."""
    headroom: tuple[HeadroomCost, ...]
    """What a rollout costs in every headroom mode by its plan, the chosen one first. Empty when it is not known."""
    timeline: tuple[Event, ...]

    @property
    def seconds(self) -> float | None:
        """How long it took. None while it is unfinished."""
        return None if self.ended_at is None else (self.ended_at - self.began_at).total_seconds()
