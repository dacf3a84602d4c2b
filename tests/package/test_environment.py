"""The environment that Pulumi creates for the package's process contains everything that it imports."""

import re
import subprocess
import sys
from importlib import metadata

from tests.package.host import ROOT

_IMPORTED = """
import sys
import package.blue_green_service
print(*{name.partition(".")[0] for name in sys.modules})
"""


def requirements() -> set[str]:
    lines = (ROOT / "package" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {line.partition("==")[0] for line in lines if not line.startswith("#")}


def installed_with(names: set[str]) -> set[str]:
    """Return these distributions and everything that they install."""
    found: set[str] = set()
    waiting = {_plain(name) for name in names}
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            wanted = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another system or Python
        waiting |= {_plain(re.split(r"[^\w.-]", one)[0]) for one in wanted if "extra ==" not in one} - found
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_process_imports_nothing_that_its_requirements_do_not_bring() -> None:
    command = [sys.executable, "-c", _IMPORTED]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    distributions = metadata.packages_distributions()
    imported = {_plain(one) for module in output.split() for one in distributions.get(module, [])}
    assert {"pulumi", "pulumi-aws", "pulumi-kubernetes", "pydantic"} <= imported
    assert imported <= installed_with(requirements()) | {"setuptools", "pip"}
