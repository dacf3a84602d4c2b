"""What the scripts share: options, progress lines from the journal, exit codes, and errors without traceback."""

import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from components.domain.moments import format_rfc3339
from rollout.model.errors import Interruption, RefusedError, RolloutError, UnreconciledError
from rollout.model.machine import FINAL, Phase, Rollout
from rollout.model.records import (
    ActionEnded,
    Attested,
    Baseline,
    CheckSkipped,
    ColorReady,
    Decision,
    Drilled,
    Finished,
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
    RuleChanged,
    Started,
    TakenUp,
    UpdateBegun,
    UpdateEnded,
    VerdictGiven,
    WeightStep,
)
from rollout.system.failures import describe_error

EXIT_DONE = 0
"""The command did what it was asked to do."""
EXIT_ROLLED_BACK = 1
"""The candidate was refused, and all traffic is back on the active colour."""
EXIT_REFUSED = 2
"""The command was refused, and nothing was changed."""
EXIT_NEEDS_HUMAN = 3
"""The command could not finish, and a person must look."""
EXIT_PAUSED = 4
"""The rollout is paused, and the weight stays: resume it or roll back."""
EXIT_UNRECONCILED = 5
"""All traffic is back, but config or state do not agree with the rule yet: run scripts.rollback again."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 rolled back, the candidate was refused; 2 refused, nothing was changed; "
    "3 a person must look; 4 paused, the weight stays: resume or roll back; "
    "5 all traffic is back, but config or state do not say so yet: run scripts.rollback again."
)

StackOption = Annotated[
    str, typer.Option("--stack", "-s", help="Pulumi stack: prod, acme/prod or acme/vllm-blue-green/prod.")
]
ServiceOption = Annotated[str | None, typer.Option(help="Service of the stack; needed only when it has several.")]
WorkDirOption = Annotated[Path, typer.Option(help="Folder with Pulumi.yaml and Pulumi.<stack>.yaml.")]

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "rollback": "bold red", "promote": "green"}


def run(command: Callable[..., None]) -> None:
    """Run one script as a command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(epilog=EXIT_CODES)(command)
    app()


def end(rollout: Rollout) -> NoReturn:
    """Exit with the code that says how a rollout ended."""
    match rollout.phase:
        case Phase.DONE | Phase.REAPED:
            code = EXIT_DONE
        case Phase.ROLLED_BACK:
            code = EXIT_ROLLED_BACK
        case Phase.REFUSED:
            code = EXIT_REFUSED
        case Phase.PAUSED:
            code = EXIT_PAUSED
        case _:
            code = EXIT_NEEDS_HUMAN
    raise typer.Exit(code)


@contextmanager
def refusals() -> Generator[None]:
    """Turn an expected error into one message and an exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except RefusedError as error:
        fail(str(error), EXIT_REFUSED)
    except UnreconciledError as error:
        fail(str(error), EXIT_UNRECONCILED)
    except (RolloutError, Interruption) as error:
        fail(str(error), EXIT_NEEDS_HUMAN)
    except KeyboardInterrupt:
        fail("ended by Ctrl-C before anything was changed", EXIT_REFUSED)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        fail(
            f"Unexpected error ({Path(where.filename).name}, line {where.lineno}): {describe_error(error)}. Please "
            "report it. scripts.status shows where things stand",
            EXIT_NEEDS_HUMAN,
        )


def fail(message: str, code: int) -> NoReturn:
    """Say what is wrong and exit."""
    errors.print(f"[bold red]error[/]: {escape(message)}")
    raise typer.Exit(code)


class Progress:
    """Prints journal records as lines: of a hold's many verdicts only the changes, and the figures it ended with."""

    def __init__(self) -> None:
        self._printed: dict[str, str] = {}
        self._latest: dict[str, Record] = {}

    def tell(self, record: Record) -> None:
        """Print what is new in a record."""
        if isinstance(record.body, VerdictGiven):
            gate, verdict = record.body.gate, record.body.verdict
            self._latest[gate] = record
            if self._printed.get(gate) == verdict:
                return
            self._printed[gate] = verdict
            del self._latest[gate]
        elif isinstance(record.body, PhaseBegun | Decision):
            for latest in self._latest.values():
                _print(latest)
            self._printed.clear()
            self._latest.clear()
        _print(record)


