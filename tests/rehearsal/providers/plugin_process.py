"""Runs a provider plugin as its own process and drives it like the engine."""

import subprocess
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from rehearsal.providers.protocol import engine_pb2_grpc, provider_pb2_grpc
from tests.rehearsal.providers.harness import Engine

_MESSAGE_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class _EngineLog(engine_pb2_grpc.EngineServicer):
    """Discards the plugins' log; the tests check only answers."""

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's names
        return Empty()


@contextmanager
def plugin_process(command: Sequence[str | Path], log: Path, package: str) -> Generator[Engine]:
    """Run an engine with a plugin executable, whose output goes to ``log``."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    engine_pb2_grpc.add_EngineServicer_to_server(_EngineLog(), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with log.open("w") as errors:
        process = subprocess.Popen([*command, address], stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=_MESSAGE_OPTIONS) as channel:
            yield Engine(provider_pb2_grpc.ResourceProviderStub(channel), package=package)
    finally:
        process.kill()
        process.wait()
        server.stop(grace=None).wait()  # A later test may fork, and gRPC must not be at work then.
