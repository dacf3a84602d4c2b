"""Worlds for engine tests: a project, a backend and the test plugin, on the real Pulumi CLI."""

import json
import os
import subprocess
import textwrap
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import pulumi.automation as auto
import pytest
import yaml

from rehearsal.binaries.build import COMPONENTS, binaries, can_build, find
from rehearsal.system.garbage import GO_COLLECTS_RARELY
from rehearsal.warm.launch import SOCKET_VARIABLE
from rehearsal.world.executables import find_real, path_with, pulumi_home, write_executables, write_module
from tests.engine.fork_server import ForkServer, fork_server
from tests.engine.key_service import KEY_PROVIDER, key_environment

PASSPHRASE: Final = "correct horse"
UP: Final = ("up", "--yes", "--skip-preview")

THINGS = """
import pulumi


class Thing(pulumi.CustomResource):
    serial: pulumi.Output[int]

    def __init__(self, resource_name, opts=None, **props):
        super().__init__("test:index:Thing", resource_name, {**props, "serial": None}, opts)
"""


@cache
def pulumi_cli() -> Path:
    """Find or build the CLI. Skips the test on a machine that has neither the CLI nor Go."""
    component = next(component for component in COMPONENTS if component.name == "pulumi")
    found = find(component)
    if found is None and not can_build():
        pytest.skip("no pulumi on this machine, and no Go to build it with")
    return found or binaries()["pulumi"]


_new_stacks: dict[tuple[str, str], dict[str, bytes]] = {}
"""What ``pulumi stack init dev`` writes, by the project's name and the provider of its secrets. It takes a second."""


