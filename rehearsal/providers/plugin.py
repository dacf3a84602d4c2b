"""A Pulumi resource plugin: the gRPC service that the engine calls, around a provider.

This uses the raw service, not ``pulumi.provider.experimental``. As of SDK 3.272 the latter passes the old state but not
the old inputs, and sends every error as a stack trace. It cannot pass on unknown values, report a resource that exists
but did not become ready, or log to the engine. It also loads the whole SDK (see protocol.py).
"""

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct

from rehearsal.providers.difference import PLAIN_NAME, Change, Diff, render
from rehearsal.providers.protocol import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)
from rehearsal.providers.provider import Checked, NotReadyError, Provider, ProviderError, Resource
from rehearsal.providers.values import from_struct, to_struct

MESSAGE_LIMIT_BYTES = 400 * 1024 * 1024
"""The size that Pulumi's engine allows for one message."""


@dataclass(frozen=True)
class _Status(grpc.Status):
    code: grpc.StatusCode
    details: str
    trailing_metadata: Any


class _EngineLog:
    """Sends messages to the engine, or to standard error without an engine."""

    def __init__(self, address: str) -> None:
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address)) if address else None

    def __call__(self, level: Literal["info", "warning"], message: str, urn: str) -> None:
        severity = engine_pb2.LogSeverity.Value(level.upper())
        try:
            if self._stub is not None:
                self._stub.Log(engine_pb2.LogRequest(severity=severity, message=message, urn=urn), timeout=5)
                return
        except grpc.RpcError:
            pass
        print(f"{level}: {message}", file=sys.stderr)


def _state_like(inputs: Struct) -> Struct:
    """Return the inputs' secrets in the shape of a state. The Kubernetes provider keeps a copy of the inputs in it."""
    like = Struct()
    like.CopyFrom(inputs)
    like.fields["__inputs"].struct_value.CopyFrom(inputs)
    return like


def _abort_not_ready(context: grpc.ServicerContext, error: NotReadyError, inputs: Struct) -> NoReturn:
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
    state = to_struct(error.state, _state_like(inputs))
    known = inputs if error.inputs is None else to_struct(error.inputs, inputs)
    status.details.add().Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=error.resource_id, properties=state, reasons=error.reasons, inputs=known
        )
    )
    metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    context.abort_with_status(_Status(grpc.StatusCode.UNKNOWN, str(error), metadata))
    raise AssertionError("abort never returns")


@contextmanager
def _errors_as_status(context: grpc.ServicerContext, inputs: Struct | None = None) -> Generator[None]:
    try:
        yield
    except NotReadyError as error:
        _abort_not_ready(context, error, Struct() if inputs is None else inputs)
    except ProviderError as error:
        context.abort(grpc.StatusCode.UNKNOWN, str(error))
    except Exception as error:
        traceback.print_exc()
        context.abort(grpc.StatusCode.INTERNAL, f"internal error of the provider: {type(error).__name__}: {error}")


def _check_response(checked: Checked, like: Struct) -> Any:
    return provider_pb2.CheckResponse(
        inputs=to_struct(checked.inputs, like),
        failures=[provider_pb2.CheckFailure(property=f.property, reason=f.reason) for f in checked.failures],
    )


def _property_diff(change: Change) -> Any:
    kind = f"{change.kind.upper()}_REPLACE" if change.replaces else change.kind.upper()
    return provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(kind), inputDiff=change.of_inputs)


