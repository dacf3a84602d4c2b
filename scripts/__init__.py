"""What a person or a CI job types; thin."""

import sys

# No file besides this one needs to be readable by an older Python.
if sys.version_info < (3, 11):  # noqa: UP036 - whoever types it may have an older one
    print(
        "error: Python %s at %s is too old: 3.11 or newer is needed. Run `make setup`, then `. .venv/bin/activate`"  # noqa: UP031
        % (sys.version.split()[0], sys.executable),
        file=sys.stderr,
    )
    sys.exit(2)
