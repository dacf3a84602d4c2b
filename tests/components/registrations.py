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
from pulumi.runtime.proto.resource_pb2 import RegisterResourceResponse
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


def _given_by_aws(resource: Registered) -> dict[str, Any]:
    """What AWS says of a new resource, besides its inputs."""
    kind, name = resource.reference
    given: dict[str, Any] = {}
    if resource.token.startswith("aws:"):
        given |= {"name": resource.inputs.get("name", name), "arn": f"arn:{kind}:{name}"}
    if kind == "Role":
        given["arn"] = f"arn:aws-us-gov:iam::123456789012:role/{name}"
    if kind == "LoadBalancer":
        given |= {"dnsName": f"{name}.elb.example", "arnSuffix": f"app/{name}/1"}
    if kind == "TargetGroup":
        given |= {"arnSuffix": f"targetgroup/{name}/1", "region": "us-east-1"}
    if kind == "LaunchTemplate":
        given["latestVersion"] = 3
    return given


class _Mocks(Mocks):
    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise AssertionError(f"the program must not read {args.typ}: it would need the cloud for that")

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(
            f"the program must not call {args.token}: it would need the cloud before it can say anything"
        )


class _Loop(asyncio.SelectorEventLoop):
    """Answers requests at once: a thread for each, with an event loop of its own, would cost more than the answer."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # noqa: ARG002
        answer = self.create_future()
        try:
            answer.set_result(func(*args))
        except Exception as error:
            answer.set_exception(error)
        return answer


class _RecordingMonitor(MockMonitor):
    def __init__(self, registrations: Registrations) -> None:
        super().__init__(_Mocks())
        self.registrations = registrations

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.type == "pulumi:pulumi:Stack":
            return super().RegisterResource(request)
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
        # The SDK's mocks would read the inputs into Python and write them again, which takes long.
        for key, value in _given_by_aws(resource).items():
            request.object[key] = value
        urn = self.make_urn(request.parent, request.type, request.name)
        kind, name = resource.reference
        return RegisterResourceResponse(urn=urn, id=f"id:{kind}:{name}", object=request.object)

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
    loop = _Loop()
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
