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

from rollout.model.errors import Interruption, RefusedError, RolloutError, UnreconciledError
from rollout.model.machine import Phase, Rollout
from rollout.model.records import Record
from rollout.report.facts import Event
from rollout.report.lines import Line, News, Tone, line_of
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
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
WorkDirOption = Annotated[Path, typer.Option(help="Folder with Pulumi.yaml and Pulumi.<stack>.yaml.")]

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_STYLES = {
    Tone.PLAIN: "",
    Tone.STRONG: "bold",
    Tone.PHASE: "bold cyan",
    Tone.GOOD: "green",
    Tone.BAD: "bold red",
    Tone.WARNING: "bold yellow",
}


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
    """Prints journal records as lines."""

    def __init__(self) -> None:
        self._news = News()

    def tell(self, record: Record) -> None:
        """Print what is new in a record."""
        for one in self._news.of(record):
            line = line_of(one)
            if line is not None:
                console.print(f"[dim]{one.at:%H:%M:%S}[/] {markup(line)}")
                sys.stdout.flush()


def markup(line: Line) -> str:
    """Return a line as rich shows it."""
    style = _STYLES[line.tone]
    head = f"[{style}]{escape(line.head)}[/]" if style and line.head else escape(line.head)
    return f"{'  ' if line.detail else ''}{head}{escape(line.text)}"


def event_markup(event: Event) -> str:
    """Return a line of a timeline as rich shows it."""
    return markup(Line(head=event.head, text=event.text, tone=event.tone, detail=event.detail))


def known(value: int | None, unit: str = "") -> str:
    """Return a figure, or a question mark when it could not be read."""
    return "?" if value is None else f"{value}{unit}"
