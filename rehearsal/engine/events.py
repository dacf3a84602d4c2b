"""Engine events: the JSON that the automation API receives, the event log and the display all see."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rehearsal.engine.errors import not_supported
from rehearsal.engine.provider import Diff
from rehearsal.engine.state import ResourceState
from rehearsal.engine.values import Properties, blind

Event = dict[str, Any]
Sink = Callable[[Event], None]


def describe(resource: ResourceState) -> dict[str, Any]:
    """One resource as events carry it; secrets are blinded."""
    described: dict[str, Any] = {
        "type": resource.type,
        "urn": resource.urn,
        "id": resource.id,
        "parent": resource.parent,
        "inputs": _blind_all(resource.inputs),
        "outputs": _blind_all(resource.outputs),
        "provider": resource.provider,
    }
    flags = {
        "custom": resource.custom,
        "delete": resource.delete,
        "protect": resource.protect,
        "external": resource.external,
        "retainOnDelete": resource.retain_on_delete,
        "initErrors": resource.init_errors,
    }
    described.update({key: value for key, value in flags.items() if value})
    return described


def _blind_all(properties: Properties) -> dict[str, Any]:
    return {key: blind(value) for key, value in sorted(properties.items())}


def step_metadata(
    operation: str, old: ResourceState | None, new: ResourceState | None, diff: Diff | None, *, logical: bool
) -> dict[str, Any]:
    """What a step does, as events carry it."""
    subject = new or old
    assert subject is not None
    diff = diff or Diff()
    metadata: dict[str, Any] = {
        "op": operation,
        "urn": subject.urn,
        "type": subject.type,
        "old": describe(old) if old else None,
        "new": describe(new) if new else None,
        "provider": subject.provider,
    }
    if logical:
        metadata["logical"] = True
    if diff.replace_keys:
        metadata["keys"] = diff.replace_keys
    if diff.changed_keys:
        metadata["diffs"] = diff.changed_keys
    details = {
        path: {"diffKind": kind, "inputDiff": diff.detailed_is_of_inputs} for path, kind in diff.detailed.items()
    }
    metadata["detailedDiff"] = details or None
    return metadata


class EventStream:
    """Numbers events and hands them to every listener; `internal` ones (see Step) go to logs only."""

    def __init__(self) -> None:
        self._sinks: list[Sink] = []
        self._logs: list[Sink] = []
        self._closers: list[Callable[[], None]] = []
        self._sequence = 0
        self.has_errors = False

    def listen(self, sink: Sink) -> None:
        """Add a listener for what people are shown."""
        self._sinks.append(sink)

    def log_to(self, target: str) -> None:
        """Send events to a file, or to a gRPC server at `tcp://host:port`."""
        if target.startswith("tcp://"):
            stream = _RemoteLog(target.removeprefix("tcp://"))
            self._logs.append(stream.send)
            self._closers.append(stream.close)
        elif "://" in target:
            raise not_supported(f"the event log {target}")
        else:
            log = _FileLog(Path(target))
            self._logs.append(log.write)
            self._closers.append(log.close)

    def emit(self, kind: str, content: Mapping[str, Any], *, internal: bool = False) -> None:
        """Send one event."""
        event: Event = {"sequence": self._sequence, "timestamp": int(time.time()), kind: dict(content)}
        self._sequence += 1
        for sink in [*self._logs, *([] if internal else self._sinks)]:
            sink(event)

    def diagnostic(
        self, severity: str, message: str, urn: str = "", *, ephemeral: bool = False, logged: bool = False
    ) -> None:
        """Report a message: severity is debug, info, info#err, warning or error.

        An error fails the update, unless it was but `logged` by the program or a plugin.
        """
        if severity == "error" and not logged:
            self.has_errors = True
        content: dict[str, Any] = {"message": message + "\n", "color": "never", "severity": severity}
        if severity in ("error", "warning", "debug"):
            content["prefix"] = f"{severity}: "
        if urn:
            content["urn"] = urn
        if ephemeral:
            content["ephemeral"] = True
        self.emit("diagnosticEvent", content)

    def close(self) -> None:
        """Flush and close the listeners."""
        for close in self._closers:
            close()


class _FileLog:
    """Appends events to a file; when that fails it says so once, and the update goes on without."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._failed = False

    def write(self, event: Event) -> None:
        if self._failed:
            return
        try:
            self._file.write(json.dumps(event).encode() + b"\n")
        except OSError as error:
            self._failed = True
            print(f"warning: cannot write the event log {self._path}: {error.strerror}", file=sys.stderr, flush=True)

    def close(self) -> None:
        self._file.close()


class _RemoteLog:
    """Streams events to the automation API's server."""

    def __init__(self, address: str) -> None:
        import queue

        import grpc

        from rehearsal.engine.protocol import CHANNEL_OPTIONS, events_pb2, events_pb2_grpc

        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._request: Any = events_pb2.EventRequest
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        stub: Any = events_pb2_grpc.EventsStub(self._channel)
        self._call = stub.StreamEvents.future(iter(self._queue.get, None))

    def send(self, event: Event) -> None:
        self._queue.put(self._request(event=json.dumps(event)))

    def close(self) -> None:
        self._queue.put(None)
        self._call.result(timeout=30)
        self._channel.close()
