"""Which resources an update may touch (`--target`, with `--target-dependents`)."""

import fnmatch

from rehearsal.engine.state import ResourceState, Snapshot
from rehearsal.engine.urns import STACK_TYPE, is_provider


class Targets:
    """A choice of resources by URN (globs allowed); without any, every resource is chosen."""

    def __init__(self, patterns: list[str], base: Snapshot, *, dependents: bool) -> None:
        self._patterns = patterns
        self._dependents = dependents
        self._chosen: set[str] = set()
        self._named: set[str] = set()
        for resource in base.resources:
            self.chosen(resource)

    def chosen(self, resource: ResourceState) -> bool:
        """Tell whether a resource is among the chosen ones (or depends on one, if asked for)."""
        if not self._patterns:
            return True
        by_name = any(fnmatch.fnmatchcase(resource.urn, pattern) for pattern in self._patterns)
        if by_name:
            self._named.add(resource.urn)
        by_link = self._dependents and bool(resource.all_dependencies() & self._chosen)
        if by_name or by_link:
            self._chosen.add(resource.urn)
        return by_name or by_link

    def missing(self) -> list[str]:
        """The URNs asked for by their full name that no resource so far has."""
        return [pattern for pattern in self._patterns if "*" not in pattern and pattern not in self._named]

    def include(self, resource: ResourceState) -> bool:
        """Tell whether the update may touch a registered resource: providers and the stack always are."""
        return self.chosen(resource) or is_provider(resource.type) or resource.type == STACK_TYPE
