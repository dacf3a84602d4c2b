"""Where an unfinished run stands: its phase, its hold with the time left, and its gates' latest verdicts. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rollout.model.machine import Phase
from rollout.model.records import Kind, PhaseBegun, Record, of_type
from rollout.report.facts import Event, Hold, Process, Readings, Report
from rollout.report.read import last_report

LATEST_EVENTS = 6


@dataclass(frozen=True, kw_only=True)
class Progress:
    """An unfinished run at one moment."""

    report: Report
    phase: Phase
    phase_seconds: float
    """How long it has been in its phase."""
    hold: Hold | None
    """The hold or soak that goes on. None in other phases."""
    planned_left_seconds: float
    """Until the planned end of the hold; negative once that has passed, and 0 outside of a hold."""
    longest_left_seconds: float
    """Until the hold ends at the latest, without a verdict."""
    started_by: Process | None
    now_by: Process | None
    """The command that works on it, or did last."""
    events: tuple[Event, ...]
    """The latest lines of the timeline, without verdicts, which the gates have."""

    @property
    def gates(self) -> tuple[Readings, ...]:
        """The gates of the hold, or the checks that ran so far."""
        return self.report.checks if self.hold is None else self.hold.gates


def progress_of(records: Sequence[Record], now: datetime) -> Progress | None:
    """Return where the last run in a journal stands. None when it is over, or when there was none."""
    report = last_report(records)
    if report is None or report.phase is None or report.ended_at is not None:
        return None
    entered = [record.at for record, _ in of_type(records, PhaseBegun)]
    hold = report.holds[-1] if report.holds and report.holds[-1].ended_at is None else None
    planned = longest = 0.0
    if hold is not None and report.plan is not None:
        elapsed = (now - hold.began_at).total_seconds()
        planned = hold.planned_seconds - elapsed
        longest = max(0.0, hold.planned_seconds + report.plan.extension_seconds(hold.step) - elapsed)
    return Progress(
        report=report,
        phase=report.phase,
        phase_seconds=(now - entered[-1]).total_seconds() if entered else 0.0,
        hold=hold,
        planned_left_seconds=planned,
        longest_left_seconds=longest,
        started_by=report.processes[0] if report.processes else None,
        now_by=report.processes[-1] if report.processes else None,
        events=tuple(event for event in report.timeline if event.kind is not Kind.VERDICT)[-LATEST_EVENTS:],
    )
