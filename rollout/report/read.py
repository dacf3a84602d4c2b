"""Read reports from a journal. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Final

from components.domain.evidence import digest_of
from rollout.gates.verdicts import names_gate
from rollout.model.machine import Phase
from rollout.model.plan import Plan, candidate_percent_of
from rollout.model.records import (
    Attested,
    Baseline,
    CheckSkipped,
    ColorReady,
    Decision,
    Drilled,
    Finished,
    Kept,
    LockTaken,
    Parked,
    PhaseBegun,
    Promoted,
    Record,
    RuleChanged,
    Started,
    TakenUp,
    UpdateBegun,
    UpdateEnded,
    VerdictGiven,
    WeightStep,
    of_type,
)
from rollout.model.run import Run, last_run
from rollout.report.facts import (
    Drain,
    Ending,
    Event,
    Hold,
    Process,
    Reading,
    Readings,
    Report,
    ReportedChange,
    Segment,
    Update,
    What,
)
from rollout.report.lines import line_of, news

# A hold of hours has thousands of readings; a report of them all would be of no more use.
READINGS: Final = 120

_WITHOUT_PHASES: Final[tuple[What, ...]] = ("drill", "keep")

_WATCHED: Final = (Phase.HOLDING, Phase.SOAKING)


def reports(records: Sequence[Record]) -> Iterator[Report]:
    """Yield a report of every run in a journal, in order. Commands that did nothing are left out."""
    for own in _runs(records):
        if (report := report_of(own)) is not None:
            yield report


def _runs(records: Sequence[Record]) -> Iterator[list[Record]]:
    for _, group in groupby(records, key=lambda record: record.rollout):
        yield list(group)


def last_report(records: Sequence[Record]) -> Report | None:
    """Return the report of the last command's run. None when that did nothing, or when there are no records."""
    return report_of([record for record in records if record.rollout == records[-1].rollout])


def last_traffic_move(records: Sequence[Record]) -> Report | None:
    """Return the report of the last rollout or rollback, after which another colour may serve. None without any."""
    for own in reversed(list(_runs(records))):
        if _what(own) in ("rollout", "rollback"):
            return report_of(own)
    return None


def report_of(records: Sequence[Record]) -> Report | None:
    """Return the report of one run from all of its records. None when nothing was done."""
    what = _what(records)
    if what is None:
        return None
    started = next((body for _, body in of_type(records, Started)), None)
    begun = started or next((body for _, body in of_type(records, TakenUp)), None)
    run, finished = last_run(records), list(of_type(records, Finished))
    plan = None if begun is None else begun.plan
    over = _is_over(what, run, records)
    ended_at = (finished[-1][0] if finished else records[-1]).at if over else None
    price = None if started is None else started.candidate_usd_per_hour
    return Report(
        rollout=records[0].rollout,
        journal=segment(records),
        service="" if started is None else started.service,
        what=what,
        began_at=records[0].at,
        ended_at=ended_at,
        phase=None if run is None else run.rollout.phase,
        outcome=finished[-1][1].outcome if finished and over else None,
        reason="" if run is None else run.rollout.reason,
        candidate=None if plan is None else plan.candidate,
        release_id=None if started is None else started.release_id,
        previous_release_id=None if started is None else started.previous_release_id,
        release=None if begun is None or begun.release is None else begun.release.model_dump(mode="json"),
        plan=plan,
        processes=tuple(_processes(records)),
        baseline_p95_seconds=_baseline(records),
        skipped={body.check: body.because for _, body in of_type(records, CheckSkipped)},
        checks=_readings(record for record in records if record.phase is Phase.VERIFYING),
        weights=tuple(_weights(records, plan)),
        holds=tuple(_holds(records, plan)),
        decision=_decision(records),
        rule_back_seconds=_rule_back_seconds(records, plan),
        drain=_drain(records),
        updates=tuple(_updates(records)),
        bring_up_seconds=next((body.seconds for _, body in of_type(records, ColorReady)), None),
        keep_until=next((body.keep_until for _, body in of_type(records, Promoted)), None),
        candidate_usd_per_hour=price,
        usd=_usd(records, plan, price, ended_at),
        headroom=() if started is None else started.headroom,
        timeline=tuple(_timeline(records)),
    )