def _print(record: Record) -> None:
    text = _line(record)
    if text is not None:
        console.print(f"[dim]{record.at:%H:%M:%S}[/] {text}")
        sys.stdout.flush()


def _line(record: Record) -> str | None:
    """Return a record as one line, or None when it says nothing to a person."""
    match record.body:
        case Started() as one:
            former = one.previous_release_id or "none"
            return (
                f"[bold]{one.service}[/]: release {one.release_id} onto {one.candidate} "
                f"(serving now: {former}, green_weight {one.green_weight})"
            )
        case PhaseBegun(reason=reason):
            if record.phase is Phase.PAUSED:
                return f"[bold yellow]paused[/], the weight stays: {escape(reason)}"
            # The record "finished" prints an end.
            return None if record.phase is None or record.phase in FINAL else f"[bold cyan]{record.phase}[/]"
        case LockTaken(before=before) if before:
            return f"  taken over from {escape(before)}"
        case TakenUp():
            return f"[bold]{record.phase}[/]: taken up"
        case WeightStep() as one:
            word = "asking for" if one.status == "begun" else "in effect:"
            return f"  {word} {one.candidate_percent} % candidate (green_weight {one.green_weight})"
        case Attested() as one:
            return f"  attested: {one.candidate_requests} of {one.requests} requests went to {one.color}"
        case Drilled() as one:
            return (
                f"  drill: the rule was back {one.decision_to_rule_seconds:.3f} s after the decision, the last "
                f"request on {one.color} at most {one.rule_to_last_request_seconds:g} s later, config and "
                f"state agreed after {one.decision_to_agreement_seconds:.1f} s"
            )
        case RuleChanged() as one:
            return f"  rule set to green_weight {one.green_weight} ({one.how})"
        case VerdictGiven() as one:
            gate = f"{one.gate} (dry run)" if one.dry_run else one.gate
            return f"  [{_STYLES[one.verdict]}]{one.verdict:<12}[/] {gate}: {escape(one.reason)}"
        case Decision() as one:
            return f"[{_STYLES[one.action]}]{one.action}[/] to green_weight {one.green_weight}: {escape(one.reason)}"
        case Baseline() as one:
            known = ", ".join(f"{gate} {seconds:.3f} s" for gate, seconds in one.p95_seconds.items())
            return f"  {one.color} now: {known or 'too few requests to know its latencies'}"
        case Promoted() as one:
            until = format_rfc3339(one.keep_until)
            return f"  {one.active_color} is the active colour; the way back stays warm until {until}"
        case NowServing() as one:
            how = "changed" if one.cache_namespace_changed else "as before"
            was = f" (was {one.previous_cache_namespace or 'none'})" if one.cache_namespace_changed else ""
            return (
                f"  serving now: release {one.release_id} on {one.color}; semantic-cache namespace "
                f"{one.cache_namespace or 'none'}, {how}{was}"
            )
        case HookRan() as one:
            if not one.error:
                return f"  rollout.hooks.{one.name} ran, {one.seconds:.1f} s"
            problem = f"rollout.hooks.{one.name}: {escape(one.error)}. Nothing was undone; run it by hand"
            return f"  [bold yellow]warning[/] {problem}"
        case ColorReady() as one:
            what = "nodes and replicas" if one.with_nodes else "replicas"
            return f"  {one.color} is up ({what}), {one.seconds:.0f} s after its deploy began"
        case Kept() as one:
            was = "" if one.former is None else f" (was {format_rfc3339(one.former)})"
            why = f": {escape(one.reason)}" if one.reason else ""
            return f"  {one.color} is kept warm until {format_rfc3339(one.until)}{was}{why}"
        case Keeping() as one:
            parts = [escape(part) for part in (one.kept, one.brought_up) if part]
            return f"  {'; '.join(parts)}" if parts else None
        case Parked(color=color):
            return f"  {color} is parked, its pods are gone"
        case NodesReleased(color=color):
            return f"  the nodes of {color} are given back"
        case CheckSkipped() as one:
            return f"  [bold yellow]skipped[/]      {one.check}: {escape(one.because)}"
        case Note(text=text):
            return f"  {escape(text)}"
        case Finished() as one:
            return f"[bold]{one.outcome}[/]" + (f": {escape(one.reason)}" if one.reason else "")
        case LockTaken() | ActionEnded() | UpdateBegun() | UpdateEnded():
            return None
