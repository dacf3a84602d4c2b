"""What an update deletes: before a replacement together with its dependents, and at the end what is left over."""

import asyncio
from collections.abc import Awaitable, Callable

from rehearsal.engine.provider import Diff, Provider
from rehearsal.engine.registry import Plugins
from rehearsal.engine.state import ResourceState, Snapshot
from rehearsal.engine.steps import Step, Steps, StoppedError
from rehearsal.engine.targets import Targets
from rehearsal.engine.values import UNKNOWN, Properties

ProviderOf = Callable[[ResourceState], Awaitable[Provider | None]]
DiffResource = Callable[[Provider, ResourceState, Properties, list[str]], Awaitable[Diff]]


class Deletions:
    """Knows which recorded resources are gone or must go."""

    def __init__(
        self, base: Snapshot, plugins: Plugins, steps: Steps, provider_of: ProviderOf, diff: DiffResource
    ) -> None:
        self._base = base
        self._plugins = plugins
        self._steps = steps
        self._provider_of = provider_of
        self._diff = diff
        self._condemned: dict[int, list[str]] = {}
        self._later: list[ResourceState] = []
        self.deleted: set[str] = set()

    def is_condemned(self, old: ResourceState) -> bool:
        """Tell whether a recorded resource was deleted early because something that it depends on is replaced."""
        return id(old) in self._condemned

    def reasons(self, old: ResourceState) -> list[str]:
        """The properties for which a condemned resource must be replaced."""
        return self._condemned[id(old)]

    def condemn_later(self, old: ResourceState) -> None:
        """A replaced resource goes at the end of the update."""
        self._later.append(old)

    async def delete_before_replace(self, old: ResourceState, handled: set[str]) -> None:
        """Delete a resource now, and before it those that its replacement forces to be replaced."""
        self.deleted.add(old.urn)
        for dependent, keys in reversed(await self._forced_by(old, handled)):
            if dependent.protect:
                self._steps.events.diagnostic(
                    "error",
                    f'unable to replace resource "{dependent.urn}" as part of replacing "{old.urn}" as it is '
                    "currently marked for protection. To unprotect the resource, remove the `protect` flag from "
                    "the resource in your Pulumi program and run `pulumi up`, or use the command:\n"
                    f"`pulumi state unprotect '{dependent.urn}'`",
                    old.urn,
                )
                self._steps.stop()
                raise StoppedError
            self._condemned[id(dependent)] = keys
            self.deleted.add(dependent.urn)
            await self._delete(dependent, Step("delete-replaced", dependent, None, logical=False), pending=True)
        await self._delete(old, Step("delete-replaced", old, None, logical=False), pending=True)

    async def _forced_by(self, root: ResourceState, handled: set[str]) -> list[tuple[ResourceState, list[str]]]:
        forced: list[tuple[ResourceState, list[str]]] = []
        urns = {root.urn}
        for resource in self._base.resources:
            if resource.urn in handled or resource.delete or not resource.custom or resource.external:
                continue
            if self.is_condemned(resource):
                continue
            keys = await self._must_follow(resource, urns)
            if keys is not None:
                forced.append((resource, keys))
                urns.add(resource.urn)
        return forced

    async def _must_follow(self, resource: ResourceState, replaced: set[str]) -> list[str] | None:
        """The properties that force a resource to be replaced too (none: all of it); None when nothing does."""
        if resource.provider.rpartition("::")[0] in replaced or resource.deleted_with in replaced:
            return []
        touched = {key for key, urns in resource.property_dependencies.items() if replaced & set(urns)}
        touched &= set(resource.inputs)
        provider = await self._provider_of(resource) if touched else None
        if provider is None:
            return None
        inputs: Properties = {key: UNKNOWN if key in touched else value for key, value in resource.inputs.items()}
        diff = await self._diff(provider, resource, inputs, resource.ignore_changes)
        return diff.replace_keys if diff.replaces else None

    async def run(self, handled: set[str], targets: Targets) -> None:
        """Delete what is pending and what the program did not register, dependents first."""
        later = {id(resource) for resource in self._later}
        doomed: list[ResourceState] = []
        kept: list[ResourceState] = []
        for resource in self._base.resources:
            left_over = resource.urn not in handled and not resource.delete
            if self.is_condemned(resource) and resource.urn in handled:
                continue
            if left_over or resource.delete or id(resource) in later:
                (doomed if targets.chosen(resource) else kept).append(resource)
        self._refuse_dangling(doomed, kept)
        for resource in kept:
            await self._steps.keep(resource)
        self.deleted.update(each.urn for each in doomed if not each.delete and id(each) not in later)
        await self._run_waves(doomed, later)

    def _refuse_dangling(self, doomed: list[ResourceState], kept: list[ResourceState]) -> None:
        urns = {resource.urn for resource in doomed}
        for resource in kept:
            if resource.all_dependencies() & urns:
                self._steps.events.diagnostic(
                    "error",
                    f"Resource '{resource.urn}' will be destroyed but was not specified in --target list.\n"
                    "Either include resource in --target list or pass --target-dependents to proceed.",
                    resource.urn,
                )
                self._steps.step_failed = True
                self._steps.stop()
        if self._steps.failed.is_set():
            raise StoppedError

    async def _run_waves(self, doomed: list[ResourceState], later: set[int]) -> None:
        waiting = list(doomed)
        while waiting:
            needed = {urn for resource in waiting for urn in resource.all_dependencies()}
            wave = [resource for resource in waiting if resource.urn not in needed]
            # Two states of one URN (old and pending) may block each other: then the last one recorded goes first.
            wave = wave or waiting[-1:]
            results = await asyncio.gather(*(self._dispose(each, later) for each in wave), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            done = {id(resource) for resource in wave}
            waiting = [resource for resource in waiting if id(resource) not in done]

    async def _dispose(self, resource: ResourceState, later: set[int]) -> None:
        replaced = resource.delete or id(resource) in later
        if resource.pending_replacement and not replaced:
            await self._delete(resource, Step("remove-pending-replace", resource, None, logical=False), gone=True)
            return
        operation = "delete-replaced" if replaced else "delete"
        if resource.external:
            operation = "discard-replaced" if replaced else "discard"
        await self._delete(resource, Step(operation, resource, None, logical=not replaced))

    async def _delete(self, resource: ResourceState, step: Step, *, pending: bool = False, gone: bool = False) -> None:
        provider: Provider | None = None
        untouched = gone or resource.external or resource.retain_on_delete
        goes_with = resource.deleted_with in self.deleted
        if resource.provider and not untouched and not goes_with:
            provider = await self._provider_of(resource)
        await self._steps.delete(provider, resource, step=step, pending_replacement=pending)
