"""The plugin `pulumi-resource-test`: resources are files in the folder TEST_CLOUD, which also has the log of calls.

`test:index:Thing` accepts any properties. A changed `name` replaces it, anything else changes in place. `fail` names an
operation that fails; `slow` delays create and update by some seconds. Outputs are the inputs and a `serial` number.

A FIFO `hold-<operation>-<resource name>` in TEST_CLOUD stops an operation for ever, either before it takes effect or
after it (`created`, `updated`, `deleted`). Its reader receives this process's id.
"""

import itertools
import json
import os
import threading
from pathlib import Path
from typing import Any

from rehearsal.providers.difference import Diff, changed
from rehearsal.providers.plugin import serve
from rehearsal.providers.provider import Checked, Provider, ProviderError, Resource
from rehearsal.providers.values import Tree

CLOUD = Path(os.environ["TEST_CLOUD"])

_log_lock = threading.Lock()


def log(operation: str, resource: Resource) -> None:
    """Add a line to the log of calls."""
    with _log_lock, (CLOUD / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"op": operation, "name": resource.name}) + "\n")


def hold(point: str, resource: Resource) -> None:
    """Stop here for ever if a test waits for it."""
    pipe = CLOUD / f"hold-{point}-{resource.name}"
    if pipe.is_fifo():
        pipe.write_text(f"{os.getpid()}\n", encoding="utf-8")
        threading.Event().wait()


class TestProvider(Provider):
    """Accepts resources of any type."""

    version = "1.0.0"

    def check_config(self, config: Tree) -> Checked:
        return Checked(config)

    def configure(self, config: Tree) -> None:
        pass

    def check(self, resource: Resource, old: Tree, new: Tree, seed: bytes) -> Checked:  # noqa: ARG002
        return Checked(new)

    def diff(self, resource: Resource, old_inputs: Tree, old_state: Tree, new: Tree) -> Diff:  # noqa: ARG002
        return Diff(changed(old_inputs, new, lambda path: resource.type == "test:index:Thing" and path[0] == "name"))

    def create(
        self,
        resource: Resource,
        inputs: Tree,
        *,
        preview: bool,
        timeout_seconds: float | None,  # noqa: ARG002
    ) -> tuple[str, Tree]:
        if preview:
            return "", inputs
        self._act("create", resource, inputs)
        identity = _new_identity(resource.name)
        state = self._store(identity, {**inputs, "serial": 1})
        hold("created", resource)
        return identity, state

    def read(self, resource: Resource, state: Tree, inputs: Tree) -> tuple[Tree, Tree] | None:
        return (state, inputs) if (CLOUD / f"{resource.id}.json").exists() else None

    def update(
        self,
        resource: Resource,
        old_inputs: Tree,  # noqa: ARG002
        old_state: Tree,
        new: Tree,
        *,
        preview: bool,
        timeout_seconds: float | None,  # noqa: ARG002
    ) -> Tree:
        if preview:
            return {**old_state, **new}
        self._act("update", resource, new)
        state = self._store(resource.id, {**new, "serial": int(old_state["serial"]) + 1})
        hold("updated", resource)
        return state

    def delete(self, resource: Resource, state: Tree, *, timeout_seconds: float | None) -> None:  # noqa: ARG002
        self._act("delete", resource, state)
        (CLOUD / f"{resource.id}.json").unlink(missing_ok=True)
        hold("deleted", resource)

    def _act(self, operation: str, resource: Resource, inputs: Tree) -> None:
        log(operation, resource)
        hold(operation, resource)
        if operation != "delete":
            threading.Event().wait(float(inputs.get("slow", 0)))
        if self.cancelled.is_set():
            (CLOUD / "cancelled").touch()
        if inputs.get("fail") == operation:
            raise ProviderError(f"the cloud refuses to {operation} this")

    def _store(self, identity: str, state: dict[str, Any]) -> Tree:
        (CLOUD / f"{identity}.json").write_text(json.dumps(state), encoding="utf-8")
        return state


def _new_identity(name: str) -> str:
    """Return the resource's name and how often the cloud has created one of that name."""
    for number in itertools.count(1):
        try:
            (CLOUD / f"{name}-{number}.taken").touch(exist_ok=False)
        except FileExistsError:
            continue
        return f"{name}-{number}"
    raise AssertionError


if __name__ == "__main__":
    serve(TestProvider())
