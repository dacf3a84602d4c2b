"""``python -m rehearsal``: checks that this Python can run the commands, and runs them."""

import importlib.util
import sys


def fault() -> str:
    """What is wrong with this Python; found without anything that an older Python 3 does not understand."""
    if sys.version_info < (3, 11):  # noqa: UP036
        return "is older than Python 3.11; set up another one with `make setup PYTHON=/path/to/python3.11`"
    if importlib.util.find_spec("typer") is None:
        return "lacks the packages that this needs: `make setup` once, then `.venv/bin/python -m rehearsal`"
    return ""


def main() -> None:
    """Run the command line."""
    what = fault()
    if what:
        sys.stderr.write("error: " + sys.executable + " " + what + "\n")
        sys.exit(2)
    from rehearsal.commands import app

    app()


if __name__ == "__main__":
    main()
