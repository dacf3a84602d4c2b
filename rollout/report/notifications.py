"""Which notification a record gives, after all records before it: at most one. Pure.

A notification contains no prompts, answers or secrets: of a check's evidence only the numbers, and never its reason,
which may quote an answer.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import JsonValue

from components.config.reading.secret_values import secret_kind
from components.config.sections.notification_settings import EventName
from components.domain.moments import format_rfc3339
from components.domain.naming import Color
from rollout.gates.verdicts import GATE as APPROVAL
from rollout.gates.verdicts import names_gate
from rollout.model.machine import Phase
from rollout.model.notification import Notification, Origin
from rollout.model.records import (
    Decision,
    Finished,
    PhaseBegun,
    Promoted,
    Record,
    Started,
    TakenUp,
    VerdictGiven,
    WeightStep,
)
from rollout.model.run import Run, after
from rollout.model.verdict import Verdict

REAP_DUE_WITHIN: Final = timedelta(hours=1)
_LONGEST_REASON: Final = 1000
_HOLDS: Final = frozenset({Phase.HOLDING, Phase.SOAKING})


@dataclass(frozen=True, kw_only=True)
class Following:
    """What of the records so far matters for the next notification."""

    run: Run | None = None
    phase: Phase | None = None
    """The phase, or the one before a rollback."""
    hold_began_at: datetime | None = None
    """When this process began to watch the hold or soak. None outside of both."""
    verdicts: Mapping[str, VerdictGiven] = field(default_factory=dict[str, VerdictGiven])
    """The latest verdict of each gate or check in this phase."""
    undecided: frozenset[str] = frozenset()
    """The gates that were inconclusive after the planned end of the hold."""
    sent: frozenset[EventName] = frozenset()
    """What was sent in this hold and is sent once in each."""
    withheld: Mapping[str, str] = field(default_factory=dict[str, str])
    """Reasons that may quote an answer, with what is sent instead."""


def notification_of(records: Iterable[Record], record: Record, origin: Origin) -> Notification | None:
    """Return the notification that a record gives after all ``records``. None when it gives none."""
    known = Following()
    for one in records:
        known, _ = follow(known, one, origin)
    return follow(known, record, origin)[1]


def follow(known: Following, record: Record, origin: Origin) -> tuple[Following, Notification | None]:
    """Return what is known once a record is written, and the notification that it gives. None when it gives none."""
    following = _after(known, record)
    found = next(_found(known, following, record, origin), None)
    if found is None:
        return following, None
    event, text, details = found
    following = replace(following, sent=following.sent | {event})
    details = {**_subject(following.run), **details}
    return following, _notification(origin, event, str(record.seq), record.rollout, record.at, text, details)


def reap_due(origin: Origin, color: Color, keep_until: datetime, now: datetime) -> Notification | None:
    """Return the notification of a keep-warm window that ends within an hour. None when it ends later, or has ended."""
    if not timedelta() <= keep_until - now <= REAP_DUE_WITHIN:
        return None
    until = format_rfc3339(keep_until)
    command = f"python -m scripts.keep {origin.options} --until +24h"
    text = f"{color} can be reaped from {until} on. To keep it warm: {command}"
    details: dict[str, JsonValue] = {"color": color, "keep_until": until, "keep_command": command}
    return _notification(origin, "reap_due", f"reap_due/{until}", "", now, text, details)


def watch_failed(origin: Origin, rollout: str, color: Color, reason: str, now: datetime) -> Notification:
    """Return the notification of a gate that has failed the promoted colour, without an automatic rollback."""
    command = f"python -m scripts.rollback {origin.options}"
    text = f"{color} fails after its promotion: {reason}. To go back: {command}"
    details: dict[str, JsonValue] = {"color": color, "reason": reason, "rollback_command": command}
    return _notification(origin, "watch_failed", f"watch_failed/{format_rfc3339(now)}", rollout, now, text, details)


def way_back_at_risk(
    origin: Origin, rollout: str, color: Color, problems: Iterable[str], keep_until: datetime, now: datetime
) -> Notification:
    """Return the notification of what endangers a rollback to the old colour."""
    found: list[JsonValue] = list(problems)
    key = f"way_back_at_risk/{format_rfc3339(now)}"
    text = f"the way back to {color} is at risk: {'; '.join(map(str, found))}"
    details: dict[str, JsonValue] = {"color": color, "problems": found, "keep_until": format_rfc3339(keep_until)}
    return _notification(origin, "way_back_at_risk", key, rollout, now, text, details)


def _notification(
    origin: Origin,
    event: EventName,
    key: str,
    rollout: str,
    at: datetime,
    text: str,
    details: dict[str, JsonValue],
) -> Notification:
    """Return a notification. Its key distinguishes it from all others of its rollout, or of the service without one."""
    return Notification(
        event=event,
        id="/".join(filter(None, (origin.stack, origin.service, rollout, key))),
        at=at,
        origin=origin,
        rollout=rollout,
        text=f"{origin.service} ({origin.stack}): {text}",
        details=details,
    )


_Found = tuple[EventName, str, dict[str, JsonValue]]


def _after(known: Following, record: Record) -> Following:
    known = replace(known, run=after(known.run, record))
    match record.body:
        case Started() | TakenUp(resumed=False):
            return _entered(Following(run=known.run), record)
        case PhaseBegun() | TakenUp():
            return _entered(known, record)
        case VerdictGiven() as one:
            return replace(known, verdicts={**known.verdicts, one.gate: one}, undecided=_undecided(known, record, one))
        case Decision(action="rollback", reason=reason) if known.phase is Phase.VERIFYING:
            checks = [gate for gate, one in known.verdicts.items() if one.verdict is not Verdict.PASS]
            safe = f"the check {', '.join(checks)} did not pass" if checks else "the checks could not be run"
            return replace(known, withheld={**known.withheld, reason: safe})
        case _:
            return known


def _entered(known: Following, record: Record) -> Following:
    if record.phase is Phase.ROLLING_BACK:
        return replace(known, hold_began_at=None)
    return replace(
        known,
        phase=record.phase,
        hold_began_at=record.at if record.phase in _HOLDS else None,
        verdicts={},
        undecided=frozenset(),
        sent=frozenset(),
    )


def _undecided(known: Following, record: Record, verdict: VerdictGiven) -> frozenset[str]:
    over = _seconds_over(known, record)
    if over is None or over < 0 or verdict.dry_run or verdict.verdict is not Verdict.INCONCLUSIVE:
        return known.undecided
    return known.undecided | {verdict.gate}


def _seconds_over(known: Following, record: Record) -> float | None:
    """Return how long ago the planned end of the hold was. None outside of a hold."""
    if known.run is None or known.hold_began_at is None:
        return None
    plan, step = known.run.rollout.plan, known.run.rollout.judged_step
    planned = plan.soak_seconds if step is None else plan.steps[step].hold_seconds
    return (record.at - known.hold_began_at).total_seconds() - planned


def _found(before: Following, now: Following, record: Record, origin: Origin) -> Iterator[_Found]:
    match record.body:
        case Started() as one:
            text = f"the rollout of release {one.release_id} onto {one.candidate} has started"
            previous: dict[str, JsonValue] = {"previous_release_id": one.previous_release_id}
            yield "started", text, previous
        case WeightStep(status="done") as one:
            details: dict[str, JsonValue] = {"candidate_percent": one.candidate_percent}
            details |= {"green_weight": one.green_weight, **({"cohort": one.cohort} if one.cohort else {})}
            what = f"the cohort {one.cohort} goes" if one.cohort else f"{one.candidate_percent} % of requests go"
            yield "step_in_effect", f"{what} to the candidate", details
        case VerdictGiven() as one:
            yield from _of_a_verdict(before, now, record, one, origin)
        case PhaseBegun(reason=reason) if record.phase is Phase.PAUSED:
            safe = _safe(now, reason)
            resume = f"python -m scripts.ramp {origin.options} --resume"
            back = f"python -m scripts.rollback {origin.options}"
            text = f"paused, the weight stays: {safe}. Continue with: {resume}. Or go back with: {back}"
            yield "paused", text, {"reason": safe, "resume_command": resume, "rollback_command": back}
        case Decision(action="rollback") as one:
            safe = _safe(now, one.reason)
            figures: list[JsonValue] = list(_figures(now, one.reason))
            why: dict[str, JsonValue] = {"reason": safe, "green_weight": one.green_weight, "figures": figures}
            yield "rollback", f"rolls back to green_weight {one.green_weight}: {safe}", why
        case Promoted() as one:
            until = format_rfc3339(one.keep_until)
            text = f"{one.active_color} is promoted; the way back stays warm until {until}"
            yield "promoted", text, {"active_color": one.active_color, "keep_until": until}
        case Finished() as one:
            safe = _safe(now, one.reason)
            text = f"ended: {one.outcome}" + (f": {safe}" if safe else "")
            yield "ended", text, {"outcome": one.outcome, "reason": safe}
        case _:
            pass


def _of_a_verdict(
    before: Following, now: Following, record: Record, verdict: VerdictGiven, origin: Origin
) -> Iterator[_Found]:
    if now.run is None or now.phase not in _HOLDS or verdict.verdict is not Verdict.INCONCLUSIVE:
        return
    plan, step = now.run.rollout.plan, now.run.rollout.judged_step
    if verdict.gate == APPROVAL and step is not None:
        if "approval_wanted" in before.sent:
            return  # that the hold then waits is no news
        percent, seconds = plan.steps[step].candidate_percent, plan.steps[step].approval_timeout_seconds
        command = f"python -m scripts.approve {origin.options} --percent {percent} --because REASON"
        details: dict[str, JsonValue] = {
            "candidate_percent": percent,
            "timeout_seconds": seconds,
            "approve_command": command,
            "deny_command": f"{command} --deny",
        }
        text = f"the step of {percent} % waits for approval. Run: {command} (with --deny to refuse it)"
        yield "approval_wanted", text, details
    elif verdict.gate in before.undecided and verdict.gate in now.undecided and "hold_extended" not in before.sent:
        # One inconclusive verdict after the planned end may be of the last planned look.
        over = _seconds_over(now, record) or 0.0
        most = plan.extension_seconds(step)
        what = "the soak" if step is None else f"the hold at {plan.steps[step].name}"
        text = f"{what} goes beyond its planned time, by at most {most:.0f} s: {verdict.gate} is inconclusive"
        yield "hold_extended", text, {"gate": verdict.gate, "over_seconds": round(over, 1), "at_most_seconds": most}


def _figures(now: Following, reason: str) -> Iterator[JsonValue]:
    """Yield the numbers of the gates or checks that the decision names."""
    for gate, one in now.verdicts.items():
        if names_gate(reason, gate) and one.verdict is not Verdict.PASS and not one.dry_run:
            numbers: dict[str, JsonValue] = {
                name: value
                for name, value in one.evidence.items()
                if isinstance(value, int | float) and not isinstance(value, bool)
            }
            yield {"gate": gate, "verdict": str(one.verdict), "figures": numbers}


def _safe(known: Following, reason: str) -> str:
    """Return a reason without what may be an answer or a secret."""
    for raw, instead in known.withheld.items():
        reason = reason.replace(raw, instead) if raw else reason
    if kind := secret_kind(reason):
        return f"not shown, because it looks as if it contains {kind}; see scripts.explain"
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"


def _subject(run: Run | None) -> dict[str, JsonValue]:
    if run is None:
        return {}
    release = run.release
    return {"candidate": run.rollout.plan.candidate, "release_id": None if release is None else release.release_id}
