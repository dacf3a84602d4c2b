"""``python -m benchmarks.instant_monitor``: an engine that answers every registration at once and does nothing.

It serves the monitor's and the engine's protocol on one port of 127.0.0.1 and prints that port. With ``--record PATH``
it appends every registration to a file, one JSON object a line.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any, TextIO

import grpc.aio
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc


def computed(token: str, name: str) -> dict[str, Any]:
    """Return the outputs of an AWS resource that the program uses besides its inputs. Empty for other resources."""
    if not token.startswith("aws:"):
        return {}
    arn = f"arn:aws:benchmark:us-east-1:123456789012:{token.rpartition(':')[2].lower()}/{name}/0123456789abcdef"
    return {"name": name, "arn": arn, "dnsName": "benchmark.elb.example", "latestVersion": 1}


class Engine(engine_pb2_grpc.EngineServicer):
    """Prints the program's log, so that a failure shows."""

    async def Log(self, request: Any, context: Any) -> Any:
        """Print a message unless it is a debug message."""
        if request.severity != engine_pb2.DEBUG:
            print(request.message, file=sys.stderr, flush=True)
        return empty_pb2.Empty()

    async def SetRootResource(self, request: Any, context: Any) -> Any:
        """Ignore the root resource."""
        return engine_pb2.SetRootResourceResponse()

    async def GetRootResource(self, request: Any, context: Any) -> Any:
        """Answer that there is no root resource yet."""
        return engine_pb2.GetRootResourceResponse()


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Answers every registration with the requested resource."""

    def __init__(self, record: TextIO | None) -> None:
        self._record = record

    async def SupportsFeature(self, request: Any, context: Any) -> Any:
        """Answer that every feature is supported."""
        return resource_pb2.SupportsFeatureResponse(hasSupport=True)

    async def RegisterResource(self, request: Any, context: Any) -> Any:
        """Answer with the inputs, an id and the other outputs that the program reads."""
        if self._record and request.type != "pulumi:pulumi:Stack":
            registration = {
                "type": request.type,
                "name": request.name,
                "custom": request.custom,
                "protect": request.protect,
                "inputs": json_format.MessageToDict(request.object),
            }
            print(json.dumps(registration), file=self._record, flush=True)
        state = struct_pb2.Struct()
        state.CopyFrom(request.object)
        if request.custom:
            state.update(computed(request.type, request.name))
        urn = f"urn:pulumi:benchmark::benchmark::{request.type}::{request.name}"
        return resource_pb2.RegisterResourceResponse(urn=urn, id=request.name if request.custom else "", object=state)

    async def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:
        """Keep nothing."""
        return empty_pb2.Empty()

    async def RegisterResourceHook(self, request: Any, context: Any) -> Any:
        """Accept a hook that will never be called."""
        return empty_pb2.Empty()

    async def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:
        """Let the program end."""
        return empty_pb2.Empty()


async def serve(record: TextIO | None) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server()
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(Monitor(record), server)
    engine_pb2_grpc.add_EngineServicer_to_server(Engine(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path)
    path: Path | None = parser.parse_args().record
    if path is None:
        asyncio.run(serve(None))
    else:
        with path.open("a", encoding="utf-8") as record:
            asyncio.run(serve(record))


if __name__ == "__main__":
    main()
