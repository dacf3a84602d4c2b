"""Say what a service lacks before its first `pulumi up`, or before its next rollout, each with its fix."""

from pathlib import Path

import typer
from rich.markup import escape

from rollout.doctor import Examination, examine
from rollout.model.condition_result import ConditionResult, ConditionStatus
from rollout.session import Place, Session
from scripts import console
from scripts.console import JsonOption, Script, ServiceOption, StackOption, WorkDirOption

_STYLES = {ConditionStatus.OK: "green", ConditionStatus.MISSING: "bold red", ConditionStatus.UNCHECKED: "yellow"}
_WIDTH = max(len(status) for status in ConditionStatus)

SCRIPT = Script(
    examples=(
        (
            "python -m scripts.doctor --stack prod",
            "what is missing before the first `pulumi up`, or before the next rollout",
        ),
        ("python -m scripts.doctor --stack prod --service chat --json", "the same for a program"),
    )
)


def main(
    stack: StackOption,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    json_output: JsonOption = False,
) -> None:
    """Look at everything that a rollout needs, and change nothing. It takes no lock.

    Exit code 0 means that all is in order, 2 that something is missing, 3 that something could not be checked.
    """
    with console.refusals(SCRIPT, json_output=json_output):
        found = examine(Session(Place(stack=stack, service=service, work_dir=work_dir.resolve()), "doctor"))
    if json_output:
        console.print_json(found.as_json())
    else:
        show(found)
    if found.has(ConditionStatus.MISSING):
        raise typer.Exit(console.EXIT_REFUSED)
    if found.has(ConditionStatus.UNCHECKED):
        raise typer.Exit(console.EXIT_NEEDS_HUMAN)


def show(found: Examination) -> None:
    """Print what was found, one line for each condition, and one for each thing that it lacks."""
    for finding in found.findings:
        for line in lines(finding):
            console.console.print(line)
    if found.later:
        console.console.print(f"once it is deployed: {', '.join(found.later)}")


def lines(finding: ConditionResult) -> list[str]:
    """Return a finding as lines for a person."""
    texts = [
        *((ConditionStatus.MISSING, text) for text in finding.missing),
        *((ConditionStatus.UNCHECKED, f"could not be checked: {text}") for text in finding.unanswered),
    ]
    notes = f" ({'; '.join(finding.notes)})" if finding.notes else ""
    if not texts:
        return [_line(ConditionStatus.OK, finding.condition, escape(notes))]
    return [_line(status, finding.condition, f": {escape(text)}") for status, text in texts]


def _line(status: ConditionStatus, condition: str, text: str) -> str:
    return f"[{_STYLES[status]}]{status:<{_WIDTH}}[/] {condition}{text}"


if __name__ == "__main__":
    console.run(main, SCRIPT)
