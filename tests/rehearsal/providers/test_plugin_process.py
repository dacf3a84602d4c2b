"""The plugins as processes, as Pulumi starts them."""

import os
import signal
import subprocess
import sys

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from rehearsal.providers.protocol import provider_pb2_grpc


@pytest.mark.parametrize(
    ("plugin", "version"), [("aws", "7.51.1"), ("kubernetes", "4.34.2")], ids=["aws", "kubernetes"]
)
def test_a_plugin_prints_its_port_serves_and_ends_on_a_signal(plugin: str, version: str) -> None:
    command = [sys.executable, "-m", f"rehearsal.providers.{plugin}", "127.0.0.1:1", "--logtostderr"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = provider_pb2_grpc.ResourceProviderStub(channel)
                assert stub.GetPluginInfo(Empty(), timeout=10).version == version
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()


def test_a_plugin_ends_with_its_engine() -> None:
    start = "import subprocess, sys; subprocess.Popen([sys.executable, '-m', 'rehearsal.providers.aws']); input()"
    with subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as engine:
        assert engine.stdout is not None
        assert int(engine.stdout.readline()) > 0
        engine.kill()
        # The plugin keeps the other end of this pipe open until it ends.
        assert engine.stdout.read() == ""


@pytest.mark.parametrize("plugin", ["aws", "kubernetes"])
def test_a_plugin_starts_without_the_pulumi_sdk_and_the_aws_clients(plugin: str) -> None:
    heavy = "{'pulumi', 'boto3', 'botocore'}"
    code = f"import sys, rehearsal.providers.{plugin}.__main__; print({heavy} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert answer.stdout.strip() == "set()"
