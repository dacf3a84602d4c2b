"""List the last rollouts, rollbacks, reaps and drills of a service, one line each, from the journal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from components.domain.moments import format_rfc3339
from rollout.report.explanation import decided_in, deciding_reason, duration
from rollout.report.facts import Report
from rollout.report.read import reports
from rollout.session import Place, Session
from scripts import console
from scripts.console import JsonOption, Script, ServiceOption, StackOption, WorkDirOption

_STYLES = {"promoted": "green", "reaped": "green", "rolled_back": "bold red", "failed": "bold red", "refused": "yellow"}

SCRIPT = Script(
    examples=(
        ("python -m scripts.history --stack prod", "the last rollouts, rollbacks, reaps and drills"),
        ("python -m scripts.history --stack prod --last 100 --json", "more of them, for a program"),
    )
)


def main(
    stack: StackOption,
    last: Annotated[int, typer.Option(min=1, help="How many to list, the newest last.")] = 20,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    json_output: JsonOption = False,
) -> None:
    """List what was done to a service. Reads the journal alone; changes nothing, and takes no lock."""
    with console.refusals(SCRIPT, json_output=json_output):
        session = Session(Place(stack=stack, service=service, work_dir=work_dir.resolve()), "history")
        found = list(reports(session.history()))[-last:]
    if json_output:
        console.print_json([_fields(one) for one in found])
        return
    if not found:
        console.console.print("nothing yet: scripts.ramp begins the first rollout")
        return
    console.print_table(table_of(found))


def table_of(found: Sequence[Report]) -> Table:
    """Return runs as a table."""
    table = Table(box=None, pad_edge=False)
    for heading in ("began", "id", "what", "outcome", "took", "why"):
        # A cell that is too long goes on in the next line, so that nothing is lost.
        table.add_column(heading, no_wrap=heading not in ("what", "why"), overflow="fold", min_width=len(heading))
    for one in found:
        outcome = _outcome(one)
        table.add_row(
            format_rfc3339(one.began_at),
            one.rollout,
            _what(one),
            f"[{_STYLES.get(outcome, 'yellow')}]{outcome}[/]",
            "" if one.seconds is None else duration(one.seconds),
            escape(_why(one)),
        )
    return table


def _fields(one: Report) -> dict[str, object]:
    return {
        "rollout": one.rollout,
        "what": one.what,
        "began_at": format_rfc3339(one.began_at),
        "ended_at": None if one.ended_at is None else format_rfc3339(one.ended_at),
        "seconds": one.seconds,
        "candidate": one.candidate,
        "release_id": one.release_id,
        "outcome": _outcome(one),
        "reason": _why(one),
    }


def _outcome(one: Report) -> str:
    if one.what in ("drill", "keep"):
        return "done" if one.ended_at is not None else "unfinished"
    return one.outcome or f"unfinished: {one.phase}"


def _what(one: Report) -> str:
    match one.what:
        case "rollout":
            return f"{one.release_id} onto {one.candidate}"
        case "rollback":
            return f"rollback from {one.candidate}"
        case "reap":
            return f"reap, {one.candidate} is active"
        case _:
            return one.what


def _why(one: Report) -> str:
    reason, hold = deciding_reason(one), decided_in(one)
    rolled_back = one.decision is not None and one.decision.action == "rollback"
    return f"{hold.name}: {reason}" if rolled_back and hold is not None else reason


if __name__ == "__main__":
    console.run(main, SCRIPT)
