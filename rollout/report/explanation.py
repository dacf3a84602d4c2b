"""Why a run ended as it did, and what to do next: sentences from a report. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from components.config.sections.rollout_settings import GateSettings
from components.domain.moments import format_rfc3339
from rollout.model.machine import UNTOUCHED, Phase
from rollout.model.verdict import Evidence, Verdict
from rollout.report.facts import Hold, Readings, Report

_ENDS: Final = {
    "promoted": "was promoted",
    "rolled_back": "was rolled back",
    "failed": "failed: a person must look",
    "refused": "was refused, and nothing was changed",
    "reaped": "was reaped",
}
# Evidence that explains a verdict, in the order in which people ask for it. The unit is the end of the name.
_UNITS: Final = {"seconds": "s", "percent": "%", "points": "points"}
_TESTS: Final = ("log_evidence", "log_evidence_absolute", "log_evidence_compared", "log_evidence_from_before")
_HIDDEN: Final = frozenset({"false_alarm_rate", "log_evidence_needed", *_TESTS})


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a person wants to know first about a run."""

    headline: str
    why: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    """What the deciding gates or checks saw, by name."""
    tried: tuple[str, ...]
    """What was waited for or tried before it was decided."""
    commands: tuple[str, ...]
    """What to run next, the likeliest first."""


def explain(report: Report, stack: str, service_option: str = "") -> Explanation:
    """Explain a run.

    Args:
        report: the run.
        stack: the stack, for the commands.
        service_option: the option that names the service, with a space before it, for stacks with several services.
    """
    return Explanation(
        headline=headline(report),
        why=tuple(_why(report)),
        figures=tuple(_figures(report)),
        tried=tuple(_tried(report)),
        commands=tuple(_commands(report, f"--stack {stack}{service_option}")),
    )


def headline(report: Report) -> str:
    """Say in one sentence what was done, and how it ended."""
    match report.what:
        case "rollout":
            subject = f"Release {report.release_id} onto {report.candidate}"
        case "rollback":
            subject = f"The rollback from {report.candidate}"
        case "reap":
            subject = f"The reap after the promotion of {report.candidate}"
        case "drill" | "keep":
            subject = "A drill" if report.what == "drill" else "A change of the keep-warm window"
            unfinished = " that did not come to its end" if report.ended_at is None else ""
            return f"{subject}{unfinished}, at {format_rfc3339(report.began_at)}"
    if report.seconds is None:
        return f"{subject} is unfinished ({report.phase}), and began at {format_rfc3339(report.began_at)}"
    how = _ENDS.get(report.outcome or "", "ended")
    if report.what == "rollback" and report.outcome == "rolled_back":
        how = "is done"
    return f"{subject} {how}{_where(report)}, {duration(report.seconds)} after it began"


def duration(seconds: float) -> str:
    """Return a duration in the two largest units that it has."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def decided_in(report: Report) -> Hold | None:
    """Return the hold in which the last decision was made. None when it was made elsewhere."""
    decision = report.decision
    if decision is None or not report.holds:
        return None
    last = [hold for hold in report.holds if hold.began_at <= decision.decided_at]
    if not last or (last[-1].ended_at is not None and last[-1].ended_at < decision.decided_at):
        return None
    return last[-1]


def deciding_reason(report: Report) -> str:
    """Return why a run came to its end, or stands where it does. Empty when nobody and nothing gave a reason."""
    decision = report.decision
    return report.reason if decision is None or decision.action == "promote" else decision.reason


def _where(report: Report) -> str:
    if report.outcome != "rolled_back" or report.what != "rollout":
        return ""
    hold = decided_in(report)
    if hold is not None:
        return f" during its soak at {hold.candidate_percent} %" if hold.step is None else f" at {hold.name}"
    return " before it got traffic" if not report.weights else ""


def _why(report: Report) -> Iterator[str]:
    decision = report.decision
    if decision is not None and decision.action == "rollback":
        yield decision.reason
        hold = decided_in(report)
        if hold is not None:
            seconds = (decision.decided_at - hold.began_at).total_seconds()
            yield f"Decided {duration(seconds)} after the gates began to watch {_window(hold)}"
            tipped = {gate.name for gate in decision.tipped_by}
            yield from (f"{name}: {meaning}" for name, meaning in gate_meanings(report) if name in tipped)
    elif report.outcome == "promoted":
        yield "Every step passed, and so did the soak"
    if report.reason and (decision is None or report.reason != decision.reason):
        yield report.reason
    if report.rule_back_seconds is not None:
        yield f"All traffic was back at most {report.rule_back_seconds:.3f} s after the decision"


def _window(hold: Hold) -> str:
    return "the soak" if hold.step is None else f"the step of {hold.name}"


def _figures(report: Report) -> Iterator[tuple[str, str]]:
    decision = report.decision
    if decision is None or decision.action != "rollback":
        return
    for gate in decision.tipped_by:
        for name, value in figures(gate.last.evidence):
            yield f"{gate.name}: {name}" if len(decision.tipped_by) > 1 else name, value


def gate_meanings(report: Report) -> Iterator[tuple[str, str]]:
    """Yield the gates of a run's holds, each with what it judges in the words of its setting."""
    names = dict.fromkeys(gate.name for hold in report.holds for gate in hold.gates)
    for name in names:
        setting = GateSettings.model_fields.get(name)
        if setting is not None and setting.description is not None:
            yield name, setting.description


