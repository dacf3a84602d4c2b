"""``python -m benchmarks.instant_provider``: a resource plugin for any package, which answers at once and does nothing.

The time of a preview is then only that of the engine, the program and the policies.
"""

from benchmarks.instant_monitor import computed
from rehearsal.providers.difference import Diff
from rehearsal.providers.plugin import serve
from rehearsal.providers.provider import Checked, Provider, Resource
from rehearsal.providers.values import Tree


class InstantProvider(Provider):
    """Answers every call with the requested resource."""

    version = "0.0.1"

    def check_config(self, config: Tree) -> Checked:
        """Accept any config."""
        return Checked(config)

    def configure(self, config: Tree) -> None:
        """Ignore the config."""

    def check(self, resource: Resource, old: Tree, new: Tree, seed: bytes) -> Checked:
        """Accept any inputs."""
        return Checked(new)

    def diff(self, resource: Resource, old_inputs: Tree, old_state: Tree, new: Tree) -> Diff:
        """Report no changes."""
        return Diff()

    def create(
        self, resource: Resource, inputs: Tree, *, preview: bool, timeout_seconds: float | None
    ) -> tuple[str, Tree]:
        """Return all outputs that the program reads, even in a preview, so that policies can evaluate everything."""
        return resource.name, {**inputs, **computed(resource.type, resource.name)}

    def read(self, resource: Resource, state: Tree, inputs: Tree) -> tuple[Tree, Tree]:
        """Return the state unchanged."""
        return state, inputs

    def update(
        self,
        resource: Resource,
        old_inputs: Tree,
        old_state: Tree,
        new: Tree,
        *,
        preview: bool,
        timeout_seconds: float | None,
    ) -> Tree:
        """Return the new inputs as the state."""
        return {**new, **computed(resource.type, resource.name)}

    def delete(self, resource: Resource, state: Tree, *, timeout_seconds: float | None) -> None:
        """Do nothing."""


if __name__ == "__main__":
    serve(InstantProvider())
