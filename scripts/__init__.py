"""The command line: thin scripts that a person or a CI job runs."""

import sys
from importlib.util import find_spec

# Only this file must work with an older Python and without any package, to say what is missing.
PACKAGES = (
    *("annotated_types", "boto3", "botocore", "httpx", "jinja2", "kubernetes", "markupsafe", "numpy", "pulumi"),
    *("pulumi_aws", "pulumi_kubernetes", "pydantic", "pydantic_core", "rich", "ruamel", "scipy", "semver", "typer"),
    *("urllib3",),
)
"""What the scripts import besides Python's own modules and this project's."""


def _missing() -> str:
    """Return what this Python lacks; empty when it lacks nothing."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the user's Python may be older
        return "Python %s at %s is too old: 3.11 or newer is needed" % (sys.version.split()[0], sys.executable)  # noqa: UP031
    packages = [name for name in PACKAGES if find_spec(name) is None]
    if packages:
        more = " and %d more" % (len(packages) - 3) if len(packages) > 3 else ""  # noqa: UP031
        return "Python at %s lacks packages: %s%s" % (sys.executable, ", ".join(packages[:3]), more)  # noqa: UP031
    return ""


missing = _missing()
if missing:
    print("error: %s. Run `make setup`, then `. .venv/bin/activate`" % missing, file=sys.stderr)  # noqa: UP031
    sys.exit(2)
