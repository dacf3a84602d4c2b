"""Explain a rollout from the journal: why it ended as it did, what decided it, and what to run next."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from rollout.model.errors import RefusedError
from rollout.model.records import Kind
from rollout.model.verdict import Verdict
from rollout.report.explanation import Explanation
from rollout.report.facts import Event, Report
from rollout.report.files import as_json, page
from rollout.report.lines import Tone
from rollout.report.read import reports
from rollout.session import Place, Session
from scripts import console
from scripts.console import JsonOption, Script, ServiceOption, StackOption, WorkDirOption

SCRIPT = Script(
    examples=(
        (
            "python -m scripts.explain --stack prod --rollout 4f1c --page report.html",
            "why it ended as it did, and its report as a page",
        ),
        ("python -m scripts.explain --stack prod --verbose", "the last one, with every line of its timeline"),
    )
)


def main(
    stack: StackOption,
    rollout: Annotated[
        str | None, typer.Option(help="The rollout's id, or its beginning (scripts.history). Default: the last one.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every line of the timeline.")] = False,
    page_file: Annotated[Path | None, typer.Option("--page", help="Write the report as an HTML file.")] = None,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    json_output: JsonOption = False,
) -> None:
    """Say why a rollout ended as it did. Reads the journal alone; changes nothing, and takes no lock."""
    with console.refusals(SCRIPT):
        session = Session(Place(stack=stack, service=service, work_dir=work_dir.resolve()), "explain")
        report = find(list(reports(session.history())), rollout)
        explanation, stored = session.explanation(report), session.stored_page(report)
        if page_file is not None:
            write(page_file, page(report, explanation))
    if json_output:
        console.print_json(as_json(report, explanation))
    else:
        show(report, explanation, stored, verbose=verbose)


def find(found: list[Report], wanted: str | None) -> Report:
    """Return the run with this id, or whose id begins so; without an id, the last rollout, or else the last run.

    Raises:
        RefusedError: there is none, or more than one.
    """
    if not found:
        raise RefusedError("the journal has no rollout yet: scripts.ramp begins one")
    if wanted is None:
        return next((one for one in reversed(found) if one.what in ("rollout", "rollback")), found[-1])
    matching = [one for one in found if one.rollout.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    problem = "several rollouts begin so" if matching else "there is no such rollout"
    known = ", ".join(one.rollout for one in (matching or found)[-5:])
    raise RefusedError(f"--rollout {wanted!r}: {problem}; scripts.history lists them, the last ones are {known}")


def write(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        RefusedError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RefusedError(
            f"--page {path}: cannot be written ({error.strerror}). Name a file in a folder of yours"
        ) from error


def show(report: Report, explanation: Explanation, stored: str | None, *, verbose: bool) -> None:
    """Print an explanation for a person."""
    out = console.console
    out.print(f"[bold]{escape(explanation.headline)}[/]")
    out.print(f"[dim]{report.rollout}[/]" + "".join(f"[dim], {escape(one)}[/]" for one in _people(report)))
    _block("why", [escape(line) for line in explanation.why])
    _block("what decided it", [f"{escape(name)}: {escape(value)}" for name, value in explanation.figures])
    _block("on the way", [escape(line) for line in explanation.tried])
    shown = [event for event in report.timeline if verbose or _is_main(event)]
    _block("timeline" if verbose else "timeline (--verbose shows every line)", [_event(one) for one in shown])
    _block("next", [escape(line) for line in explanation.commands])
    if stored is not None:
        out.print(f"\nreport: {escape(stored)}")


def _people(report: Report) -> list[str]:
    first = report.processes[0] if report.processes else None
    if first is None:
        return []
    by = f"by {first.user}" if first.user else ""
    return [one for one in (by, first.run_url or first.host, first.commit and f"commit {first.commit}") if one]


def _block(heading: str, lines: list[str]) -> None:
    if lines:
        console.console.print(f"\n[bold cyan]{heading}[/]")
        for line in lines:
            console.console.print(f"  {line}")


def _event(event: Event) -> str:
    return f"[dim]{event.at:%H:%M:%S}[/] {console.event_markup(event)}"


def _is_main(event: Event) -> bool:
    if event.kind is Kind.VERDICT:
        return event.tone is Tone.BAD or event.head.strip() == Verdict.FAIL
    return event.kind not in (Kind.NOTE, Kind.BASELINE, Kind.KEEPING)


if __name__ == "__main__":
    console.run(main, SCRIPT)
