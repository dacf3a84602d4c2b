"""What the scripts share: options, help, progress lines, what Ctrl-C leaves, exit codes, errors without traceback."""

import atexit
import json
import os
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from pydantic import JsonValue
from rich.console import Console, RenderableType
from rich.markup import escape

from rollout.model.errors import (
    Interruption,
    LostLockError,
    RefusedError,
    RolloutError,
    StoppedError,
    UnreconciledError,
)
from rollout.model.machine import Phase, Rollout
from rollout.model.records import OUTCOMES, Record
from rollout.report.facts import Event
from rollout.report.lines import Line, News, Tone, line_of
from rollout.system.failures import describe_error
from scripts.wait_line import wait_line

if TYPE_CHECKING:
    from rollout.session import Session

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

_STACK = typer.Option("--stack", "-s", help="Pulumi stack: prod, acme/prod or acme/vllm-blue-green/prod.")
StackOption = Annotated[str, _STACK]
OptionalStackOption = Annotated[str | None, _STACK]
ServiceOption = Annotated[
    str | None, typer.Option("--service", help="Service of the stack; needed only when it has several.")
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print JSON: one object, or a line for each record of the journal and the outcome as the last."
    ),
]
IfWarmOption = Annotated[
    bool, typer.Option("--if-warm", help="Exit with code 0 while no colour is kept warm or another command runs.")
]
WorkDirOption = Annotated[Path, typer.Option("--work-dir", help="Folder with Pulumi.yaml and Pulumi.<stack>.yaml.")]


class _Console(Console):
    """A console that takes the line with the current wait away while it prints."""

    def print(self, *objects: Any, **options: Any) -> None:
        with wait_line.hidden():
            super().print(*objects, **options)


console: Final[Console] = _Console(highlight=False, soft_wrap=True)
errors: Final[Console] = _Console(stderr=True, highlight=False, soft_wrap=True)

_LONGEST = 100_000
"""The characters of a line that nothing cuts."""


def print_table(table: RenderableType) -> None:
    """Print a table: as wide as a terminal, and for programs with each row as one whole line."""
    if console.is_terminal:
        console.print(table, soft_wrap=False)
        return
    for line in console.render_lines(table, console.options.update(width=_LONGEST), pad=False):
        console.print("".join(segment.text for segment in line).rstrip(), markup=False)


_STYLES = {
    Tone.PLAIN: "",
    Tone.STRONG: "bold",
    Tone.PHASE: "bold cyan",
    Tone.GOOD: "green",
    Tone.BAD: "bold red",
    Tone.WARNING: "bold yellow",
}


@dataclass(frozen=True, kw_only=True)
class CtrlC:
    """What becomes of a script that Ctrl-C or SIGTERM ends."""

    safe: str
    """What nobody needs to worry about."""
    remains: str
    """What is still to do, and whether the script does it by itself."""
    command: str
    """What goes on from there."""
    ended: str = ""
    """What to say once it has ended, where that is not what remained at the signal."""

    @property
    def at_end(self) -> str:
        """What to say when the script has ended because of it."""
        return self.ended or f"{self.remains} To go on: {self.command}"

    def __str__(self) -> str:
        return f"Ctrl-C: {self.safe} {self.remains} To go on: {self.command}"


READS_ONLY: Final = CtrlC(
    safe="Nothing was changed; the script only reads.", remains="Nothing remains to be done.", command="run it again."
)


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the help of a script says besides its options."""

    examples: Sequence[tuple[str, str]]
    """Command lines, each with what it is for."""
    ctrl_c: CtrlC = READS_ONLY

    @property
    def epilog(self) -> str:
        """The end of the help."""
        # Click keeps the lines of a paragraph that begins with this character.
        # https://click.palletsprojects.com/en/stable/documentation/#escaping-click-s-wrapping
        examples = "\n".join(f"  {line}\n      {what}" for line, what in self.examples)
        return f"Examples:\n\n\b\n{examples}\n\n{self.ctrl_c}\n\n{EXIT_CODES}"

    def interrupted(self) -> None:
        """Say what Ctrl-C leaves. A signal handler may call it."""
        wait_line.say(str(self.ctrl_c))


def app_of(command: Callable[..., None], script: Script) -> typer.Typer:
    """Return the command line of a script."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(epilog=script.epilog)(command)
    return app


def run(command: Callable[..., None], script: Script) -> None:
    """Run one script as a command line, and show what it waits for."""
    wait_line.start(live=errors.is_terminal and not errors.is_dumb_terminal, columns=lambda: errors.width)
    # What else runs at the exit was registered later, so it runs earlier: its waits are shown, too.
    atexit.register(wait_line.stop)
    app_of(command, script)()


def exit_code_of(rollout: Rollout) -> int:
    """Return the exit code that says how a rollout ended."""
    match rollout.phase:
        case Phase.DONE | Phase.REAPED:
            return EXIT_DONE
        case Phase.ROLLED_BACK:
            return EXIT_ROLLED_BACK
        case Phase.REFUSED:
            return EXIT_REFUSED
        case Phase.PAUSED:
            return EXIT_PAUSED
        case _:
            return EXIT_NEEDS_HUMAN


