"""Run a Pulumi program against a mock monitor and record its registrations: inputs, order, secrets, outputs."""

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from google.protobuf import json_format
from pulumi.runtime import resource as pulumi_resource
from pulumi.runtime.config import set_all_config
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.proto.source_pb2 import StackTrace
from pulumi.runtime.settings import ROOT, SETTINGS
from pulumi.runtime.stack import run_in_stack

from components.domain.naming import PROJECT

STACK = "test"
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = {_SIGNATURE: "1b47061264138c4ac30d75fd1eb44270"}

Reference = tuple[str, str]
"""A resource by the last part of its type and its logical name, such as ``("ListenerRule", "llm")``."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One resource as the program registered it; secrets in ``inputs`` are unwrapped, their paths in ``secrets``."""

    token: str
    name: str
    parent: Reference | None
    inputs: dict[str, Any]
    secrets: frozenset[str]
    dependencies: frozenset[Reference]
    protect: bool
    timeouts: dict[str, str]
    hooks: dict[str, list[str]]
    ignore_changes: tuple[str, ...]
    position: int

    @property
    def reference(self) -> Reference:
        return self.token.rpartition(":")[2], self.name


@dataclass
class Registrations:
    """Everything that one run registered."""

    resources: dict[Reference, Registered] = field(default_factory=dict[Reference, Registered])
    outputs: dict[Reference, dict[str, Any]] = field(default_factory=dict[Reference, dict[str, Any]])
    count: int = 0
    """Registrations, also of two resources with one name."""
    hooks: dict[str, bool] = field(default_factory=dict[str, bool])
    """Every hook by name, and whether previews run it."""

    def __getitem__(self, reference: Reference) -> Registered:
        return self.resources[reference]

    def __contains__(self, reference: Reference) -> bool:
        return reference in self.resources

    def of_type(self, type_: str) -> dict[str, Registered]:
        """Resources of a type by name."""
        return {name: resource for (known, name), resource in self.resources.items() if known == type_}

    def stack_outputs(self) -> dict[str, Any]:
        return self.outputs["Stack", f"{PROJECT}-{STACK}"]

    def precede(self, reference: Reference) -> set[Reference]:
        """Everything that must exist before a resource, directly or not."""
        found: set[Reference] = set()
        waiting = [reference]
        while waiting:
            for dependency in self.resources[waiting.pop()].dependencies - found:
                found.add(dependency)
                waiting.append(dependency)
        return found


class _Mocks(Mocks):
    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        kind = args.typ.rpartition(":")[2]
        state: dict[str, Any] = dict(args.inputs)
        if args.typ.startswith("aws:"):
            state.setdefault("name", args.name)
            state["arn"] = f"arn:{kind}:{args.name}"
        if kind == "Role":
            state["arn"] = f"arn:aws-us-gov:iam::123456789012:role/{args.name}"
        if kind == "LoadBalancer":
            state["dnsName"] = f"{args.name}.elb.example"
            state["arnSuffix"] = f"app/{args.name}/1"
        if kind == "TargetGroup":
            state |= {"arnSuffix": f"targetgroup/{args.name}/1", "region": "us-east-1"}
        if kind == "LaunchTemplate":
            state["latestVersion"] = 3
        return f"id:{kind}:{args.name}", state

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(
            f"the program must not call {args.token}: it would need the cloud before it can say anything"
        )


class _RecordingMonitor(MockMonitor):
    def __init__(self, registrations: Registrations) -> None:
        super().__init__(_Mocks())
        self.registrations = registrations

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.type != "pulumi:pulumi:Stack":
            secrets: set[str] = set()
            raw = json_format.MessageToDict(request.object)
            resource = Registered(
                token=request.type,
                name=request.name,
                parent=_reference(request.parent) if request.parent else None,
                inputs=_unwrap(raw, "", secrets),
                secrets=frozenset(secrets),
                dependencies=frozenset(_reference(urn) for urn in request.dependencies),
                protect=request.protect,
                timeouts=json_format.MessageToDict(request.customTimeouts),
                hooks=json_format.MessageToDict(request.hooks),
                ignore_changes=tuple(request.ignoreChanges),
                position=len(self.registrations.resources),
            )
            self.registrations.resources[resource.reference] = resource
            self.registrations.count += 1
        return super().RegisterResource(request)

    def RegisterResourceHook(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        assert request.name not in self.registrations.hooks
        assert not request.ignore_errors
        self.registrations.hooks[request.name] = request.on_dry_run
        return super().RegisterResourceHook(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        raw = json_format.MessageToDict(request.outputs)
        self.registrations.outputs[_reference(request.urn)] = _unwrap(raw, "", set())
        return super().RegisterResourceOutputs(request)


def _reference(urn: str) -> Reference:
    type_, name = urn.split("::")[2:4]
    return type_.rpartition(":")[2], name


def _unwrap(value: Any, path: str, secrets: set[str]) -> Any:
    if isinstance(value, list):
        return [_unwrap(item, f"{path}[{position}]", secrets) for position, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if _SECRET.items() <= value.items():
        secrets.add(path)
        return _unwrap(value["value"], path, secrets)
    return {key: _unwrap(item, f"{path}.{key}" if path else key, secrets) for key, item in value.items()}


def register(
    program: Callable[[], Any], config: Mapping[str, str] | None = None, secret_keys: Iterable[str] = ()
) -> Registrations:
    """Run a program to its end and return what it registered; raises what the program raises."""
    # The SDK keeps its settings, config and root stack in context variables: each run gets a context of its own.
    # A stack trace with each resource is a quarter of the run, more under a deep stack, and nothing here reads it.
    with patch.object(pulumi_resource, "_get_stack_trace", StackTrace):
        return contextvars.Context().run(_register, program, dict(config or {}), list(secret_keys))


def _register(program: Callable[[], Any], config: dict[str, str], secret_keys: list[str]) -> Registrations:
    registrations = Registrations()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        monitor = _RecordingMonitor(registrations)
        set_mocks(monitor.mocks, project=PROJECT, stack=STACK, preview=False, monitor=monitor)
        set_all_config(config, secret_keys)
        # A failed run leaves tasks on a loop that is closed now.
        settings: Any = SETTINGS
        settings.rpc_manager.clear()
        settings.outputs.clear()
        # The mocks have their own root stack, without the program's exports.
        ROOT.set(None)

        def run() -> None:
            program()

        loop.run_until_complete(run_in_stack(run))
    finally:
        loop.close()
    return registrations
