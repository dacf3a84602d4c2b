"""Refresh: read every recorded resource and adopt what it has become."""

import asyncio

from rehearsal.engine.registry import Plugins
from rehearsal.engine.state import ResourceState, Snapshot
from rehearsal.engine.steps import Steps
from rehearsal.engine.targets import Targets


async def run(base: Snapshot, plugins: Plugins, steps: Steps, targets: Targets) -> None:
    """Read the chosen resources; the base of the update becomes what was found."""
    providers = {f"{resource.urn}::{resource.id}": resource for resource in base.resources}

    async def read(resource: ResourceState) -> ResourceState | None:
        provider = await plugins.load(providers[resource.provider])
        return None if await steps.refresh(provider, resource) else resource

    chosen = [
        resource
        for resource in base.resources
        if resource.custom and resource.provider and not resource.delete and targets.chosen(resource)
    ]
    gone = [resource for resource in await asyncio.gather(*map(read, chosen)) if resource is not None]
    lost = {resource.urn for resource in gone}
    base.resources[:] = [resource for resource in base.resources if all(resource is not each for each in gone)]
    for resource in base.resources:
        resource.dependencies = [urn for urn in resource.dependencies if urn not in lost]
        resource.property_dependencies = {
            key: [urn for urn in urns if urn not in lost] for key, urns in resource.property_dependencies.items()
        }
    steps.journal.save()
