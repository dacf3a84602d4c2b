"""The plugin `pulumi-resource-test`: resources are files in the folder TEST_CLOUD, every call is logged there.

`test:index:Thing` takes any properties. `size` is changed in place, `name` needs a replacement, `slot` one that deletes
first. `fail` names an operation that fails, `slow` holds create and update up for some seconds, `unready` makes a
create end half-way; what has become `sick` in the folder is read as not ready. Outputs are the inputs, a `serial`
number and `token`, which is as secret as `password` is.

A FIFO `hold-<point>-<resource name>` in TEST_CLOUD stops a call for ever: `create`, `update`, `delete` and `read`
before they take effect, `created`, `updated` and `deleted` after it. Its reader is told this process's id.
"""

# ruff: noqa: N802, ARG002 (a servicer carries the protocol's method names and arguments)

import itertools
import json
import os
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2, empty_pb2
from rehearsal.engine.protocol import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2
from rehearsal.engine.values import from_struct, reveal, to_struct

CLOUD = Path(os.environ["TEST_CLOUD"])
REPLACING = {"name": False, "slot": True}
"""Properties whose change needs a replacement, and whether the old one must go first."""

_log_lock = threading.Lock()


def log(operation: str, urn: str, **details: Any) -> None:
    """Add a line to the log of calls."""
    with _log_lock, (CLOUD / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"op": operation, "name": urn.rsplit("::", 1)[-1], **details}) + "\n")


def hold(point: str, urn: str) -> None:
    """Stop here for ever if a test waits for it."""
    pipe = CLOUD / f"hold-{point}-{urn.rsplit('::', 1)[-1]}"
    if pipe.is_fifo():
        pipe.write_text(f"{os.getpid()}\n", encoding="utf-8")
        threading.Event().wait()


class TestProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Implements the calls that engines make."""

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=False)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="1.0.0")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        olds, news = from_struct(request.old_inputs), from_struct(request.news)
        changed = sorted(key for key in {*olds, *news} - {"note"} if olds.get(key) != news.get(key))
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=["account"] if "account" in changed else [],
        )

    def Configure(self, request: Any, context: Any) -> Any:
        log("configure", "", variables=dict(request.variables))
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, acceptResources=False, supportsPreview=True, acceptOutputs=False
        )

    def Check(self, request: Any, context: Any) -> Any:
        inputs = from_struct(request.news)
        if inputs.get("size") == -1:
            failure = provider_pb2.CheckFailure(property="size", reason="must not be negative")
            return provider_pb2.CheckResponse(inputs=request.news, failures=[failure])
        inputs.setdefault("grade", "standard")
        return provider_pb2.CheckResponse(inputs=to_struct(inputs))

    def Diff(self, request: Any, context: Any) -> Any:
        olds, news = from_struct(request.old_inputs), from_struct(request.news)
        changed = sorted(key for key in {*olds, *news} if olds.get(key) != news.get(key))
        detailed: dict[str, Any] = {}
        kinds = provider_pb2.PropertyDiff
        for key in changed:
            kind = "ADD" if key not in olds else "DELETE" if key not in news else "UPDATE"
            kind += "_REPLACE" if key in REPLACING else ""
            detailed[key] = provider_pb2.PropertyDiff(kind=kinds.Kind.Value(kind))
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            replaces=[key for key in changed if key in REPLACING],
            deleteBeforeReplace=any(REPLACING.get(key, False) for key in changed),
            diffs=changed,
            detailedDiff=detailed,
            hasDetailedDiff=bool(detailed),
        )

    def Create(self, request: Any, context: Any) -> Any:
        inputs = from_struct(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        log("create", request.urn, timeout=request.timeout)
        hold("create", request.urn)
        self._act("create", inputs, context)
        identity = _new_identity(request.urn)
        outputs = self._store(identity, inputs, serial=1)
        hold("created", request.urn)
        if inputs.get("unready"):
            _abort_unready(context, identity, outputs)
        return provider_pb2.CreateResponse(id=identity, properties=to_struct(outputs))

    def Update(self, request: Any, context: Any) -> Any:
        inputs = from_struct(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=to_struct({**from_struct(request.olds), **inputs}))
        log("update", request.urn, timeout=request.timeout)
        hold("update", request.urn)
        self._act("update", inputs, context)
        serial = int(str(reveal(from_struct(request.olds).get("serial", 0)))) + 1
        outputs = self._store(request.id, inputs, serial=serial)
        hold("updated", request.urn)
        return provider_pb2.UpdateResponse(properties=to_struct(outputs))

    def Delete(self, request: Any, context: Any) -> Any:
        log("delete", request.urn)
        hold("delete", request.urn)
        self._act("delete", from_struct(request.old_inputs), context)
        (CLOUD / f"{request.id}.json").unlink(missing_ok=True)
        hold("deleted", request.urn)
        return empty_pb2.Empty()

    def Read(self, request: Any, context: Any) -> Any:
        hold("read", request.urn)
        path = CLOUD / f"{request.id}.json"
        self._act("read", from_struct(request.inputs), context)
        if not path.exists():
            return provider_pb2.ReadResponse()
        stored = json.loads(path.read_text(encoding="utf-8"))
        inputs = {key: value for key, value in stored.items() if key not in ("serial", "token")}
        if stored.get("sick"):
            _abort_unready(context, request.id, stored, inputs)
        return provider_pb2.ReadResponse(id=request.id, properties=to_struct(stored), inputs=to_struct(inputs))

    def Invoke(self, request: Any, context: Any) -> Any:
        arguments = from_struct(request.args)
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(to_struct({"doubled": int(str(arguments["number"])) * 2}))
        return response

    def Cancel(self, request: Any, context: Any) -> Any:
        (CLOUD / "cancelled").touch()
        return empty_pb2.Empty()

    def _act(self, operation: str, inputs: dict[str, Any], context: Any) -> None:
        if operation in ("create", "update"):
            time.sleep(float(inputs.get("slow", 0)))
        if inputs.get("fail") == operation:
            context.abort(grpc.StatusCode.UNKNOWN, f"the cloud refuses to {operation} this")

    def _store(self, identity: str, inputs: dict[str, Any], *, serial: int) -> dict[str, Any]:
        outputs = {**inputs, "serial": serial, "token": inputs.get("password", "none")}
        (CLOUD / f"{identity}.json").write_text(json.dumps(reveal(outputs)), encoding="utf-8")
        return outputs


def _new_identity(urn: str) -> str:
    """The resource's name and how often the cloud has created one of that name."""
    name = urn.rsplit("::", 1)[-1]
    for number in itertools.count(1):
        try:
            (CLOUD / f"{name}-{number}.taken").touch(exist_ok=False)
        except FileExistsError:
            continue
        return f"{name}-{number}"
    raise AssertionError


def _abort_unready(context: Any, identity: str, outputs: dict[str, Any], inputs: dict[str, Any] | None = None) -> None:
    detail = any_pb2.Any()
    reason = "it never became ready" if inputs is None else "it has become sick"
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=identity, properties=to_struct(outputs), reasons=[reason], inputs=to_struct(inputs or {})
        )
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message="resource failed to initialize")
    status.details.append(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, "resource failed to initialize")


def serve(provider: TestProvider) -> None:
    """Serve until the engine ends the process."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(TestProvider())
