"""Refresh: read every recorded resource and adopt what it has become."""

import asyncio

from rehearsal.engine.registry import Plugins
from rehearsal.engine.state import ResourceState, Snapshot
from rehearsal.engine.steps import Steps
from rehearsal.engine.targets import Targets
from rehearsal.engine.urns import is_provider


async def run(base: Snapshot, plugins: Plugins, steps: Steps, targets: Targets, *, reported: bool) -> None:
    """Read the chosen resources; the base of the update becomes what was found, even when some cannot be read.

    `reported`: what was found counts as changes (a refresh of its own), or is but the beginning of an update.
    """
    providers = {f"{resource.urn}::{resource.id}": resource for resource in base.resources}

    async def remains(resource: ResourceState) -> bool:
        readable = resource.custom and not is_provider(resource.type) and not resource.pending_replacement
        provider = await plugins.load(providers[resource.provider]) if readable and resource.provider else None
        return await steps.refresh(provider, resource, reported=reported)

    chosen = [resource for resource in base.resources if targets.chosen(resource)]
    results = await asyncio.gather(*map(remains, chosen), return_exceptions=True)
    gone = {id(resource) for resource, result in zip(chosen, results, strict=True) if result is False}
    base.resources[:] = [resource for resource in base.resources if id(resource) not in gone]
    _mend(base.resources)
    steps.journal.save()
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _mend(resources: list[ResourceState]) -> None:
    """Take references to resources that are gone out of those that remain."""
    known: set[str] = set()
    for resource in resources:
        resource.dependencies = [urn for urn in resource.dependencies if urn in known]
        found = {key: [urn for urn in urns if urn in known] for key, urns in resource.property_dependencies.items()}
        resource.property_dependencies = {key: urns for key, urns in found.items() if urns}
        if resource.deleted_with not in known:
            resource.deleted_with = ""
        if resource.parent not in known:
            resource.parent = ""
        known.add(resource.urn)
