"""The whole program as a stack on the CLI, with fake clouds that accept anything."""

import copy
import json
import re
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import yaml

from tests.components.example import ROOT, SECRET, config
from tests.engine.conftest import World

PROGRAM = "components.resources.blue_green_service"
"""The module that the program imports, with all that it needs."""

GUARDED = {"ListenerRule", "Deployment", "NodeGroup", "LaunchTemplate"}


class Stack:
    """The program's stack, with a config that tests change."""

    def __init__(self, world: World, live: Mapping[str, Any]) -> None:
        """Set up and configure the project. ``up`` deploys it."""
        self.world = world
        self.live = live
        for plugin in ("aws", "kubernetes"):
            world.plugin(plugin, version(f"pulumi-{plugin}"), "tests.engine.provider.clouds")
        for name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(ROOT / name, world.project / name)
        (world.project / "components").symlink_to(ROOT / "components")
        world.open()
        world.pulumi("config", "set", "--secret", "candidate_route_secret", SECRET)
        self.file = world.project / "Pulumi.dev.yaml"
        self._shown: tuple[bytes, list[dict[str, Any]]] = (b"", [])
        self._fixed = yaml.safe_load(self.file.read_text())
        self.configure()

    def configure(self, **changes: Any) -> None:
        """Write the live config with changes."""
        values = config(**{"candidate_route_secret": None, **self.live, **changes})
        keys = {key: json.loads(text) if text.startswith(("[", "{")) else text for key, text in values.items()}
        merged = {**self._fixed, "config": {**self._fixed["config"], **keys}}
        self.file.write_text(yaml.safe_dump(merged))

    def up(self, *flags: str) -> None:
        self.world.pulumi("up", "--yes", "--skip-preview", *flags)
        self.world.forget_calls()

    def preview(self, *flags: str) -> str:
        return self.world.pulumi("preview", *flags).stdout

    def refused(self, *command: str) -> str:
        """Run a command that must be refused and return its message."""
        answer = self.world.pulumi(*command, status=None)
        text = answer.stdout + answer.stderr
        assert answer.returncode != 0, text
        # The CLI interrupts the program once a preview is refused, and shows its traceback.
        assert "Traceback" not in text or "KeyboardInterrupt" in text, text
        return re.sub(r"\s+", " ", text)

    def recorded(self) -> dict[str, Any]:
        """Return the recorded state of the resources that guards watch."""
        return {
            one["urn"]: (one["inputs"], one["outputs"])
            for one in self.resources()
            if one["type"].rpartition(":")[2] in GUARDED
        }

    def resources(self) -> list[dict[str, Any]]:
        """Return all recorded resources, with their secrets in plain text."""
        state = self.world.state.read_bytes()
        if state != self._shown[0]:  # The CLI takes half a second to decrypt them.
            exported = json.loads(self.world.pulumi("stack", "export", "--show-secrets").stdout)
            self._shown = (state, exported["deployment"].get("resources") or [])
        return copy.deepcopy(self._shown[1])

    def urn(self, kind: str, name: str) -> str:
        return next(urn for urn in self.recorded() if urn.endswith(f":{kind}::{name}"))