def segment(records: Sequence[Record]) -> Segment:
    """Return which records these are, with their digest."""
    return Segment(
        records=len(records),
        first_seq=records[0].seq,
        last_seq=records[-1].seq,
        sha256=digest_of([record.sha256 for record in records]),
    )


def _what(records: Sequence[Record]) -> What | None:
    bodies: Mapping[type, What] = {Started: "rollout", Drilled: "drill", Kept: "keep"}
    for record in records:
        if what := bodies.get(type(record.body)):
            return what
        if isinstance(record.body, TakenUp):
            return "reap" if record.phase is Phase.REAPING else "rollback"
    # The record that names a drill or a keep is its last one. Without it, the command did not come to its end.
    command = next((body.by for _, body in of_type(records, LockTaken)), "")
    undone = {body.serial for _, body in of_type(records, UpdateEnded) if body.status == "taken_back"}
    changed = any(body.serial not in undone for _, body in of_type(records, UpdateBegun))
    return next((what for what in _WITHOUT_PHASES if changed and what == command), None)


def _is_over(what: What, run: Run | None, records: Sequence[Record]) -> bool:
    if what in _WITHOUT_PHASES:
        return any(isinstance(record.body, Drilled | Kept) for record in records)
    return run is None or run.is_over


def _processes(records: Sequence[Record]) -> Iterator[Process]:
    for record, body in of_type(records, LockTaken):
        yield Process(
            command=body.by,
            at=record.at,
            user=body.user,
            host=body.host,
            run_url=body.run_url,
            commit=body.commit,
            taken_over_from=body.before,
            config_sha256=body.config_sha256,
            pack_version=body.pack_version,
        )


def _baseline(records: Sequence[Record]) -> Mapping[str, float]:
    known: dict[str, float] = {}
    for _, body in of_type(records, Baseline):
        known |= body.p95_seconds
    return known


def _readings(records: Iterator[Record] | Sequence[Record]) -> tuple[Readings, ...]:
    by_name: dict[str, list[tuple[bool, Reading]]] = {}
    for record in records:
        if isinstance(body := record.body, VerdictGiven):
            reading = Reading(
                at=record.at, verdict=body.verdict, reason=body.reason, evidence=body.evidence, slices=body.slices
            )
            by_name.setdefault(body.gate, []).append((body.dry_run, reading))
    return tuple(
        Readings(name=name, dry_run=found[-1][0], readings=_thinned([reading for _, reading in found]))
        for name, found in by_name.items()
    )


