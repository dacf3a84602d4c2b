"""``python -m rehearsal run``: practise a model swap on this machine; exits 0 only if everything went as it must."""

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer
from rich.console import Console

from rehearsal.controlplane.build import BuildError
from rehearsal.executables import EngineError
from rehearsal.processes import ProcessError
from rehearsal.run import rehearse
from rehearsal.settings import RehearsalSettings, RehearsalSettingsError

# A log has no width of its own; a table needs one.
_LOG_WIDTH = 140

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def main() -> None:
    """A world to practise in: blue/green swaps of a vLLM model, on one machine."""


@app.command()
def run() -> None:
    """Run every scenario once, under live traffic, and judge what was counted."""
    signal.signal(signal.SIGTERM, _stop)
    console = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)
    try:
        rehearsal = rehearse(RehearsalSettings.from_environment(), console)
    except (RehearsalSettingsError, EngineError, BuildError, ProcessError) as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", soft_wrap=True, highlight=False)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; the world has been taken down", highlight=False)
        raise typer.Exit(130) from None
    raise typer.Exit(1 if rehearsal.faults else 0)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """Turn SIGTERM into the orderly way down that Ctrl-C takes."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(app())