class Output:
    """What a command prints on stdout: lines for a person, or JSON lines for a program.

    With JSON lines, the last one is the outcome or the error, and what is only for a person goes to stderr.
    """

    def __init__(self, *, json_output: bool) -> None:
        """Print lines for a person, or JSON lines."""
        self._json = json_output
        self._lines = RecordLines(errors if json_output else console)

    def show(self, record: Record) -> None:
        """Print a record of the journal. What the journal does not keep is only for a person."""
        with _although_nobody_reads():
            if self._json and record.seq:
                _print_line(record.as_json())
            else:
                self._lines.show(record)

    def say(self, text: str) -> None:
        """Print a line that is only for a person."""
        with _although_nobody_reads():
            (errors if self._json else console).print(text, markup=False)

    def end(self, outcome: str, *lines: str, reason: str = "", exit_code: int = EXIT_DONE, **fields: JsonValue) -> None:
        """Print what a command has done, and exit if the code is not 0.

        Args:
            outcome: what was done, in one word, for a program.
            lines: the same for a person.
            reason: why.
            exit_code: the exit code.
            fields: what else a program may want to know.
        """
        with _although_nobody_reads():
            if self._json:
                _print_line({"outcome": outcome, "exit_code": exit_code, "reason": reason, **fields})
            else:
                for line in lines:
                    console.print(line, markup=False)
        if exit_code != EXIT_DONE:
            raise typer.Exit(exit_code)

    def end_of(self, rollout: Rollout, report: str | None, *, wanted: Phase = Phase.DONE) -> None:
        """Print how a rollout ended, and exit with the code that says so.

        Args:
            rollout: the rollout. Its records were printed.
            report: where its report is. None when none was written.
            wanted: a phase that is what this command was asked for.
        """
        code = EXIT_DONE if rollout.phase is wanted else exit_code_of(rollout)
        outcome = OUTCOMES.get(rollout.phase, rollout.phase.value)
        self.end(outcome, reason=rollout.reason, exit_code=code, report=report)

    def nothing_done(self, why: str) -> None:
        """Print why a command had nothing to do."""
        self.end("nothing_done", why, reason=why)

    @contextmanager
    def unless_due(
        self, session: "Session", nothing: str, too_early: type[RefusedError], *, on_a_schedule: bool
    ) -> Generator[None]:
        """On a schedule, end with code 0 while another command works on the stack, or when it is ``too_early``.

        Args:
            session: the service.
            nothing: what was not done, as the beginning of a line.
            too_early: the refusal of a command that has nothing to do yet.
            on_a_schedule: whether the option ``--if-…`` was given. Without it, a refusal is an error as always.
        """
        if on_a_schedule and (owner := session.lock.owner()) is not None:
            self.nothing_done(f"{nothing}: scripts.{owner} is under way")
            raise typer.Exit
        try:
            yield
        except too_early as error:
            if not on_a_schedule:
                raise
            self.nothing_done(f"{nothing}: {error}")
            raise typer.Exit from None

    def fail(self, message: str, code: int) -> NoReturn:
        """Say what is wrong and exit."""
        errors.print(f"[bold red]error[/]: {escape(message)}")
        if self._json:
            with _although_nobody_reads():
                _print_line({"error": message, "exit_code": code})
        raise typer.Exit(code)


@contextmanager
def refusals(script: Script, *, json_output: bool = False) -> Generator[Output]:
    """Give a command its output, and turn an expected error into one message and an exit code."""
    output = Output(json_output=json_output)
    try:
        yield output
    except (typer.Exit, typer.Abort):
        raise
    except RefusedError as error:
        output.fail(str(error), EXIT_REFUSED)
    except UnreconciledError as error:
        output.fail(str(error), EXIT_UNRECONCILED)
    except LostLockError as error:
        output.fail(str(error), EXIT_NEEDS_HUMAN)
    except StoppedError as error:
        output.fail(f"{error}. {script.ctrl_c.at_end}", EXIT_NEEDS_HUMAN)
    except (RolloutError, Interruption) as error:
        output.fail(str(error), EXIT_NEEDS_HUMAN)
    except KeyboardInterrupt:
        output.fail("ended by Ctrl-C before anything was changed. To go on: run it again", EXIT_REFUSED)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        output.fail(
            f"Unexpected error ({Path(where.filename).name}, line {where.lineno}): {describe_error(error)}. Please "
            "report it. scripts.status shows where things stand",
            EXIT_NEEDS_HUMAN,
        )


@contextmanager
def _although_nobody_reads() -> Generator[None]:
    """Go on when stdout cannot be written: a rollout that ended there would leave its weight where it is."""
    try:
        yield
    except (OSError, SystemExit):  # rich ends the process when nobody reads a pipe any more
        wait_line.say("stdout cannot be written any more; the command goes on, and the journal has all records")
        # Without this, Python would fail at its end, when it writes what is left.
        # https://docs.python.org/3/library/signal.html#note-on-sigpipe
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_line(fields: dict[str, JsonValue]) -> None:
    with wait_line.hidden():
        typer.echo(json.dumps(fields))


def print_json(value: object) -> None:
    """Print a JSON value, or JSON text, for programs."""
    with wait_line.hidden():
        typer.echo(value if isinstance(value, str) else json.dumps(value, indent=2))


class RecordLines:
    """Prints journal records as lines."""

    def __init__(self, out: Console = console) -> None:
        """Print to this console."""
        self._news = News()
        self._out = out

    def show(self, record: Record) -> None:
        """Print what is new in a record."""
        for one in self._news.of(record):
            line = line_of(one)
            if line is not None:
                # A terminal would break a line within words. One with a longer word, as a URL, is left to it: whole.
                longest = max(map(len, f"{line.head}{line.text}".split()), default=0)
                text, whole = f"[dim]{one.at:%H:%M:%S}[/] {markup(line)}", longest > self._out.width
                self._out.print(text, soft_wrap=whole or not self._out.is_terminal)
                self._out.file.flush()


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
