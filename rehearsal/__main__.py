"""``python -m rehearsal``: checks that this Python can run the commands, then runs them."""

import importlib.util
import sys


def problem() -> str:
    """Return what is wrong with this Python, or an empty text. Uses only syntax that older Python 3 versions accept."""
    if sys.version_info < (3, 11):  # noqa: UP036
        return "is older than Python 3.11; set up another one with `make setup PYTHON=/path/to/python3.11`"
    if importlib.util.find_spec("typer") is None:
        return "lacks the required packages; run `make setup` once, then `.venv/bin/python -m rehearsal`"
    return ""


def main() -> None:
    """Run the command line."""
    found = problem()
    if found:
        sys.stderr.write("error: " + sys.executable + " " + found + "\n")
        sys.exit(2)
    from rehearsal.commands import app

    app()


if __name__ == "__main__":
    main()