def _thinned(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """Return evenly spaced readings, the first and last among them, and every one whose verdict is a new one.

    Only the last one, and those with a new verdict, keep their slices.
    """
    step = max(1, len(readings) // READINGS)

    def is_news(place: int) -> bool:
        return place == len(readings) - 1 or readings[place].verdict is not readings[place - 1].verdict

    return tuple(
        reading if is_news(place) or not reading.slices else replace(reading, slices=())
        for place, reading in enumerate(readings)
        if place % step == 0 or is_news(place)
    )


def _weights(records: Sequence[Record], plan: Plan | None) -> Iterator[ReportedChange]:
    change: ReportedChange | None = None
    for record in records:
        match record.body:
            case WeightStep(status="begun") as body:
                if change is not None:
                    yield change
                change = ReportedChange(
                    candidate_percent=body.candidate_percent,
                    green_weight=body.green_weight,
                    asked_at=record.at,
                    cohort=body.cohort,
                )
            case Attested() as body if change is not None and change.requests is None:
                change = replace(
                    change,
                    requests=body.requests,
                    candidate_requests=body.candidate_requests,
                    observed_percent=body.candidate_percent,
                    # After a rollback no step says so: the counts themselves confirm that nothing arrives any more.
                    in_effect_at=change.in_effect_at if change.candidate_percent or change.cohort else record.at,
                )
            case WeightStep(status="done") if change is not None:
                change = replace(change, in_effect_at=record.at)
            case RuleChanged(how="direct", green_weight=weight) | Decision(action="rollback", green_weight=weight) if (
                change is not None and plan is not None
            ):
                percent = candidate_percent_of(plan.candidate, weight)
                if percent < change.candidate_percent or change.cohort:  # the rule and its record are one change
                    yield change
                    change = ReportedChange(candidate_percent=percent, green_weight=weight, asked_at=record.at)
            case _:
                pass
    if change is not None:
        yield change


def _holds(records: Sequence[Record], plan: Plan | None) -> Iterator[Hold]:
    """Yield one hold for each time that a process began to watch."""
    if plan is None:
        return
    begins = [place for place, record in enumerate(records) if isinstance(record.body, PhaseBegun)]
    for place, following in zip(begins, [*begins[1:], len(records)], strict=True):
        record = records[place]
        if record.phase not in _WATCHED or not isinstance(record.body, PhaseBegun):
            continue
        step = None if record.phase is Phase.SOAKING else record.body.step
        window = [one for one in records[place:following] if one.phase is record.phase]
        run = last_run(records[: place + 1])
        yield Hold(
            step=step,
            candidate_percent=100 if step is None else plan.steps[step].candidate_percent,
            planned_seconds=plan.soak_seconds if step is None else plan.steps[step].hold_seconds,
            counted_from=(None if run is None else run.judged_since) or record.at,
            began_at=record.at,
            ended_at=records[following].at if following < len(records) else _end(window),
            gates=_readings(window),
            cohort="" if step is None else plan.steps[step].cohort,
        )


def _end(window: Sequence[Record]) -> datetime | None:
    return next((record.at for record, _ in of_type(window, Finished)), None)


def _decision(records: Sequence[Record]) -> Ending | None:
    decisions = list(of_type(records, Decision))
    if not decisions:
        return None
    record, body = decisions[-1]
    before = records[: records.index(record)]
    phases = [one for one in before if isinstance(one.body, PhaseBegun)]
    window = before[before.index(phases[-1]) :] if phases else before
    named = [one for one in _readings(window) if names_gate(body.reason, one.name)]
    return Ending(
        action=body.action,
        reason=body.reason,
        decided_at=body.decided_at or record.at,
        tipped_by=tuple(named),
    )


def _rule_back_seconds(records: Sequence[Record], plan: Plan | None) -> float | None:
    """Return the time until the rule's last change of a rollback was recorded. The rule itself was back before that.

    None also while the outgoing colour has not got all requests back.
    """
    decided_at: datetime | None = None
    for record in records:
        match record.body:
            case Decision(action="rollback") as body:
                decided_at = decided_at or body.decided_at
                weight = body.green_weight
            case RuleChanged(how="direct", green_weight=weight):
                pass
            case _:
                continue
        if decided_at is not None and (plan is None or weight == plan.initial_green_weight):
            return max(0.0, (record.at - decided_at).total_seconds())
    return None


def _drain(records: Sequence[Record]) -> Drain | None:
    parked = list(of_type(records, Parked))
    if not parked:
        return None
    record, body = parked[-1]
    decided = [one.decided_at or at.at for at, one in of_type(records, Decision) if one.action == "rollback"]
    began = decided[-1] if decided else records[0].at
    return Drain(color=body.color, seconds=(record.at - began).total_seconds())


def _updates(records: Sequence[Record]) -> Iterator[Update]:
    open_update: tuple[Record, UpdateBegun] | None = None
    for record in records:
        if isinstance(record.body, UpdateBegun):
            if open_update is not None:
                yield _update(*open_update, None)
            open_update = (record, record.body)
        elif isinstance(record.body, UpdateEnded) and open_update is not None:
            yield _update(*open_update, (record.at, record.body))
            open_update = None
    if open_update is not None:
        yield _update(*open_update, None)


def _update(begun: Record, body: UpdateBegun, end: tuple[datetime, UpdateEnded] | None) -> Update:
    return Update(
        message=body.message,
        began_at=begun.at,
        ended_at=None if end is None else end[0],
        status="begun" if end is None else end[1].status,
        unexpected=() if end is None else end[1].unexpected,
    )


def _usd(
    records: Sequence[Record], plan: Plan | None, usd_per_hour: float | None, ended_at: datetime | None
) -> float | None:
    if usd_per_hour is None or ended_at is None or plan is None:
        return None
    first = next((record.at for record, body in of_type(records, UpdateBegun) if body.color == plan.candidate), None)
    return 0.0 if first is None else round((ended_at - first).total_seconds() / 3600 * usd_per_hour, 2)


def _timeline(records: Sequence[Record]) -> Iterator[Event]:
    for record in news(records):
        if (line := line_of(record)) is not None:
            yield Event(
                at=record.at,
                kind=record.body.kind,
                head=line.head,
                text=line.text,
                tone=line.tone,
                detail=line.detail,
            )
