"""Pulumi's generated gRPC stubs, loaded without the rest of the SDK.

``import pulumi`` loads the whole SDK, which takes several times as long as the stubs. Every command starts a plugin
twice, so it loads the modules of ``pulumi/runtime/proto`` through a bare package of its own. This works because the
stubs use only relative imports, and protobuf returns the same message classes for both ways of loading.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi.runtime.proto import (
        engine_pb2,
        engine_pb2_grpc,
        language_pb2,
        language_pb2_grpc,
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
        status_pb2,
    )
else:
    _spec = find_spec("pulumi")
    if _spec is None or _spec.origin is None:
        raise ImportError("the Pulumi SDK (package pulumi) is not installed")
    _package = ModuleType("pulumi_protocol")
    _package.__path__ = [str(Path(_spec.origin).parent / "runtime" / "proto")]
    sys.modules[_package.__name__] = _package
    from pulumi_protocol import (
        engine_pb2,
        engine_pb2_grpc,
        language_pb2,
        language_pb2_grpc,
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
        status_pb2,
    )

__all__ = [
    "engine_pb2",
    "engine_pb2_grpc",
    "language_pb2",
    "language_pb2_grpc",
    "plugin_pb2",
    "provider_pb2",
    "provider_pb2_grpc",
    "status_pb2",
]
