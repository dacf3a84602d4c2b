"""Resource hooks: functions in the program that the engine calls around a resource's operations."""

from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from rehearsal.engine.events import EventStream
from rehearsal.engine.protocol import CHANNEL_OPTIONS, callback_pb2, callback_pb2_grpc, resource_pb2
from rehearsal.engine.state import ResourceState
from rehearsal.engine.urns import name_of
from rehearsal.engine.values import to_struct


class HookError(Exception):
    """A hook failed, and with it the operation that it guards."""


class AftermathError(HookError):
    """A hook failed after its operation had succeeded."""


@dataclass(frozen=True)
class _Hook:
    target: str
    token: str
    on_dry_run: bool
    ignore_errors: bool


class Hooks:
    """The hooks that the program has registered."""

    def __init__(self, events: EventStream, *, dry_run: bool) -> None:
        self._events = events
        self._dry_run = dry_run
        self._hooks: dict[str, _Hook] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}

    def register(self, request: Any) -> None:
        """Remember a hook; a name may be used once."""
        if request.name in self._hooks:
            raise ValueError(f'resource hook already registered for name "{request.name}"')
        self._hooks[request.name] = _Hook(
            request.callback.target, request.callback.token, request.on_dry_run, request.ignore_errors
        )

    async def run(self, kind: str, old: ResourceState | None, new: ResourceState | None) -> None:
        """Call the hooks of a kind such as `BeforeUpdate` that are bound to a resource."""
        subject = new or old
        assert subject is not None
        for name in subject.resource_hooks.get(kind, []):
            hook = self._hooks.get(name)
            if hook is None:
                raise HookError(f'hook "{name}" was not registered')
            if self._dry_run and not hook.on_dry_run:
                continue
            error = await self._call(hook, kind, old, new, subject)
            if error and hook.ignore_errors:
                self._events.diagnostic("warning", f'{kind} hook "{name}" failed: {error}', subject.urn)
            elif error:
                if kind.startswith("Before"):
                    raise HookError(f'before hook "{name}" failed: {error}')
                raise AftermathError(f'after hook "{name}" failed: {error}')

    async def _call(
        self, hook: _Hook, kind: str, old: ResourceState | None, new: ResourceState | None, subject: ResourceState
    ) -> str:
        if hook.target not in self._channels:
            self._channels[hook.target] = grpc.aio.insecure_channel(hook.target, options=CHANNEL_OPTIONS)
        stub: Any = callback_pb2_grpc.CallbacksStub(self._channels[hook.target])
        request = resource_pb2.ResourceHookRequest(
            urn=subject.urn,
            id=subject.id or (old.id if old else ""),
            name=name_of(subject.urn),
            type=subject.type,
        )
        if new is not None:
            request.new_inputs.CopyFrom(to_struct(new.inputs))
            if kind.startswith("After"):
                request.new_outputs.CopyFrom(to_struct(new.outputs))
        if old is not None:
            request.old_inputs.CopyFrom(to_struct(old.inputs))
            request.old_outputs.CopyFrom(to_struct(old.outputs))
        try:
            answer = await stub.Invoke(
                callback_pb2.CallbackInvokeRequest(token=hook.token, request=request.SerializeToString())
            )
        except grpc.aio.AioRpcError as error:
            return error.details() or str(error.code())
        return resource_pb2.ResourceHookResponse.FromString(answer.response).error

    async def close(self) -> None:
        """Close the connections to the program."""
        for channel in self._channels.values():
            await channel.close()