def _diff_response(diff: Diff, plain_name: re.Pattern[str] = PLAIN_NAME) -> Any:
    paths = {render(change.path, plain_name): change for change in diff.changes}
    kinds = provider_pb2.DiffResponse
    return provider_pb2.DiffResponse(
        changes=kinds.DIFF_SOME if paths else kinds.DIFF_NONE,
        replaces=[path for path, change in paths.items() if change.replaces],
        diffs=sorted({str(change.path[0]) for change in diff.changes}),
        detailedDiff={path: _property_diff(change) for path, change in paths.items()},
        hasDetailedDiff=True,
        deleteBeforeReplace=diff.delete_before_replace,
    )


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Serves a provider over gRPC. Methods that it does not define answer "unimplemented"."""

    def __init__(self, provider: Provider, engine_address: str = "") -> None:
        self._provider = provider
        provider.log = _EngineLog(engine_address)

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._provider.log = _EngineLog(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Empty:
        self._provider.log = _EngineLog(request.address)
        return Empty()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=self._provider.version)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.GetSchemaResponse(schema="{}")

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Empty:
        self._provider.cancelled.set()
        return Empty()

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors_as_status(context):
            return _check_response(self._provider.check_config(from_struct(request.news)), request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        old, new = from_struct(request.old_inputs), from_struct(request.news)
        keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        changes = tuple(Change((key,), "update", replaces=False) for key in keys)
        return _diff_response(Diff(changes))

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors_as_status(context):
            self._provider.configure(from_struct(request.args))
            return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors_as_status(context):
            resource = Resource(request.urn)
            olds, news = from_struct(request.olds), from_struct(request.news)
            return _check_response(self._provider.check(resource, olds, news, request.randomSeed), request.news)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors_as_status(context):
            resource = Resource(request.urn, request.id)
            old_inputs, olds = from_struct(request.old_inputs), from_struct(request.olds)
            diff = self._provider.diff(resource, old_inputs, olds, from_struct(request.news))
            return _diff_response(diff, self._provider.plain_name)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors_as_status(context, request.properties):
            resource_id, state = self._provider.create(
                Resource(request.urn),
                from_struct(request.properties),
                preview=request.preview,
                timeout_seconds=request.timeout or None,
            )
            return provider_pb2.CreateResponse(
                id=resource_id, properties=to_struct(state, _state_like(request.properties))
            )

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors_as_status(context, request.inputs):
            resource = Resource(request.urn, request.id)
            found = self._provider.read(resource, from_struct(request.properties), from_struct(request.inputs))
            if found is None:
                return provider_pb2.ReadResponse()
            state, inputs = found
            return provider_pb2.ReadResponse(
                id=request.id,
                properties=to_struct(state, _state_like(request.inputs)),
                inputs=to_struct(inputs, request.inputs),
            )

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors_as_status(context, request.news):
            state = self._provider.update(
                Resource(request.urn, request.id, tuple(request.ignoreChanges)),
                from_struct(request.old_inputs),
                from_struct(request.olds),
                from_struct(request.news),
                preview=request.preview,
                timeout_seconds=request.timeout or None,
            )
            return provider_pb2.UpdateResponse(properties=to_struct(state, _state_like(request.news)))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _errors_as_status(context):
            self._provider.delete(
                Resource(request.urn, request.id),
                from_struct(request.properties),
                timeout_seconds=request.timeout or None,
            )
            return Empty()


def serve(provider: Provider) -> None:
    """Run as a resource plugin."""
    engine_address = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    servicer = Servicer(provider, engine_address)
    serve_until_the_end(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server),
        provider.cancelled.set,
    )


def serve_until_the_end(add_service: Callable[[grpc.Server], None], stop: Callable[[], None]) -> None:
    """Run as any kind of plugin: print the port for the engine, and serve until it ends or sends a signal.

    Args:
        add_service: adds the plugin's service to the server.
        stop: ends the plugin's open work.
    """
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stopped.set())
    limits = [("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(max_workers=64), options=limits)
    add_service(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # Read the parent before printing the port. If the engine ended right after reading the port, a later read would
    # return the adopting process, whose end may never come. If it ended before, its pipe for the port is closed.
    engine = os.getppid()
    print(port, flush=True)
    while os.getppid() == engine and not stopped.wait(1):
        pass
    stop()
    server.stop(grace=None).wait()
