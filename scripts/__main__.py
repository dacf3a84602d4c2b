"""List the scripts by task: `python -m scripts`."""

import ast
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from scripts import console
from scripts.completion import Shell, completion
from scripts.console import EXIT_CODES, JsonOption, Script

TASKS: Final = {
    "set up": ("doctor", "monitoring"),
    "roll out": ("ramp", "approve", "rollback"),
    "look": ("status", "explain", "history"),
    "after a promotion": ("watch", "keep", "drill", "reap"),
    "repair": ("adopt",),
}
SCRIPT: Final = Script(
    examples=(
        ("python -m scripts", "the scripts by task, each with what it does"),
        (
            "python -m scripts --completion bash",
            'text that a shell evaluates: eval "$(python -m scripts --completion bash)"',
        ),
    )
)


def description(name: str) -> str:
    """Return the first line of a script's docstring, without importing what the script needs."""
    module = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(module) or "").partition("\n")[0]


def main(
    shell: Annotated[
        Shell | None, typer.Option("--completion", help="Print what this shell evaluates to complete the scripts.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """List every script with what it does."""
    if shell is not None:
        typer.echo(completion(shell, [name for names in TASKS.values() for name in names]))
        return
    if json_output:
        found = [(task, name) for task, names in TASKS.items() for name in names]
        console.print_json(
            [{"task": task, "module": f"scripts.{name}", "description": description(name)} for task, name in found]
        )
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("to", "run", "what it does"):
        table.add_column(heading, overflow="fold")
    for task, names in TASKS.items():
        for place, name in enumerate(names):
            table.add_row("" if place else task, f"python -m scripts.{name}", escape(description(name)))
    console.console.print(table, soft_wrap=False)
    console.console.print("\nEach takes --help, --stack, --service, --work-dir and --json.")
    console.console.print('To complete them in this shell: eval "$(python -m scripts --completion bash)", or zsh')
    console.console.print(EXIT_CODES)


def refuse_subcommand(words: list[str]) -> None:
    """End with the command to write when the first word is a script: each is a module of its own."""
    if words and words[0] in {name for names in TASKS.values() for name in names}:
        typer.echo(f"error: write python -m scripts.{' '.join(words)}", err=True)
        raise SystemExit(console.EXIT_REFUSED)


if __name__ == "__main__":
    refuse_subcommand(sys.argv[1:])
    console.run(main, SCRIPT)
