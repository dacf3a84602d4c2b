"""Drives a provider over gRPC the way Pulumi's engine does: check, diff, then create, update or replace."""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from google.protobuf.struct_pb2 import Struct

from rehearsal.providers.plugin import Servicer
from rehearsal.providers.protocol import provider_pb2, provider_pb2_grpc, status_pb2
from rehearsal.providers.provider import Provider
from rehearsal.providers.values import Tree, from_struct, to_struct


class CheckFailedError(Exception):
    """Check refused the inputs. The message has one line per failure."""


class InitFailedError(Exception):
    """The resource exists but is not ready."""

    def __init__(self, resource_id: str, reasons: list[str]) -> None:
        super().__init__("\n".join(reasons))
        self.resource_id = resource_id
        self.reasons = reasons


@dataclass
class Deployed:
    """A resource in the state."""

    id: str
    inputs: Struct
    state: Struct
    init_errors: list[str] = field(default_factory=list[str])

    @property
    def outputs(self) -> Tree:
        return from_struct(self.state)


@dataclass(frozen=True)
class Step:
    """The result of the last `up`, and the parts of the provider's diff that led to it."""

    op: str
    detailed_diff: dict[str, str] = field(default_factory=dict[str, str])
    replaces: frozenset[str] = frozenset()
    seen_in_inputs: frozenset[str] = frozenset()
    """Paths that the provider marks to show from inputs, not from the live state."""
    delete_first: bool = False


@dataclass
class Engine:
    """The part of the engine that a provider sees."""

    stub: Any
    resources: dict[str, Deployed] = field(default_factory=dict[str, Deployed])
    steps: list[Step] = field(default_factory=list[Step])
    seed: bytes = b"seed"
    package: str = ""

    def configure(self, **config: Any) -> None:
        """Configure the plugin in both ways that engines use."""
        args = to_struct(config)
        variables = {f"{self.package}:config:{key}": str(value) for key, value in config.items()}
        urn = f"urn:pulumi:test::vllm-blue-green::pulumi:providers:{self.package}::default"
        self.stub.CheckConfig(provider_pb2.CheckRequest(urn=urn, news=args))
        self.stub.Configure(provider_pb2.ConfigureRequest(variables=variables, args=args, acceptSecrets=True))

    def afresh(self, seed: bytes = b"seed") -> "Engine":
        """Return an engine with the same plugin and an empty state."""
        return Engine(self.stub, seed=seed, package=self.package)

    def check(self, kind: str, name: str, inputs: Tree | Struct, *, new: bool = False) -> Struct:
        """Check inputs, for a new resource with ``new`` or else the known one. Raises CheckFailedError."""
        known = None if new else self.resources.get(_urn(kind, name))
        news = inputs if isinstance(inputs, Struct) else to_struct(inputs)
        answer = self.stub.Check(
            provider_pb2.CheckRequest(
                urn=_urn(kind, name), olds=known.inputs if known else None, news=news, randomSeed=self.seed
            )
        )
        if answer.failures:
            raise CheckFailedError("\n".join(f"{f.property}: {f.reason}" for f in answer.failures))
        return answer.inputs

    def diff(self, kind: str, name: str, inputs: Tree | Struct) -> Any:
        """Return the provider's DiffResponse."""
        known = self.resources[_urn(kind, name)]
        news = self.check(kind, name, inputs)
        return self.stub.Diff(
            provider_pb2.DiffRequest(
                urn=_urn(kind, name), id=known.id, olds=known.state, old_inputs=known.inputs, news=news
            )
        )

    def up(
        self,
        kind: str,
        name: str,
        inputs: Tree | Struct,
        *,
        preview: bool = False,
        timeout: float = 0,
        ignore_changes: Sequence[str] = (),
    ) -> Tree:
        """Bring one resource to these inputs and return its outputs."""
        known = self.resources.get(_urn(kind, name))
        if known is None:
            self.steps.append(Step("create"))
            return self._create(kind, name, inputs, preview, timeout)
        answer = self.diff(kind, name, inputs)
        if answer.changes == provider_pb2.DiffResponse.DIFF_NONE and not known.init_errors:
            self.steps.append(Step("same"))
            return known.outputs
        op = "replace" if answer.replaces else "update"
        self.steps.append(_step(op, answer))
        if op == "update":
            return self._update(kind, name, inputs, preview, timeout, ignore_changes)
        if preview:
            return self._create(kind, name, inputs, preview, timeout)
        if answer.deleteBeforeReplace:
            self.delete(kind, name)
            return self._create(kind, name, inputs, preview, timeout)
        outputs = self._create(kind, name, inputs, preview, timeout)
        self._delete(_urn(kind, name), known)
        return outputs

    def preview(self, kind: str, name: str, inputs: Tree | Struct) -> Tree:
        return self.up(kind, name, inputs, preview=True)

    def _create(self, kind: str, name: str, inputs: Tree | Struct, preview: bool, timeout: float) -> Tree:
        checked = self.check(kind, name, inputs, new=True)
        request = provider_pb2.CreateRequest(urn=_urn(kind, name), properties=checked, preview=preview, timeout=timeout)
        with self._init_failures(kind, name, checked):
            answer = self.stub.Create(request)
        if not preview:
            self.resources[_urn(kind, name)] = Deployed(answer.id, checked, answer.properties)
        return from_struct(answer.properties)

    def _update(
        self,
        kind: str,
        name: str,
        inputs: Tree | Struct,
        preview: bool,
        timeout: float,
        ignore_changes: Sequence[str],
    ) -> Tree:
        known = self.resources[_urn(kind, name)]
        checked = self.check(kind, name, inputs)
        request = provider_pb2.UpdateRequest(
            urn=_urn(kind, name),
            id=known.id,
            olds=known.state,
            old_inputs=known.inputs,
            news=checked,
            preview=preview,
            timeout=timeout,
            ignoreChanges=ignore_changes,
        )
        with self._init_failures(kind, name, checked):
            answer = self.stub.Update(request)
        if not preview:
            self.resources[_urn(kind, name)] = Deployed(known.id, checked, answer.properties)
        return from_struct(answer.properties)

    @contextmanager
    def _init_failures(self, kind: str, name: str, inputs: Struct) -> Generator[None]:
        try:
            yield
        except grpc.RpcError as error:
            failure = _init_failure(error)
            if failure is None:
                raise
            reasons = list(failure.reasons)
            known_inputs = failure.inputs if failure.inputs.fields else inputs
            self.resources[_urn(kind, name)] = Deployed(failure.id, known_inputs, failure.properties, reasons)
            raise InitFailedError(failure.id, reasons) from error

    def refresh(self, kind: str, name: str) -> Tree | None:
        """Read the live state into the state. Return None when the resource is gone."""
        known = self.resources[_urn(kind, name)]
        request = provider_pb2.ReadRequest(
            urn=_urn(kind, name), id=known.id, properties=known.state, inputs=known.inputs
        )
        with self._init_failures(kind, name, known.inputs):
            answer = self.stub.Read(request)
        if not answer.id:
            del self.resources[_urn(kind, name)]
            return None
        self.resources[_urn(kind, name)] = Deployed(answer.id, answer.inputs, answer.properties)
        return from_struct(answer.properties)

    def delete(self, kind: str, name: str) -> None:
        self._delete(_urn(kind, name), self.resources.pop(_urn(kind, name)))

    def _delete(self, urn: str, known: Deployed) -> None:
        request = provider_pb2.DeleteRequest(urn=urn, id=known.id, properties=known.state, old_inputs=known.inputs)
        self.stub.Delete(request)

    def put_back(self, kind: str, name: str, resource: Deployed) -> None:
        """Put a resource into the state that the provider no longer finds."""
        self.resources[_urn(kind, name)] = resource

    def names(self) -> list[tuple[str, str]]:
        """Return the type and logical name of everything in the state, oldest first."""
        return [(urn.split("::")[2].rpartition("$")[2], urn.rpartition("::")[2]) for urn in self.resources]

    def deployed(self, kind: str, name: str) -> Deployed:
        return self.resources[_urn(kind, name)]


