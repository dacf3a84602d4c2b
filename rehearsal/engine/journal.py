"""The state of a stack while an update runs: every step changes it here, and every change is written at once.

What cannot be written (a full disk) is kept here: no operation begins without its record, and the end tries again.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields

from rehearsal.engine.errors import CommandError
from rehearsal.engine.state import Operation, ResourceState, Snapshot

_NOT_COMPARED = {"created", "modified", "source_position"}


class Journal:
    """Resources that the update has dealt with so far, before those that it has not come to yet."""

    def __init__(self, base: Snapshot, write: Callable[[Snapshot], None]) -> None:
        self._write = write
        self._base = list(base.resources)
        self._done: list[ResourceState] = []
        self._dropped: set[int] = set()
        self._pending: list[Operation] = [op for op in base.pending if op.kind == "creating"]
        self._renamed: dict[str, str] = {}

    def begin(self, kind: str, resource: ResourceState) -> Operation:
        """Record that an operation is under way: creating, updating, deleting or reading.

        Raises:
            CommandError: the record cannot be written; then the operation must not begin.
        """
        operation = Operation(resource.copy(), kind)
        self._pending.append(operation)
        try:
            self.commit()
        except CommandError:
            self._pending.remove(operation)
            raise
        return operation

    def end(
        self,
        operation: Operation | None,
        *,
        old: ResourceState | None = None,
        new: ResourceState | None = None,
    ) -> None:
        """Record what an operation left: `new` takes the place of `old`; only an old one was deleted."""
        if operation is not None:
            self._pending.remove(operation)
        changed = operation is not None
        if old is not None:
            self._dropped.add(id(old))
            if new is not None and new.urn != old.urn:
                self._renamed[old.urn] = new.urn
        if new is not None and all(known is not new for known in self._done):
            self._done.append(new)
            changed = changed or old is None or not _same_record(old, new)
        if changed or new is None:
            self.save()

    def abandon(self, operation: Operation) -> None:
        """Record that an operation failed without a trace."""
        self._pending.remove(operation)
        self.save()

    def is_pending(self, operation: Operation) -> bool:
        """Tell whether an operation has not ended yet."""
        return operation in self._pending

    def forget_pending(self) -> None:
        """Drop the operations that an earlier update left unfinished."""
        self._pending.clear()

    def snapshot(self) -> Snapshot:
        """All resources as they are now, dependencies first."""
        rest = [resource for resource in self._base if id(resource) not in self._dropped]
        alive = [resource for resource in self._done if id(resource) not in self._dropped]
        resources = [_renamed(resource, self._renamed) for resource in alive + rest]
        return Snapshot(resources, list(self._pending))

    def save(self) -> None:
        """Write the state if that is possible now."""
        with suppress(CommandError):
            self.commit()

    def commit(self) -> None:
        """Write the state; raises CommandError when that fails."""
        self._write(self.snapshot())


def _same_record(old: ResourceState, new: ResourceState) -> bool:
    return all(
        getattr(old, field.name) == getattr(new, field.name)
        for field in fields(ResourceState)
        if field.name not in _NOT_COMPARED
    )


def _renamed(resource: ResourceState, renamed: dict[str, str]) -> ResourceState:
    """Follow resources that were found under an alias: whoever refers to them must use their new names."""
    if not renamed:
        return resource

    def name(urn: str) -> str:
        return renamed.get(urn, urn)

    resource = resource.copy()
    resource.parent = name(resource.parent)
    resource.deleted_with = name(resource.deleted_with)
    resource.dependencies = [name(urn) for urn in resource.dependencies]
    resource.property_dependencies = {
        key: [name(urn) for urn in urns] for key, urns in resource.property_dependencies.items()
    }
    if resource.provider:
        urn, _, identity = resource.provider.rpartition("::")
        resource.provider = f"{name(urn)}::{identity}"
    return resource
