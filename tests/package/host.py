"""Run the package's provider process as Pulumi's engine does, with a monitor that records its registrations."""

import json
import subprocess
import sys
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import (
    callback_pb2,
    callback_pb2_grpc,
    engine_pb2_grpc,
    provider_pb2,
    provider_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

ROOT = Path(__file__).parents[2]
TOKEN = "vllm-blue-green:index:BlueGreenService"
SECRET_MARK = "4dabf18193072939515e22adb298388d"
_SECRET = {SECRET_MARK: "1b47061264138c4ac30d75fd1eb44270"}
_OUTPUT = {SECRET_MARK: "d0e6a833031e9bbcd3f4e8bde6ca49a4"}


def secret(value: Any) -> dict[str, Any]:
    return {**_SECRET, "value": value}


def output(value: Any, urn: str) -> dict[str, Any]:
    """Another resource's output as the engine passes it; None is a value that is not known yet."""
    known = {} if value is None else {"value": value}
    return {**_OUTPUT, **known, "dependencies": [urn]}


@dataclass
class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Creates every resource at once, and records it."""

    resources: list[Any] = field(default_factory=list[Any])
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    hooks: dict[str, Any] = field(default_factory=dict[str, Any])

    def GetDeploymentInfo(self, request: Any, context: Any) -> Any:
        return resource_pb2.DeploymentInfo(supportedFeatures=resource_pb2.ResourceMonitorFeature.values())

    def RegisterResource(self, request: Any, context: Any) -> Any:
        self.resources.append(request)
        kind = request.type.rpartition(":")[2]
        state = struct_pb2.Struct()
        state.CopyFrom(request.object)
        state.update({"arn": f"arn:{kind}:{request.name}"})
        if kind == "LoadBalancer":
            state.update({"dnsName": f"{request.name}.elb.example"})
        if kind == "LaunchTemplate":
            state.update({"latestVersion": 3})
        parents = request.parent.split("::")[2] if request.parent else ""
        above = f"{parents}$" if parents and parents != "pulumi:pulumi:Stack" else ""
        urn = f"urn:pulumi:dev::elsewhere::{above}{request.type}::{request.name}"
        return resource_pb2.RegisterResourceResponse(urn=urn, id=f"id:{request.name}", object=state)

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:
        self.outputs[request.urn] = json_format.MessageToDict(request.outputs)
        return empty_pb2.Empty()

    def RegisterResourceHook(self, request: Any, context: Any) -> Any:
        if request.name in self.hooks:
            context.abort(grpc.StatusCode.UNKNOWN, f"hook {request.name} is registered already")
        self.hooks[request.name] = request
        return empty_pb2.Empty()

    def named(self, kind: str, name: str) -> Any:
        """The one resource of a kind and a name."""
        (found,) = (one for one in self.resources if one.type.rpartition(":")[2] == kind and one.name == name)
        return found

    def inputs(self, kind: str, name: str) -> Any:
        return json_format.MessageToDict(self.named(kind, name).object)


@dataclass
class Engine(engine_pb2_grpc.EngineServicer):
    """Keeps what the provider logs."""

    messages: list[str] = field(default_factory=list[str])

    def Log(self, request: Any, context: Any) -> Any:
        self.messages.append(request.message)
        return empty_pb2.Empty()


@dataclass
class Constructed:
    """What Construct answered, and the program's side of it."""

    urn: str
    state: dict[str, Any]
    dependencies: dict[str, set[str]]


@dataclass
class Package:
    """A running provider process and the monitor that its components register with."""

    stub: Any
    monitor: Monitor
    engine: Engine
    address: str

    def schema(self) -> dict[str, Any]:
        return json.loads(self.stub.GetSchema(provider_pb2.GetSchemaRequest(version=0)).schema)

    def construct(self, name: str, inputs: Mapping[str, Any], *, preview: bool = False) -> Constructed:
        """Make one BlueGreenService; raises grpc.RpcError with the refusal."""
        properties = struct_pb2.Struct()
        json_format.ParseDict(dict(inputs), properties)
        answer = self.stub.Construct(
            provider_pb2.ConstructRequest(
                project="elsewhere",
                stack="dev",
                organization="organization",
                dryRun=preview,
                parallel=4,
                monitorEndpoint=self.address,
                type=TOKEN,
                name=name,
                parent="urn:pulumi:dev::elsewhere::pulumi:pulumi:Stack::elsewhere-dev",
                inputs=properties,
                accepts_output_values=True,
            ),
            timeout=120,
        )
        dependencies = {key: set(one.urns) for key, one in answer.stateDependencies.items()}
        return Constructed(answer.urn, json_format.MessageToDict(answer.state), dependencies)

    def call_hook(self, name: str, resource: Any, old_inputs: Any = None) -> str:
        """Call a hook as the engine does before an update; return the refusal, or an empty text."""
        hook = self.monitor.hooks[name]
        request = resource_pb2.ResourceHookRequest(
            urn=f"urn:pulumi:dev::elsewhere::{resource.type}::{resource.name}",
            name=resource.name,
            type=resource.type,
            old_inputs=old_inputs,
            new_inputs=resource.object,
        )
        with grpc.insecure_channel(hook.callback.target) as channel:
            stub: Any = callback_pb2_grpc.CallbacksStub(channel)
            answer = stub.Invoke(
                callback_pb2.CallbackInvokeRequest(token=hook.callback.token, request=request.SerializeToString()),
                timeout=30,
            )
        return resource_pb2.ResourceHookResponse.FromString(answer.response).error


@contextmanager
def serving() -> Generator[tuple[Monitor, Engine, str]]:
    """A monitor and an engine that a provider may call at an address."""
    monitor = Monitor()
    server = grpc.server(ThreadPoolExecutor(max_workers=16))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
    engine = Engine()
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield monitor, engine, address
    finally:
        server.stop(grace=None).wait()  # A later test may fork, and gRPC must not be at work then.


@contextmanager
def running_package(folder: Path = ROOT / "package") -> Generator[Package]:
    """Start the provider process of a package's folder, away from the repository as Pulumi does."""
    with serving() as (monitor, engine, address):
        command = [sys.executable, str(folder), address]
        with subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                port = int(process.stdout.readline())
                with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                    yield Package(provider_pb2_grpc.ResourceProviderStub(channel), monitor, engine, address)
            finally:
                process.kill()


@contextmanager
def another_program(package: Package) -> Generator[Package]:
    """The same process, with a monitor that knows of no earlier program's resources. A new process takes seconds."""
    with serving() as (monitor, _, address):
        yield Package(package.stub, monitor, package.engine, address)
