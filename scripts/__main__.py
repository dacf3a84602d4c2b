"""List the scripts by task: `python -m scripts`."""

import ast
from pathlib import Path
from typing import Final

from rich.markup import escape
from rich.table import Table

from scripts.console import EXIT_CODES, console

TASKS: Final = {
    "set up": ("doctor", "monitoring"),
    "roll out": ("ramp", "approve", "rollback"),
    "look": ("status", "explain", "history"),
    "after a promotion": ("keep", "drill", "reap"),
    "repair": ("adopt",),
}


def description(name: str) -> str:
    """Return the first line of a script's docstring, without importing what the script needs."""
    module = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(module) or "").partition("\n")[0]


def main() -> None:
    """Print every script with what it does."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("to", "run", "what it does"):
        table.add_column(heading, overflow="fold")
    for task, names in TASKS.items():
        for place, name in enumerate(names):
            table.add_row("" if place else task, f"python -m scripts.{name}", escape(description(name)))
    console.print(table, soft_wrap=False)
    console.print("\nEach takes --help, --stack, --service and --work-dir.")
    console.print(EXIT_CODES)


if __name__ == "__main__":
    main()
