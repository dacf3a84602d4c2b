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
from rollout.report.verification import Verification, read_bundle_file, verify
from rollout.session import Place, Session
from scripts import console
from scripts.console import JsonOption, OptionalStackOption, Script, ServiceOption, WorkDirOption

SCRIPT = Script(
    examples=(
        (
            "python -m scripts.explain --stack prod --rollout 4f1c --page report.html",
            "why it ended as it did, and its report as a page",
        ),
        (
            "python -m scripts.explain --verify bundle.json --stack prod",
            "whether a report's JSON is as the journal has it",
        ),
    )
)


def main(
    stack: OptionalStackOption = None,
    rollout: Annotated[
        str | None, typer.Option(help="The rollout's id, or its beginning (scripts.history). Default: the last one.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every line of the timeline.")] = False,
    page_file: Annotated[Path | None, typer.Option("--page", help="Write the report as an HTML file.")] = None,
    verify_file: Annotated[
        Path | None,
        typer.Option("--verify", help="Check an evidence bundle (a report's JSON); with --stack, also by the journal."),
    ] = None,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    json_output: JsonOption = False,
) -> None:
    """Say why a rollout ended as it did. Reads the journal alone; changes nothing, and takes no lock.

    With --verify, exit code 0 means that the bundle is intact, and 3 that it is not.
    """
    with console.refusals(SCRIPT, json_output=json_output):
        if verify_file is not None:
            for option, given in (("--rollout", rollout), ("--page", page_file)):
                if given is not None:
                    raise RefusedError(f"{option}: has no effect with --verify, which names the report. Leave it out")
            bundle = read_bundle_file(verify_file, "--verify")
            history = None if stack is None else _session(stack, service, work_dir).history()
            verified(verify(bundle, history), verify_file, json_output=json_output)
            return
        if stack is None:
            raise RefusedError("--stack: name the stack whose journal to read, or a bundle with --verify")
        session = _session(stack, service, work_dir)
        report = find(list(reports(session.history())), rollout)
        explanation, stored = session.explanation(report), session.stored_page(report)
        if page_file is not None:
            write(page_file, page(report, explanation))
    if json_output:
        console.print_json(as_json(report, explanation))
    else:
        show(report, explanation, stored, verbose=verbose)


def _session(stack: str, service: str | None, work_dir: Path) -> Session:
    return Session(Place(stack=stack, service=service, work_dir=work_dir.resolve()), "explain")


def verified(found: Verification, path: Path, *, json_output: bool) -> None:
    """Print what was found about a bundle, and exit with 3 when it is not intact."""
    if json_output:
        console.print_json(found.as_json())
    else:
        _show_verification(found, path)
    if found.differences:
        raise typer.Exit(console.EXIT_NEEDS_HUMAN)


def _show_verification(found: Verification, path: Path) -> None:
    out, bundle = console.console, found.bundle
    if found.differences:
        out.print(f"[bold red]not intact[/]: {escape(str(path))}")
        for difference in found.differences:
            out.print(f"  {escape(str(difference))}")
        return
    also = ", and is what the journal makes" if found.with_journal else ""
    out.print(f"[green]intact[/]: {escape(str(path))} agrees with its own digests{also}")
    out.print(f"  not compared: {escape(found.not_compared)}")
    out.print(f"  release {bundle.release_id or '–'}, sha256:{bundle.digest}")
    objections = ", ".join(bundle.objections)
    out.print(f"  no evidence for its release: {escape(objections)}" if objections else "  checks: all passed")


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
            f"--page {path}: cannot be written ({error.strerror}). Name a file that you may write"
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
