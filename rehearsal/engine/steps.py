"""The steps of an update: each runs one operation on one resource, with its events and its record in the state."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from rehearsal.engine.errors import CommandError
from rehearsal.engine.events import EventStream, step_metadata
from rehearsal.engine.hooks import AftermathError, HookError, Hooks
from rehearsal.engine.journal import Journal
from rehearsal.engine.provider import Diff, InitError, Provider, ProviderError
from rehearsal.engine.state import Operation, ResourceState, now
from rehearsal.engine.urns import is_provider, name_of
from rehearsal.engine.values import mark_secret_outputs

_PROTECTED = (
    'resource "{0}" cannot be deleted\nbecause it is protected. To unprotect the resource, either remove the `protect` '
    "flag from the resource in your Pulumi program and run `pulumi up`, or use the command:\n"
    "`pulumi state unprotect '{0}'`"
)


class StoppedError(Exception):
    """The update has failed or was cancelled: no further step starts."""


@dataclass
class Step:
    """One operation as events and summary show it. `logical` steps are counted in the summary."""

    operation: str
    old: ResourceState | None
    new: ResourceState | None
    diff: Diff | None = None
    logical: bool = True

    @property
    def subject(self) -> ResourceState:
        """The resource that the step is about."""
        subject = self.new or self.old
        assert subject is not None
        return subject

    @property
    def counts(self) -> bool:
        """Whether the summary counts the step: a read is a change only when it finds something else than before."""
        if self.operation == "read":
            return self.old is not None and self.new is not None and self.old.outputs != self.new.outputs
        return self.logical

    @property
    def internal(self) -> bool:
        """Whether people need not see the step: default providers, and records that only get tidied up."""
        urn = self.subject.urn
        if self.operation == "remove-pending-replace":
            return True
        return is_provider(self.subject.type) and name_of(urn).split("_")[0] == "default"


class Steps:
    """Runs steps, a limited number at a time, until one fails."""

    def __init__(self, journal: Journal, events: EventStream, hooks: Hooks, *, dry_run: bool, parallel: int) -> None:
        self.journal = journal
        self.hooks = hooks
        self.events = events
        self.dry_run = dry_run
        self.counts: Counter[str] = Counter()
        self.failed = asyncio.Event()
        self.step_failed = False
        self.maybe_corrupt = False
        self.registered: dict[str, Step] = {}
        self._slots = asyncio.Semaphore(parallel)
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def stop(self) -> None:
        """Let running steps end and start no other."""
        self.failed.set()

    async def idle(self) -> None:
        """Wait until no step runs."""
        await self._idle.wait()

    # -- operations

    async def same(self, old: ResourceState, new: ResourceState) -> None:
        """Keep a resource as it is."""

        async def act(_: Operation | None) -> None:
            new.id = old.id
            new.outputs = old.outputs
            new.init_errors = old.init_errors
            new.created, new.modified = old.created, old.modified
            self.journal.end(None, old=old, new=new)

        await self._run(Step("same", old, new), None, act)

    async def keep(self, old: ResourceState) -> ResourceState:
        """Leave a resource that is not targeted as it is recorded; returns its new state."""
        new = old.copy()
        new.id = ""
        await self.same(old, new)
        return new

    async def create(
        self, provider: Provider | None, new: ResourceState, *, step: Step, replaced: ResourceState | None = None
    ) -> None:
        """Create a resource. `replaced` is an old one that stays until the end of the update."""

        async def act(operation: Operation | None) -> None:
            await self.hooks.run("BeforeCreate", None, new)
            failure: InitError | HookError | None = None
            if provider is not None:
                timeout = new.custom_timeouts.get("create", 0.0)
                try:
                    new.id, new.outputs = await provider.create(new.urn, new.inputs, timeout, preview=self.dry_run)
                except InitError as error:
                    failure = error
                    new.id, new.outputs, new.init_errors = error.identity, error.outputs, error.reasons
            new.outputs = mark_secret_outputs(new.outputs, {}, new.additional_secret_outputs)
            new.created = new.modified = now()
            failure = failure or await self._after("AfterCreate", None, new)
            if replaced is not None:
                replaced.delete = True
            # A resource that had to go before its successor came is recorded as pending until now.
            gone = step.old if step.old is not None and replaced is None else None
            self.journal.end(operation, old=gone, new=new)
            if failure is not None:
                raise failure

        await self._run(step, "creating" if new.custom else None, act)

    async def update(self, provider: Provider | None, old: ResourceState, new: ResourceState, diff: Diff) -> None:
        """Change a resource in place."""

        async def act(operation: Operation | None) -> None:
            new.id, new.created, new.modified = old.id, old.created, old.modified
            await self.hooks.run("BeforeUpdate", old, new)
            failure: InitError | HookError | None = None
            if provider is None:
                new.outputs = old.outputs
            else:
                try:
                    new.outputs = await provider.update(
                        new.urn,
                        old.id,
                        old.inputs,
                        old.outputs,
                        new.inputs,
                        new.custom_timeouts.get("update", 0.0),
                        new.ignore_changes,
                        preview=self.dry_run,
                    )
                except InitError as error:
                    failure = error
                    new.outputs, new.init_errors = error.outputs, error.reasons
                    new.inputs = error.inputs or new.inputs
            new.outputs = mark_secret_outputs(new.outputs, {}, new.additional_secret_outputs)
            new.modified = now()
            failure = failure or await self._after("AfterUpdate", old, new)
            self.journal.end(operation, old=old, new=new)
            if failure is not None:
                raise failure

        await self._run(Step("update", old, new, diff), "updating" if new.custom else None, act)

    async def configure(
        self, provider: Provider, old: ResourceState | None, new: ResourceState, identity: str, *, step: Step
    ) -> None:
        """Create or change a provider resource: its plugin is configured, nothing else happens."""

        async def act(operation: Operation | None) -> None:
            new.id = identity
            if step.operation == "create-replacement" and step.old is not None:
                step.old.delete = True
            # What its plugin calls the same stays as it was, also where the inputs differ.
            kept = old.inputs if old is not None and step.operation == "same" else new.inputs
            new.outputs = {key: value for key, value in kept.items() if key != "__internal"}
            if not provider.configured:
                await provider.configure(new.urn, new.id, kept)
            if step.operation != "same":
                new.modified = now()
                new.created = old.created if old is not None and old.created else new.modified
            self.journal.end(operation, old=old, new=new)

        kind = {"create": "creating", "update": "updating"}.get(step.operation)
        await self._run(step, kind, act)

    async def delete(
        self, provider: Provider | None, old: ResourceState, *, step: Step, pending_replacement: bool = False
    ) -> None:
        """Delete a resource, or only forget it when it is retained, external or goes with another one."""

        async def act(operation: Operation | None) -> None:
            await self.hooks.run("BeforeDelete", old, None)
            if old.protect and step.operation == "delete":
                raise ProviderError(_PROTECTED.format(old.urn))
            if provider is not None and not self.dry_run:
                timeout = old.custom_timeouts.get("delete", 0.0)
                await provider.delete(old.urn, old.id, old.inputs, old.outputs, timeout)
            failure = await self._after("AfterDelete", old, None)
            if pending_replacement:
                old.pending_replacement = True
                if operation is not None:
                    self.journal.abandon(operation)
            else:
                self.journal.end(operation, old=old)
            if failure is not None:
                raise failure

        await self._run(step, "deleting" if old.custom else None, act)

    async def read(self, provider: Provider, old: ResourceState | None, new: ResourceState) -> None:
        """Read a resource that is managed elsewhere."""

        async def act(operation: Operation | None) -> None:
            identity, inputs, outputs = await provider.read(new.urn, new.id, new.inputs, new.inputs)
            if not identity:
                raise ProviderError(f"resource '{new.id}' does not exist")
            new.id = identity
            new.outputs = mark_secret_outputs(outputs, {}, new.additional_secret_outputs)
            if old is not None:
                new.created, new.modified = old.created, old.modified
                # The inputs of a resource that is managed elsewhere are not recorded, so they always differ.
                if (inputs, outputs) != (old.inputs, old.outputs):
                    new.modified = now()
            self.journal.end(operation, old=old, new=new)

        await self._run(Step("read", old, new), "reading", act)

    async def refresh(self, provider: Provider | None, resource: ResourceState, *, reported: bool) -> bool:
        """Read a recorded resource and adopt what it is now; False when it is gone.

        Components and providers have nothing to read. What was found is counted if it is to be `reported`.
        """
        before = resource.copy()
        step = Step("refresh", before, resource, logical=False)

        async def act(_: Operation | None) -> None:
            result = "same"
            if provider is not None:
                result = await self._read_again(provider, before, resource, step)
            if result == "delete":
                self.journal.end(None, old=resource)
                step.new = None
            if reported:
                step.operation = result

        await self._run(step, None, act)
        if reported and not step.internal:
            self.counts[step.operation] += 1
        return step.new is not None

    async def _read_again(self, provider: Provider, before: ResourceState, resource: ResourceState, step: Step) -> str:
        """Read a resource; returns what has happened to it meanwhile: same, update or delete."""
        problems: list[str] = []
        try:
            identity, inputs, outputs = await provider.read(
                resource.urn, resource.id, resource.inputs, resource.outputs
            )
        except InitError as error:
            # A resource that has become unhealthy is no reason to fail: the next update sees to it.
            problems = error.reasons
            identity, inputs, outputs = error.identity, error.inputs or resource.inputs, error.outputs
            text = "Refreshed resource is in an unhealthy state:\n* " + "\n* ".join(problems)
            self.events.diagnostic("warning", text, resource.urn)
        if not identity:
            return "delete"
        resource.id, resource.inputs, resource.init_errors = identity, inputs, problems
        resource.outputs = mark_secret_outputs(outputs, {}, resource.additional_secret_outputs)
        if (before.inputs, before.outputs) != (resource.inputs, resource.outputs):
            resource.modified = now()
        if resource.external:
            return "same" if before.outputs == resource.outputs else "update"
        # What an update would change back, seen from the other side.
        diff = await provider.diff(
            resource.urn, resource.id, resource.inputs, resource.outputs, before.inputs, resource.ignore_changes
        )
        step.diff = diff.settled(resource.inputs, before.inputs).inverted()
        return "update" if step.diff.changed else "same"

    def announce(self, step: Step) -> None:
        """Show a step that has no operation of its own, such as the visible half of a replacement."""
        self._emit("resourcePreEvent", step)
        if step.logical:
            self.counts[step.operation] += 1
        self._emit("resOutputsEvent", step)

    async def _after(self, kind: str, old: ResourceState | None, new: ResourceState | None) -> HookError | None:
        """Run the hooks after an operation; what it did is recorded even when they fail."""
        try:
            await self.hooks.run(kind, old, new)
        except HookError as error:
            return error
        return None

    # -- running

    async def _run(self, step: Step, kind: str | None, act: Callable[[Operation | None], Awaitable[None]]) -> None:
        async with self._slots:
            if self.failed.is_set():
                raise StoppedError
            self._running += 1
            self._idle.clear()
            operation: Operation | None = None
            # A component is complete when the program registers its outputs; a refresh does not run the program.
            complete = self.dry_run or step.subject.custom or step.operation in ("delete", "refresh")
            try:
                self._emit("resourcePreEvent", step)
                if kind is not None and not self.dry_run:
                    operation = self.journal.begin(kind, step.subject)
                await act(operation)
            except AftermathError as error:
                # The operation itself has succeeded.
                self._succeed(step, shown=complete)
                self._report(step, str(error))
                raise StoppedError from error
            except (ProviderError, HookError, CommandError) as error:
                if operation is not None and self.journal.is_pending(operation):
                    self.journal.abandon(operation)
                self._fail(step, str(error), getattr(error, "status", 0))
                raise StoppedError from error
            finally:
                self._running -= 1
                if self._running == 0:
                    self._idle.set()
        self._succeed(step, shown=complete)

    def _succeed(self, step: Step, *, shown: bool) -> None:
        if step.counts and not step.internal:
            self.counts[step.operation] += 1
        self.registered[step.subject.urn] = step
        if shown:
            self._emit("resOutputsEvent", step)

    def outputs_registered(self, resource: ResourceState) -> None:
        """Show the outputs that the program registered for a component or the stack."""
        self.journal.end(None, new=resource)
        if not self.dry_run:
            self.journal.save()
        step = self.registered.get(resource.urn)
        if step is not None:
            self._emit("resOutputsEvent", step)

    def _fail(self, step: Step, message: str, status: int) -> None:
        self._report(step, message)
        if not self.dry_run:
            metadata = step_metadata(step.operation, step.old, step.new, step.diff, logical=step.logical)
            # A plugin that failed to create a resource has left none.
            status = 0 if step.operation.startswith("create") and status == 2 else status
            self.maybe_corrupt = self.maybe_corrupt or status == 2
            content = {"metadata": metadata, "status": status, "steps": sum(self.counts.values())}
            self.events.emit("resOpFailedEvent", content)

    def _report(self, step: Step, message: str) -> None:
        prefix = "Preview failed: " if self.dry_run else ""
        self.events.diagnostic("error", prefix + message, "" if step.internal else step.subject.urn)
        self.step_failed = True
        self.failed.set()

    def _emit(self, kind: str, step: Step) -> None:
        content: dict[str, Any] = {
            "metadata": step_metadata(step.operation, step.old, step.new, step.diff, logical=step.logical)
        }
        if self.dry_run:
            content["planning"] = True
        self.events.emit(kind, content, internal=step.internal)
