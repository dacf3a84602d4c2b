"""``python -m benchmarks.instant_provider``: a resource plugin for any package, which answers at once and does nothing.

What a preview takes is then the engine's, the program's and the policies' alone.
"""

from benchmarks.instant_monitor import computed
from rehearsal.providers.difference import Diff
from rehearsal.providers.plugin import serve
from rehearsal.providers.provider import Checked, Provider, Resource
from rehearsal.providers.values import Tree


class InstantProvider(Provider):
    """Gives every resource back as it was asked for."""

    version = "0.0.1"

    def check_config(self, config: Tree) -> Checked:
        """Any config will do."""
        return Checked(config)

    def configure(self, config: Tree) -> None:
        """Nothing is configured."""

    def check(self, resource: Resource, old: Tree, new: Tree, seed: bytes) -> Checked:
        """Any inputs will do."""
        return Checked(new)

    def diff(self, resource: Resource, old_inputs: Tree, old_state: Tree, new: Tree) -> Diff:
        """Nothing ever changes."""
        return Diff()

    def create(
        self, resource: Resource, inputs: Tree, *, preview: bool, timeout_seconds: float | None
    ) -> tuple[str, Tree]:
        """Know all that the program reads even in a preview, so that policies have everything to judge."""
        return resource.name, {**inputs, **computed(resource.type, resource.name)}

    def read(self, resource: Resource, state: Tree, inputs: Tree) -> tuple[Tree, Tree]:
        """All is as it was."""
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
        """Take what was asked for."""
        return {**new, **computed(resource.type, resource.name)}

    def delete(self, resource: Resource, state: Tree, *, timeout_seconds: float | None) -> None:
        """Nothing is there."""


if __name__ == "__main__":
    serve(InstantProvider())