def figures(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Yield the figures of a verdict for people: names in words, values with units. What is unknown is left out."""
    for name, value in evidence.items():
        if value is None or name in _HIDDEN:
            continue
        words = name.split("_")
        unit = _UNITS.get(words[-1], "")
        label = " ".join(words[:-1] if unit and len(words) > 1 else words)
        shown = format(value, "g") if isinstance(value, float) else str(value)
        yield label, shown if isinstance(value, str) else f"{shown} {unit}".rstrip()
    if (found := _log_evidence(evidence)) is not None:
        yield "evidence", f"{found[0]:.1f} of the {found[1]:.1f} that rules out chance"


def cost_rows(evidence: Evidence) -> Iterator[tuple[str, ...]]:
    """Yield a row for the candidate and one for the active colour: the costs, the tokens of a request, the increase."""

    def figure(name: str) -> str:
        value = evidence.get(name)
        return f"{value:,.2f}" if isinstance(value, int | float) else "–"

    def percent(name: str) -> str:
        value = evidence.get(name)
        return f"{value:+.1f} %" if isinstance(value, int | float) else "unknown"

    for color, whose in (("candidate", ""), ("active colour", "active_")):
        names = ("usd_per_million_tokens", "usd_per_million_tokens_as_served", "usd_per_thousand_requests")
        known = [figure(f"{whose}{name}") for name in (*names, "tokens_per_request")]
        sure = f"{percent('least_increase_percent')} to {percent('most_increase_percent')}"
        known_increase = "cost_increase_percent" in evidence
        increase = f"{percent('cost_increase_percent')}, surely {sure}" if known_increase else "–"
        yield (color, *known, "" if whose else increase)


def slice_figures(evidence: Evidence) -> tuple[str, str]:
    """Return what a gate measured of a slice, on the candidate and on the active colour. A dash when it is unknown."""
    known = {name: value for name, value in evidence.items() if isinstance(value, int | float)}
    if "error_rate_percent" in known:
        requests, failed = known.get("active_requests", 0), known.get("active_failed")
        active = f"{100 * failed / requests:.2f} %" if requests and failed is not None else "–"
        return f"{known['error_rate_percent']:.2f} %", active
    mine, other = (f"{known[name]:.3f} s" if name in known else "–" for name in ("p95_seconds", "active_p95_seconds"))
    return mine, other


def evidence_share(evidence: Evidence) -> float | None:
    """Return how far the evidence for a failure is: 1 is enough for a verdict. None for gates without such a test."""
    found = _log_evidence(evidence)
    return None if found is None else max(0.0, found[0] / found[1])


def _log_evidence(evidence: Evidence) -> tuple[float, float] | None:
    needed = evidence.get("log_evidence_needed")
    found = [value for name in _TESTS if isinstance(value := evidence.get(name), int | float)]
    if not isinstance(needed, int | float) or needed <= 0 or not found:
        return None
    return max(found), needed


def _tried(report: Report) -> Iterator[str]:
    for hold in report.holds:
        if hold.extended_by_seconds >= 1:
            waiting = [gate for gate in hold.gates if not gate.dry_run and _was_inconclusive(gate)]
            names = ", ".join(gate.name for gate in waiting)
            why = f": no verdict yet from {names}" if names else ""
            yield f"{_window(hold).capitalize()} was extended by {duration(hold.extended_by_seconds)}{why}"
    for process in report.processes[1:]:
        who = f" by {process.user}" if process.user else ""
        yield f"scripts.{process.command} worked on it from {format_rfc3339(process.at)} on{who}"
    for update in report.updates:
        if update.status in ("failed", "taken_back"):
            how = "failed" if update.status == "failed" else "was taken back"
            yield f"An update {how}: {update.message}"
        for unexpected in update.unexpected:
            yield f"The update “{update.message}” also changed {unexpected}"
    for check, because in report.skipped.items():
        yield f"The check {check} was skipped: {because}"


def _was_inconclusive(gate: Readings) -> bool:
    return any(reading.verdict is Verdict.INCONCLUSIVE for reading in gate.readings[-2:])


def _commands(report: Report, options: str) -> Iterator[str]:
    if report.what in ("drill", "keep"):
        yield f"python -m scripts.status {options}"
        return
    release = f"python -m scripts.ramp {options} --release <file>"
    match report.outcome, report.phase:
        case "promoted", _:
            until = "" if report.keep_until is None else f"   # until {format_rfc3339(report.keep_until)}"
            yield f"python -m scripts.rollback {options}{until}"
            yield f"python -m scripts.reap {options}   # after that"
        case "rolled_back" | "refused", _:
            yield release
        case "failed", _:
            yield f"python -m scripts.rollback {options}"
            yield f"python -m scripts.status {options}"
        case None, Phase.PAUSED:
            yield f"python -m scripts.ramp {options} --resume"
            yield f"python -m scripts.rollback {options}"
        case None, _:
            yield f"python -m scripts.status {options}   # who works on it"
            yield f"python -m scripts.ramp {options} --resume   # when nobody does"
            if report.phase not in UNTOUCHED:  # a rollback would undo the promotion before it
                yield f"python -m scripts.rollback {options}"
        case _:
            yield f"python -m scripts.status {options}"
