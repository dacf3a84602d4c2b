"""Worlds for engine tests: a project, a backend and the test plugin, driven through the automation API.

Every test runs on the embedded engine, and on the real Pulumi CLI too where there is one: REHEARSAL_REAL_PULUMI names
its executable, or a `pulumi` on PATH is one. Its language host must lie beside it or on PATH.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pulumi.automation as auto
import pytest

REPOSITORY = Path(__file__).parents[2]

PASSPHRASE = "correct horse"

THINGS = """
import pulumi


class Thing(pulumi.CustomResource):
    serial: pulumi.Output[int]
    token: pulumi.Output[str]

    def __init__(self, resource_name, opts=None, **props):
        super().__init__("test:index:Thing", resource_name, {**props, "serial": None, "token": None}, opts)


class Box(pulumi.ComponentResource):
    def __init__(self, resource_name, opts=None):
        super().__init__("probe:index:Box", resource_name, None, opts)
"""


@cache
def real_pulumi() -> Path | None:
    """The real CLI, when there is one."""
    named = os.environ.get("REHEARSAL_REAL_PULUMI") or shutil.which("pulumi")
    if not named:
        return None
    answer = subprocess.run([named, "version"], capture_output=True, text=True, check=False)
    is_real = answer.returncode == 0 and "embedded" not in answer.stdout
    return Path(named).absolute() if is_real else None


@pytest.fixture(params=["embedded", "real"])
def engine(request: pytest.FixtureRequest) -> str:
    """The engine that a test runs on."""
    if request.param == "real" and real_pulumi() is None:
        pytest.skip("no real Pulumi CLI on PATH or in REHEARSAL_REAL_PULUMI")
    return request.param


def write_script(path: Path, module: str) -> None:
    path.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m {module} "$@"\n', encoding="utf-8")
    path.chmod(0o755)


@dataclass
class World:
    """One project with one stack on one engine."""

    root: Path
    engine: str
    stack: auto.Stack = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)
        for folder in ("bin", "state", "home", "cloud", "project"):
            (self.root / folder).mkdir()
        write_script(self.root / "bin" / "pulumi-resource-test", "tests.engine.provider")
        path = [str(self.root / "bin"), str(Path(sys.executable).parent)]
        real = real_pulumi()
        if self.engine == "real" and real is not None:
            path.insert(0, str(real.parent))
        else:
            write_script(self.root / "bin" / "pulumi", "rehearsal.engine")
        self.environment = {
            "PATH": os.pathsep.join([*path, os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": f"file://{self.root}/state",
            "PULUMI_HOME": str(self.root / "home"),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "TEST_CLOUD": str(self.root / "cloud"),
        }
        self.project_file("name: probe\nruntime: python\n")
        (self.project / "things.py").write_text(THINGS, encoding="utf-8")

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.root / "project"

    @property
    def cloud(self) -> Path:
        """Where the plugin keeps its resources."""
        return self.root / "cloud"

    def project_file(self, text: str) -> None:
        """Write Pulumi.yaml."""
        (self.project / "Pulumi.yaml").write_text(text, encoding="utf-8")

    def program(self, text: str) -> None:
        """Write the program; `pulumi`, `Thing` and `Box` are imported for it."""
        head = "import pulumi\nfrom pulumi import ResourceOptions\nfrom things import Box, Thing\n\n"
        (self.project / "__main__.py").write_text(head + textwrap.dedent(text), encoding="utf-8")

    def open(self) -> auto.Stack:
        """The stack, created if need be."""
        os.environ["PATH"] = self.environment["PATH"]
        options = auto.LocalWorkspaceOptions(env_vars=self.environment)
        self.stack = auto.create_or_select_stack("dev", work_dir=str(self.project), opts=options)
        return self.stack

    def pulumi(self, *arguments: str, status: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the CLI in the project's folder and check its exit status (None: any)."""
        answer = subprocess.run(
            ["pulumi", *arguments],
            cwd=self.project,
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if status is not None:
            assert answer.returncode == status, answer.stdout + answer.stderr
        return answer

    # -- shorthands for what tests ask

    def up(self, **options: Any) -> dict[str, int]:
        """Update and return the changes by operation, without those that stayed the same."""
        changes = self.stack.up(**options).summary.resource_changes or {}
        return {str(op): count for op, count in changes.items() if op != "same"}

    def preview(self, **options: Any) -> dict[str, int]:
        """Preview and return the changes by operation, without those that stay the same."""
        changes = self.stack.preview(**options).change_summary
        return {str(getattr(op, "value", op)): count for op, count in changes.items() if op != "same"}

    def resources(self) -> dict[str, dict[str, Any]]:
        """The recorded resources by name, except those that wait for their deletion."""
        deployment = self.stack.export_stack().deployment or {}
        recorded = deployment.get("resources", [])
        return {each["urn"].rsplit("::", 1)[-1]: each for each in recorded if not each.get("delete")}

    def calls(self, *operations: str) -> list[tuple[str, str]]:
        """What the plugin was asked to do, in order, as (operation, resource name)."""
        path = self.cloud / "log.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        entries = [json.loads(line) for line in lines]
        wanted = operations or ("create", "update", "delete")
        return [(entry["op"], entry["name"]) for entry in entries if entry["op"] in wanted]

    def forget_calls(self) -> None:
        """Start the plugin's log anew."""
        (self.cloud / "log.jsonl").unlink(missing_ok=True)


@pytest.fixture
def world(tmp_path: Path, engine: str) -> Iterator[World]:
    """A new world on the engine under test."""
    path = os.environ["PATH"]
    yield World(tmp_path, engine)
    os.environ["PATH"] = path