def _init_failure(error: grpc.RpcError) -> Any:
    metadata = cast("list[tuple[str, bytes]]", error.trailing_metadata() or [])
    for key, value in metadata:
        if key == "grpc-status-details-bin":
            failure = provider_pb2.ErrorResourceInitFailed()
            status_pb2.Status.FromString(value).details[0].Unpack(failure)
            return failure
    return None


def _urn(kind: str, name: str) -> str:
    return f"urn:pulumi:test::vllm-blue-green::vllm-blue-green:index:WeightedRouter${kind}::{name}"


def _step(op: str, answer: Any) -> Step:
    return Step(
        op,
        detailed(answer),
        replaces=frozenset(answer.replaces),
        seen_in_inputs=frozenset(path for path, diff in answer.detailedDiff.items() if diff.inputDiff),
        delete_first=answer.deleteBeforeReplace,
    )


def detailed(answer: Any) -> dict[str, str]:
    """Return a DiffResponse's changes, from path to kind."""
    kinds = provider_pb2.PropertyDiff.Kind
    return {path: kinds.Name(diff.kind).lower() for path, diff in answer.detailedDiff.items()}


@contextmanager
def engine_for(provider: Provider) -> Generator[Engine]:
    """Run an engine with a provider that is served in this process."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(provider), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Engine(provider_pb2_grpc.ResourceProviderStub(channel))
    finally:
        server.stop(grace=None).wait()  # A later test may fork, and gRPC must not be at work then.
