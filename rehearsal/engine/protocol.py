"""Pulumi's gRPC stubs, taken from the SDK without importing the SDK itself.

`import pulumi` costs most of a second of CPU, and the stubs do not need it; a rehearsal starts some thirty
engine processes. So unless the SDK is loaded already, its parent packages are entered as empty shells that
only say where to look for submodules.
"""

import importlib.util
import sys
import types
from pathlib import Path


def _enter_package_shells() -> None:
    if "pulumi" in sys.modules:
        return
    found = importlib.util.find_spec("pulumi")
    if found is None or found.origin is None:
        raise ImportError("the Pulumi SDK (package `pulumi`) is not installed for this Python")
    root = Path(found.origin).parent
    for name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
        shell = types.ModuleType(name)
        shell.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = shell


_enter_package_shells()

from pulumi.runtime.proto import (  # noqa: E402
    alias_pb2,
    analyzer_pb2,
    analyzer_pb2_grpc,
    callback_pb2,
    callback_pb2_grpc,
    engine_pb2,
    engine_pb2_grpc,
    events_pb2,
    events_pb2_grpc,
    language_pb2,
    language_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
    status_pb2,
)

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", 400 * 1024 * 1024),
    # What a provider says of a resource that is not ready comes as metadata, with the whole resource in it.
    ("grpc.max_metadata_size", 4 * 1024 * 1024),
    ("grpc.absolute_max_metadata_size", 4 * 1024 * 1024),
    ("grpc.max_send_message_length", 400 * 1024 * 1024),
]

__all__ = [
    "CHANNEL_OPTIONS",
    "alias_pb2",
    "analyzer_pb2",
    "analyzer_pb2_grpc",
    "callback_pb2",
    "callback_pb2_grpc",
    "engine_pb2",
    "engine_pb2_grpc",
    "events_pb2",
    "events_pb2_grpc",
    "language_pb2",
    "language_pb2_grpc",
    "plugin_pb2",
    "provider_pb2",
    "provider_pb2_grpc",
    "resource_pb2",
    "resource_pb2_grpc",
    "status_pb2",
]
