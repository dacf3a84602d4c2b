"""Journal records as lines for people: of a hold's many verdicts only the changes, and the figures it ended with."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from components.domain.moments import format_rfc3339
from rollout.model.machine import FINAL, Phase
from rollout.model.records import (
    ActionEnded,
    Attested,
    Baseline,
    CheckSkipped,
    ColorReady,
    Decision,
    Drilled,
    Finished,
    FloorMoved,
    HookRan,
    Keeping,
    Kept,
    LockTaken,
    NodesReleased,
    Note,
    NowServing,
    Parked,
    PhaseBegun,
    Promoted,
    Record,
    Resized,
    RuleChanged,
    Started,
    TakenUp,
    UpdateBegun,
    UpdateEnded,
    VerdictGiven,
    WeightStep,
)
from rollout.model.verdict import Verdict


class Tone(StrEnum):
    """How a line should look."""

    PLAIN = "plain"
    STRONG = "strong"
    PHASE = "phase"
    GOOD = "good"
    BAD = "bad"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line about a record. ``tone`` is for the head alone."""

    head: str = ""
    text: str = ""
    tone: Tone = Tone.PLAIN
    detail: bool = True
    """Whether the line belongs below the last one that is no detail."""

    def __str__(self) -> str:
        return f"{self.head}{self.text}"


_VERDICTS: Final = {Verdict.PASS: Tone.GOOD, Verdict.FAIL: Tone.BAD, Verdict.INCONCLUSIVE: Tone.WARNING}


class News:
    """Leaves out what repeats: gates give the same verdict at every poll."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}
        self._latest: dict[str, Record] = {}

    def of(self, record: Record) -> Iterator[Record]:
        """Yield what there is to show once a record is written: nothing, the record, or what it ends and the record."""
        if isinstance(record.body, VerdictGiven):
            gate, verdict = record.body.gate, record.body.verdict
            self._latest[gate] = record
            if self._shown.get(gate) == verdict:
                return
            self._shown[gate] = verdict
            del self._latest[gate]
        elif isinstance(record.body, PhaseBegun | Decision):
            yield from self._latest.values()
            self._shown.clear()
            self._latest.clear()
        yield record


def news(records: Iterable[Record]) -> Iterator[Record]:
    """Yield the records without what repeats."""
    filtered = News()
    for record in records:
        yield from filtered.of(record)


def line_of(record: Record) -> Line | None:
    """Return a record as one line. None when it says nothing to a person."""
    match record.body:
        case Started() as one:
            former = one.previous_release_id or "none"
            text = (
                f": release {one.release_id} onto {one.candidate} "
                f"(serving now: {former}, green_weight {one.green_weight})"
            )
            return Line(head=one.service, text=text, tone=Tone.STRONG, detail=False)
        case PhaseBegun(reason=reason):
            if record.phase is Phase.PAUSED:
                text = f", the weight stays: {reason}"
                return Line(head="paused", text=text, tone=Tone.WARNING, detail=False)
            if record.phase is None or record.phase in FINAL:
                return None  # the record "finished" says how it ended
            return Line(head=record.phase, tone=Tone.PHASE, detail=False)
        case LockTaken(before=before) if before:
            return Line(text=f"taken over from {before}")
        case TakenUp():
            return Line(head=record.phase or "", text=": taken up", tone=Tone.STRONG, detail=False)
        case WeightStep() as one:
            word = "asking for" if one.status == "begun" else "in effect:"
            if one.cohort:
                return Line(text=f"{word} the cohort {one.cohort} on the candidate (green_weight {one.green_weight})")
            return Line(text=f"{word} {one.candidate_percent} % candidate (green_weight {one.green_weight})")
        case Attested() as one:
            if one.proof == "rules":
                what = f"the cohort {one.cohort}" if one.cohort else f"{one.intended_percent} %"
                return Line(text=f"the rules send {what} to {one.color}; the counts cannot show it")
            return Line(text=f"attested: {one.candidate_requests} of {one.requests} requests went to {one.color}")
        case Drilled() as one:
            return Line(
                text=f"drill: the rule was back {one.decision_to_rule_seconds:.3f} s after the decision, the last "
                f"request on {one.color} at most {one.rule_to_last_request_seconds:g} s later, config and "
                f"state agreed after {one.decision_to_agreement_seconds:.1f} s"
            )
        case RuleChanged() as one:
            return Line(text=f"rule set to green_weight {one.green_weight} ({one.how})")
        case VerdictGiven() as one:
            gate = f"{one.gate} (dry run)" if one.dry_run else one.gate
            return Line(head=f"{one.verdict:<12}", text=f" {gate}: {one.reason}", tone=_VERDICTS[one.verdict])
        case Decision() as one:
            tone = Tone.GOOD if one.action == "promote" else Tone.BAD
            text = f" to green_weight {one.green_weight}: {one.reason}"
            return Line(head=one.action, text=text, tone=tone, detail=False)
        case Baseline() as one:
            known = ", ".join(f"{gate} {seconds:.3f} s" for gate, seconds in one.p95_seconds.items())
            return Line(text=f"{one.color} now: {known or 'too few requests to know its latencies'}")
        case Promoted() as one:
            until = format_rfc3339(one.keep_until)
            return Line(text=f"{one.active_color} is the active colour; the way back stays warm until {until}")
        case NowServing() as one:
            other = one.previous_cache_namespace or "none"
            of_other = (
                f"that of the other colour is {other}" if one.cache_namespace_changed else "as on the other colour"
            )
            return Line(
                text=f"serving now: release {one.release_id} on {one.color}; semantic-cache namespace "
                f"{one.cache_namespace or 'none'}, {of_other}"
            )
        case HookRan() as one:
            if not one.error:
                return Line(text=f"rollout.hooks.{one.name} ran, {one.seconds:.1f} s")
            text = f" rollout.hooks.{one.name}: {one.error}. Nothing was undone; run it by hand"
            return Line(head="warning", text=text, tone=Tone.WARNING)
        case ColorReady() as one:
            what = "nodes and replicas" if one.with_nodes else "replicas"
            return Line(text=f"{one.color} is up ({what}), {one.seconds:.0f} s after its deploy began")
        case Resized() as one:
            return Line(
                text=f"{one.color} runs {one.replicas} replicas now (before: {one.former}), {one.seconds:.0f} s"
            )
        case FloorMoved() as one:
            replicas = "1 replica" if one.floor == 1 else f"{one.floor} replicas"
            return Line(text=f"{one.color} runs at least {replicas} now (before: {one.former})")
        case Kept() as one:
            was = "" if one.former is None else f" (was {format_rfc3339(one.former)})"
            why = f": {one.reason}" if one.reason else ""
            return Line(text=f"{one.color} is kept warm until {format_rfc3339(one.until)}{was}{why}")
        case Keeping() as one:
            parts = [part for part in (one.kept, one.brought_up, one.way_back) if part]
            return Line(text="; ".join(parts)) if parts else None
        case Parked(color=color):
            return Line(text=f"{color} is parked, its pods are gone")
        case NodesReleased(color=color):
            return Line(text=f"the nodes of {color} are given back")
        case CheckSkipped() as one:
            return Line(head=f"{'skipped':<12}", text=f" {one.check}: {one.because}", tone=Tone.WARNING)
        case Note(text=text):
            return Line(text=text)
        case Finished() as one:
            text = f": {one.reason}" if one.reason else ""
            return Line(head=one.outcome, text=text, tone=Tone.STRONG, detail=False)
        case LockTaken() | ActionEnded() | UpdateBegun() | UpdateEnded():
            return None
