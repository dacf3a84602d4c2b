"""The rehearsal's commands. A request that cannot be met prints one line and exits with status 2."""

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from rehearsal.binaries.build import binaries
from rehearsal.standing.build import build
from rehearsal.standing.errors import EXPECTED, explain
from rehearsal.standing.load import load_by_hand
from rehearsal.standing.shell import exports
from rehearsal.standing.status import describe
from rehearsal.standing.worlds import StandingError, Worlds
from rehearsal.world.preflight import preflight
from rehearsal.world.settings import WORLD_VARIABLE, RehearsalSettings, out_folder

# A log has no width of its own; a table needs one.
_LOG_WIDTH = 140

WorldOption = Annotated[str, typer.Option("--world", envvar=WORLD_VARIABLE, help="The world's name.")]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
_errors = Console(stderr=True, soft_wrap=True, highlight=False)


@app.callback()
def main() -> None:
    """Practise blue/green swaps of a vLLM model in a world on one machine."""


@app.command()
def run() -> None:
    """Run every scenario once under live traffic, and check the counts."""
    from rehearsal.scenarios.run import rehearse  # The other commands should not wait for its imports.

    console = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)
    with _orderly("stopped; the world has been taken down"):
        rehearsal = rehearse(RehearsalSettings.from_environment(), console, out_folder())
    raise typer.Exit(1 if rehearsal.problems else 0)


@app.command()
def up(world: WorldOption = "world") -> None:
    """Build a world that stays, and print its environment: eval "$(python -m rehearsal up)"."""
    with _orderly("stopped; nothing of the world is left"):
        worlds = _worlds()
        record = worlds.find(world)
        if record is None:
            preflight(RehearsalSettings.from_environment(), out_folder())
            binaries(_errors)
            record = build(worlds, world, lambda what: _say(f"  {what}"))
        else:
            _say(f"world {world} has been up since {record.since.astimezone():%H:%M:%S}")
        print(exports(record), end="", flush=True)
        _say(_what_next(world))


@app.command()
def env(world: WorldOption = "world") -> None:
    """Print the environment of a world again: eval "$(python -m rehearsal env)"."""
    with _orderly():
        print(exports(_worlds().get(world)), end="", flush=True)


@app.command()
def status() -> None:
    """Show all worlds that are up: addresses, processes, weights, pods and nodes."""
    console = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH, highlight=False)
    with _orderly():
        worlds = _worlds()
        names = worlds.names()
        for name in names:
            try:
                console.print(describe(worlds.get(name)))
            except StandingError as error:
                console.print(error, markup=False)
        if not names:
            console.print("no world is up; `up` builds one")


@app.command()
def load(
    world: WorldOption = "world",
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop after this time. Default: at Ctrl-C.")] = None,
) -> None:
    """Send live traffic to a world's service, then print the outcome of every request."""
    console = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH, highlight=False)
    with _orderly():
        lost = load_by_hand(_worlds().get(world), RehearsalSettings.from_environment(), console, seconds)
    raise typer.Exit(1 if lost else 0)


@app.command()
def down(
    world: WorldOption = "world",
    every: Annotated[bool, typer.Option("--all", help="Take down every world.")] = False,
) -> None:
    """Take a world down and wait until nothing of it is left."""
    with _orderly("stopped; the world still ends by itself"):
        worlds = _worlds()
        names = worlds.names() if every else [world]
        for name in names:
            inside = Path.cwd().is_relative_to(worlds.folder(name))
            worlds.down(name)
            _say(f"world {name} is down; nothing of it is left" + (" (`cd` out of its folder)" if inside else ""))
        if not names:
            _say("no world is up")


def _worlds() -> Worlds:
    return Worlds(out_folder(), _say)


def _say(text: str) -> None:
    _errors.print(text, markup=False)


def _what_next(world: str) -> str:
    evaluate = "" if not sys.stdout.isatty() else f'  eval "$(python -m rehearsal env --world {world})"\n'
    return (
        f"World {world} is up. Type next:\n{evaluate}"
        '  cd "$REHEARSAL_CHECKOUT"\n'
        "  pulumi up          release A on blue\n"
        "  rehearsal load     live traffic, in another shell\n"
        "  rehearsal status   addresses, processes, weights, pods\n"
        "  rehearsal down     when you are done; docs/by-hand.md is the guide"
    )


@contextmanager
def _orderly(stopped: str = "stopped") -> Generator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C, and report expected errors in one line."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        yield
    except EXPECTED as error:
        _errors.print("[red]error:[/red]", end=" ")
        _errors.print(explain(error), markup=False)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        _say(stopped)
        raise typer.Exit(130) from None


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
