"""What the scripts share: options, progress lines from the journal, exit codes, and errors without traceback."""

import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from rollout.model.errors import RefusedError, RolloutError, UnreconciledError
from rollout.model.machine import FINAL, Phase, Rollout
from rollout.model.records import Record
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

StackOption = Annotated[str, typer.Option("--stack", "-s", help="Pulumi stack.")]
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
    except RolloutError as error:
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
        if record["kind"] == "verdict":
            gate, verdict = str(record["gate"]), str(record["verdict"])
            self._latest[gate] = record
            if self._printed.get(gate) == verdict:
                return
            self._printed[gate] = verdict
            del self._latest[gate]
        elif record["kind"] in ("phase", "decision"):
            for latest in self._latest.values():
                _print(latest)
            self._printed.clear()
            self._latest.clear()
        _print(record)


def _print(record: Record) -> None:
    text = _line(record)
    if text is not None:
        console.print(f"[dim]{str(record['at'])[11:19]}[/] {text}")
        sys.stdout.flush()


def _line(record: Record) -> str | None:
    fields: dict[str, Any] = dict(record)
    match fields["kind"]:
        case "started":
            former = fields["previous_release_id"] or "none"
            return (
                f"[bold]{fields['service']}[/]: release {fields['release_id']} onto {fields['candidate']} "
                f"(serving now: {former}, green_weight {fields['green_weight']})"
            )
        case "phase":
            # An end is told by the record "finished".
            if fields["phase"] == Phase.PAUSED:
                return f"[bold yellow]paused[/], the weight stays: {escape(fields['reason'])}"
            return None if fields["phase"] in FINAL else f"[bold cyan]{fields['phase']}[/]"
        case "lock" if fields["before"]:
            return f"  taken over from {escape(fields['before'])}"
        case "taken_up":
            return f"[bold]{fields['phase']}[/]: taken up"
        case "weight":
            word = "asking for" if fields["status"] == "begun" else "in effect:"
            return f"  {word} {fields['candidate_percent']} % candidate (green_weight {fields['green_weight']})"
        case "attested":
            return (
                f"  attested: {fields['candidate_requests']} of {fields['requests']} requests went to {fields['color']}"
            )
        case "drill":
            return (
                f"  drill: the rule was back {fields['decision_to_rule_seconds']:.3f} s after the decision, the last "
                f"request on {fields['color']} at most {fields['rule_to_last_request_seconds']:g} s later, config and "
                f"state agreed after {fields['decision_to_agreement_seconds']:.1f} s"
            )
        case "rule":
            return f"  rule set to green_weight {fields['green_weight']} ({fields['how']})"
        case "verdict":
            style = _STYLES[fields["verdict"]]
            gate = f"{fields['gate']} (dry run)" if fields.get("dry_run") else fields["gate"]
            return f"  [{style}]{fields['verdict']:<12}[/] {gate}: {escape(fields['reason'])}"
        case "decision":
            style = _STYLES[fields["action"]]
            return (
                f"[{style}]{fields['action']}[/] to green_weight {fields['green_weight']}: {escape(fields['reason'])}"
            )
        case "baseline":
            known = ", ".join(f"{gate} {seconds:.3f} s" for gate, seconds in fields["p95_seconds"].items())
            return f"  {fields['color']} now: {known or 'too few requests to know its latencies'}"
        case "promoted":
            return (
                f"  {fields['active_color']} is the active colour; the way back stays warm until {fields['keep_until']}"
            )
        case "serving":
            how = "changed" if fields["cache_namespace_changed"] else "as before"
            was = f" (was {fields['previous_cache_namespace'] or 'none'})" if fields["cache_namespace_changed"] else ""
            return (
                f"  serving now: release {fields['release_id']} on {fields['color']}; semantic-cache namespace "
                f"{fields['cache_namespace'] or 'none'}, {how}{was}"
            )
        case "hook":
            if not fields["error"]:
                return f"  rollout.hooks.{fields['name']} ran, {fields['seconds']:.1f} s"
            told = f"rollout.hooks.{fields['name']}: {escape(fields['error'])}. Nothing was undone; run it by hand"
            return f"  [bold yellow]warning[/] {told}"
        case "ready":
            what = "nodes and replicas" if fields["with_nodes"] else "replicas"
            return f"  {fields['color']} is up ({what}), {fields['seconds']:.0f} s after its deploy began"
        case "kept":
            was = f" (was {fields['former']})" if fields["former"] else ""
            why = f": {escape(fields['reason'])}" if fields["reason"] else ""
            return f"  {fields['color']} is kept warm until {fields['until']}{was}{why}"
        case "keeping":
            told = [escape(fields[key]) for key in ("kept", "brought_up") if fields[key]]
            return f"  {'; '.join(told)}" if told else None
        case "parked":
            return f"  {fields['color']} is parked, its pods are gone"
        case "nodes_released":
            return f"  the nodes of {fields['color']} are given back"
        case "skipped":
            return f"  [bold yellow]skipped[/]      {fields['check']}: {escape(fields['because'])}"
        case "note":
            return f"  {escape(fields['text'])}"
        case "finished":
            reason = f": {escape(fields['reason'])}" if fields["reason"] else ""
            return f"[bold]{fields['outcome']}[/]{reason}"
        case _:
            return None
