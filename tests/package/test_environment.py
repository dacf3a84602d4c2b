"""The environment that Pulumi creates for the package's process contains everything that it imports."""

import subprocess
import sys
from importlib import metadata

import pytest

from policies.standalone import normalized, with_dependencies
from tests.package.host import ROOT

pytestmark = pytest.mark.slow

_IMPORTED = """
import sys
import package.blue_green_service
print(*{name.partition(".")[0] for name in sys.modules})
"""


def requirements() -> set[str]:
    lines = (ROOT / "package" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {line.partition("==")[0] for line in lines if not line.startswith("#")}


def test_the_process_imports_nothing_that_its_requirements_do_not_bring() -> None:
    command = [sys.executable, "-c", _IMPORTED]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    distributions = metadata.packages_distributions()
    imported = {normalized(one) for module in output.split() for one in distributions.get(module, [])}
    assert {"pulumi", "pulumi-aws", "pulumi-kubernetes", "pydantic"} <= imported
    assert imported <= with_dependencies(requirements()) | {"setuptools", "pip"}