@dataclass
class World:
    """One project with one stack. Its runs are forked from a fork server if there is one."""

    root: Path
    warm: ForkServer | None = None
    secrets_provider: str = KEY_PROVIDER

    def __post_init__(self) -> None:
        for folder in ("state", "cloud", "project"):
            (self.root / folder).mkdir(parents=True)
        write_executables(self.root, pulumi_cli())
        self.plugin("test", "1.0.0", "tests.engine.provider")
        self.environment = {
            "PATH": path_with(self.root / "bin"),
            "PULUMI_BACKEND_URL": f"file://{self.root}/state",
            "PULUMI_HOME": str(pulumi_home(self.root)),
            **(
                key_environment() if self.secrets_provider == KEY_PROVIDER else {"PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
            ),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "TEST_CLOUD": str(self.root / "cloud"),
            **GO_COLLECTS_RARELY,
            SOCKET_VARIABLE: str(self.warm.socket) if self.warm else "",
        }
        (self.project / "Pulumi.yaml").write_text("name: probe\nruntime: python\n", encoding="utf-8")
        (self.project / "things.py").write_text(THINGS, encoding="utf-8")

    def plugin(self, package: str, version: str, module: str) -> None:
        """Install a plugin where Pulumi looks for it: on PATH if a real one is there, as that takes precedence."""
        name = f"pulumi-resource-{package}"
        installed = pulumi_home(self.root) / "plugins" / f"resource-{package}-v{version}" / name
        script = self.root / "bin" / name if find_real(name) else installed
        script.parent.mkdir(parents=True, exist_ok=True)
        write_module(script, module)

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.root / "project"

    @property
    def cloud(self) -> Path:
        """The plugin's folder of resources."""
        return self.root / "cloud"

    def program(self, text: str) -> None:
        """Write the program, after imports of `pulumi` and `Thing`."""
        head = "import pulumi\nfrom things import Thing\n\n"
        (self.project / "__main__.py").write_text(head + textwrap.dedent(text), encoding="utf-8")

    def pack(self, text: str) -> Path:
        """Write a policy pack and return its folder."""
        folder = self.root / "pack"
        folder.mkdir(exist_ok=True)
        (folder / "PulumiPolicy.yaml").write_text("runtime: python\n", encoding="utf-8")
        (folder / "__main__.py").write_text(textwrap.dedent(text), encoding="utf-8")
        return folder

    def open(self) -> None:
        """Create the stack, and select it."""
        name = yaml.safe_load((self.project / "Pulumi.yaml").read_text(encoding="utf-8"))["name"]
        new = (name, self.secrets_provider)
        if new not in _new_stacks:
            before = self._files()
            self.pulumi("stack", "init", "dev", "--secrets-provider", self.secrets_provider)
            _new_stacks[new] = {file: content for file, content in self._files().items() if file not in before}
        for file, content in _new_stacks[new].items():
            (self.root / file).parent.mkdir(parents=True, exist_ok=True)
            (self.root / file).write_bytes(content)
        self.environment["PULUMI_STACK"] = "dev"

    def _files(self) -> dict[str, bytes]:
        """Return the files of the backend and of the project."""
        found = (path for folder in ("state", "project") for path in (self.root / folder).rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}

    @cached_property
    def stack(self) -> auto.Stack:
        """The stack, through the automation API."""
        options = auto.LocalWorkspaceOptions(env_vars=self.environment)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", self.environment["PATH"])  # the SDK looks there for the CLI
            return auto.select_stack("dev", work_dir=str(self.project), opts=options)

    @contextmanager
    def around(self) -> Generator[None]:
        """Give this process the world's environment, which a script has."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            yield

    @contextmanager
    def warmed(self, *modules: str) -> Generator[None]:
        """Fork the runs of the block from a fork server that has also imported modules of the project."""
        with fork_server(self.project, modules) as self.warm:
            self.environment[SOCKET_VARIABLE] = str(self.warm.socket)
            yield

    def pulumi(self, *arguments: str, status: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the CLI in the project's folder and check its exit status (None: any)."""
        answer = subprocess.run(
            [self.root / "bin" / "pulumi", *arguments],
            cwd=self.project,
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if status is not None:
            assert answer.returncode == status, answer.stdout + answer.stderr
        return answer

    # -- shorthands for tests

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the recorded resources by name, without those that await deletion."""
        recorded = self.deployment().get("resources", [])
        return {each["urn"].rsplit("::", 1)[-1]: each for each in recorded if not each.get("delete")}

    def deployment(self) -> dict[str, Any]:
        """Return the deployment in the backend."""
        return json.loads(self.state.read_text(encoding="utf-8"))["checkpoint"].get("latest") or {}

    @property
    def state(self) -> Path:
        """The backend's file with the stack's state."""
        return next((self.root / "state" / ".pulumi" / "stacks").glob("*/dev.json"))

    @contextmanager
    def put_back(self) -> Generator[None]:
        """Put the stack's state back after the block."""
        kept = self.state.read_bytes()
        try:
            yield
        finally:
            self.state.write_bytes(kept)

    def outputs(self) -> dict[str, Any]:
        """Return the recorded outputs of the stack."""
        return next(each for each in self.resources().values() if each["type"] == "pulumi:pulumi:Stack")["outputs"]

    def locks(self) -> list[Path]:
        """Return the backend's lock files."""
        return list((self.root / "state" / ".pulumi" / "locks").rglob("*.json"))

    def calls(self, *operations: str) -> list[tuple[str, str]]:
        """Return the plugin's calls, in order, as (operation, resource name)."""
        path = self.cloud / "log.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        entries = [json.loads(line) for line in lines]
        wanted = operations or ("create", "update", "delete")
        return [(entry["op"], entry["name"]) for entry in entries if entry["op"] in wanted]

    def forget_calls(self) -> None:
        """Clear the plugin's log."""
        (self.cloud / "log.jsonl").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def warm() -> Iterator[ForkServer]:
    """A fork server that all tests of this process share."""
    with fork_server() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, warm: ForkServer) -> World:
    """A new world with an empty stack."""
    world = World(tmp_path / "world", warm)
    world.program("")
    world.open()
    return world
