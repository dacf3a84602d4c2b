"""The command line: thin scripts that a person or a CI job runs."""

import sys

# Only this file must work with an older Python, to report that it is too old.
if sys.version_info < (3, 11):  # noqa: UP036 - the user's Python may be older
    print(
        "error: Python %s at %s is too old: 3.11 or newer is needed. Run `make setup`, then `. .venv/bin/activate`"  # noqa: UP031
        % (sys.version.split()[0], sys.executable),
        file=sys.stderr,
    )
    sys.exit(2)
