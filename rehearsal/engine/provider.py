"""A provider plugin: its process, its configuration and the calls that the engine makes to it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import grpc.aio
from google.protobuf import empty_pb2

from rehearsal.engine.children import Child
from rehearsal.engine.paths import differences
from rehearsal.engine.project import as_text
from rehearsal.engine.protocol import CHANNEL_OPTIONS, provider_pb2, provider_pb2_grpc, status_pb2
from rehearsal.engine.values import (
    Properties,
    from_struct,
    has_unknowns,
    mark_secret_outputs,
    reveal,
    reveal_all,
    to_struct,
    without_references,
)

DIFF_KINDS = ("add", "add-replace", "delete", "delete-replace", "update", "update-replace")


ENGINE_KEYS = ("version", "__internal")
"""Inputs of a provider resource that the engine keeps for itself."""


def without_engine_keys(properties: Properties) -> Properties:
    """A provider's inputs as its plugin knows them."""
    return {key: value for key, value in properties.items() if key not in ENGINE_KEYS}


_UNSURE = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS)


class ProviderError(Exception):
    """A call to a plugin failed; the message is the plugin's.

    `status` is what that means for the resource: 0 untouched, 1 half done, 2 not known.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class InitError(ProviderError):
    """The resource exists but did not become ready: it is recorded together with the reasons."""

    def __init__(self, identity: str, outputs: Properties, inputs: Properties, reasons: list[str]) -> None:
        count = "1 error" if len(reasons) == 1 else f"{len(reasons)} errors"
        super().__init__(f"{count} occurred:\n" + "\n".join(f"\t* {reason}" for reason in reasons), status=1)
        self.identity = identity
        self.outputs = outputs
        self.inputs = inputs
        self.reasons = reasons


@dataclass
class Diff:
    """What a plugin says about a change. `detailed` maps property paths to one of DIFF_KINDS."""

    changed: bool | None = None
    replace_keys: list[str] = field(default_factory=list)
    changed_keys: list[str] = field(default_factory=list)
    delete_before_replace: bool = False
    detailed: dict[str, str] = field(default_factory=dict)
    detailed_is_of_inputs: bool = False

    @property
    def replaces(self) -> bool:
        """Whether the change needs a new resource."""
        return bool(self.replace_keys)

    def settled(self, olds: Properties, news: Properties) -> "Diff":
        """Fill in what the plugin left open by comparing the inputs."""
        if self.changed is not None:
            return self
        found = differences(olds, news)
        keys = sorted({path.split(".")[0].split("[")[0] for path in found})
        return replace(
            self,
            changed=bool(found) or self.replaces,
            detailed=self.detailed or found,
            detailed_is_of_inputs=True,
            changed_keys=self.changed_keys or keys,
        )

    def inverted(self) -> "Diff":
        """The same change the other way round: what was added was deleted."""
        swapped = {"add": "delete", "delete": "add"}
        detailed: dict[str, str] = {}
        for path, kind in self.detailed.items():
            word, dash, rest = kind.partition("-")
            detailed[path] = swapped.get(word, word) + dash + rest
        return replace(self, detailed=detailed)


@dataclass(frozen=True)
class CheckFailure:
    """One input that the plugin rejects."""

    property: str
    reason: str


def raise_provider_error(error: grpc.aio.AioRpcError, package: str) -> None:
    """Turn a failed call into the error that the engine knows."""
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin" or not isinstance(value, bytes):
            continue
        status = status_pb2.Status.FromString(value)
        for detail in status.details:
            failed = provider_pb2.ErrorResourceInitFailed()
            if detail.Unpack(failed):
                raise InitError(
                    failed.id, from_struct(failed.properties), from_struct(failed.inputs), list(failed.reasons)
                ) from error
    status = 2 if error.code() in _UNSURE else 0
    gone = f"the plugin 'pulumi-resource-{package}' has ended: " if error.code() == grpc.StatusCode.UNAVAILABLE else ""
    raise ProviderError(gone + (error.details() or str(error.code())), status) from error


class Provider:
    """One plugin process, configured for one provider resource."""

    def __init__(self, package: str, child: Child, port: int) -> None:
        self.package = package
        self._child = child
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
        self._stub: Any = provider_pb2_grpc.ResourceProviderStub(self._channel)
        self._accepts_secrets = False
        self._accepts_references = False
        self._supports_preview = False
        self.configured = False
        self.version = ""

    async def cancel(self) -> None:
        """Ask it to break off what it waits for."""
        await self._call_optional("Cancel", empty_pb2.Empty())

    async def stop(self) -> None:
        """End the process."""
        await self._channel.close()
        await self._child.stop()

    async def _call(self, method: str, request: Any) -> Any:
        try:
            return await getattr(self._stub, method)(request)
        except grpc.aio.AioRpcError as error:
            raise_provider_error(error, self.package)

    async def _call_optional(self, method: str, request: Any) -> Any | None:
        """Call a method that a plugin may leave out; None when it does."""
        try:
            return await getattr(self._stub, method)(request)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return None
            raise_provider_error(error, self.package)

    def _marshal(self, properties: Mapping[str, Any]) -> Any:
        ready = properties if self._accepts_secrets else reveal_all(properties)
        if not self._accepts_references:
            ready = {key: without_references(value) for key, value in ready.items()}
        return to_struct(ready)

    def _unmarshal(self, struct: Any, inputs: Mapping[str, Any]) -> Properties:
        outputs = from_struct(struct)
        return outputs if self._accepts_secrets else mark_secret_outputs(outputs, inputs, ())

    # -- configuration

    async def handshake(self, engine_address: str, program_directory: str) -> None:
        """Introduce the engine; older plugins do not answer."""
        await self._call_optional(
            "Handshake",
            provider_pb2.ProviderHandshakeRequest(
                engine_address=engine_address, program_directory=program_directory, invoke_with_preview=True
            ),
        )

    async def check_config(self, urn: str, olds: Properties, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        """Check the provider's own inputs."""
        request = provider_pb2.CheckRequest(urn=urn, olds=to_struct(olds), news=to_struct(news))
        answer = await self._call_optional("CheckConfig", request)
        if answer is None or not (answer.inputs.fields or answer.failures):
            return news, []
        return from_struct(answer.inputs), [CheckFailure(f.property, f.reason) for f in answer.failures]

    async def diff_config(
        self, urn: str, identity: str, old_inputs: Properties, old_outputs: Properties, news: Properties
    ) -> Diff:
        """Compare two configurations of the provider."""
        request = provider_pb2.DiffRequest(
            id=identity,
            urn=urn,
            olds=to_struct(old_outputs),
            news=to_struct(news),
            old_inputs=to_struct(old_inputs),
        )
        answer = await self._call_optional("DiffConfig", request)
        return Diff() if answer is None else _diff_of(answer)

    async def configure(self, urn: str, identity: str, inputs: Properties) -> None:
        """Configure the plugin; with inputs that are not known yet it stays unconfigured (a preview)."""
        if has_unknowns(list(inputs.values())):
            return
        own = without_engine_keys(inputs)
        request = provider_pb2.ConfigureRequest(
            variables={f"{self.package}:config:{key}": as_text(reveal(value)) for key, value in own.items()},
            args=to_struct(own),
            acceptSecrets=True,
            acceptResources=True,
            sends_old_inputs=True,
            sends_old_inputs_to_delete=True,
            id=identity,
            urn=urn,
        )
        answer = await self._call("Configure", request)
        self._accepts_secrets = answer.acceptSecrets
        self._accepts_references = answer.acceptResources
        self._supports_preview = answer.supportsPreview
        self.configured = True

    # -- resources

    async def check(
        self, urn: str, name: str, olds: Properties, news: Properties
    ) -> tuple[Properties, list[CheckFailure]]:
        """Check inputs and fill in defaults."""
        if not self.configured:
            return news, []
        request = provider_pb2.CheckRequest(
            urn=urn,
            name=name,
            type=urn.split("::")[2].rsplit("$", 1)[-1],
            olds=self._marshal(olds),
            news=self._marshal(news),
            randomSeed=os.urandom(32),
        )
        answer = await self._call("Check", request)
        inputs = self._unmarshal(answer.inputs, news)
        return inputs, [CheckFailure(f.property, f.reason) for f in answer.failures]

    async def diff(
        self,
        urn: str,
        identity: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: Sequence[str],
    ) -> Diff:
        """Compare the recorded resource with new inputs."""
        if not self.configured:
            return Diff()
        request = provider_pb2.DiffRequest(
            id=identity,
            urn=urn,
            olds=self._marshal(old_outputs),
            news=self._marshal(news),
            old_inputs=self._marshal(old_inputs),
            ignoreChanges=ignore_changes,
        )
        answer = await self._call_optional("Diff", request)
        return Diff() if answer is None else _diff_of(answer)

    async def create(
        self, urn: str, inputs: Properties, timeout_seconds: float, *, preview: bool
    ) -> tuple[str, Properties]:
        """Create a resource; returns its id and outputs (in a preview as far as they are known)."""
        if preview and not self.configured:
            return "", {}
        if preview and not self._supports_preview:
            return "", inputs
        request = provider_pb2.CreateRequest(
            urn=urn, properties=self._marshal(inputs), timeout=timeout_seconds, preview=preview
        )
        answer = await self._call("Create", request)
        if not answer.id and not preview:
            raise ProviderError("the provider plugin returned no id for the new resource")
        return answer.id, self._unmarshal(answer.properties, inputs)

    async def update(
        self,
        urn: str,
        identity: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        timeout_seconds: float,
        ignore_changes: Sequence[str],
        *,
        preview: bool,
    ) -> Properties:
        """Change a resource in place; returns its outputs."""
        if preview and not self.configured:
            return {}
        if preview and not self._supports_preview:
            return news
        request = provider_pb2.UpdateRequest(
            id=identity,
            urn=urn,
            olds=self._marshal(old_outputs),
            news=self._marshal(news),
            old_inputs=self._marshal(old_inputs),
            timeout=timeout_seconds,
            ignoreChanges=ignore_changes,
            preview=preview,
        )
        answer = await self._call("Update", request)
        return self._unmarshal(answer.properties, news)

    async def delete(
        self, urn: str, identity: str, inputs: Properties, outputs: Properties, timeout_seconds: float
    ) -> None:
        """Delete a resource."""
        request = provider_pb2.DeleteRequest(
            id=identity,
            urn=urn,
            properties=self._marshal(outputs),
            old_inputs=self._marshal(inputs),
            timeout=timeout_seconds,
        )
        await self._call("Delete", request)

    async def read(
        self, urn: str, identity: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties]:
        """Read a resource; returns id (empty: it is gone), inputs and outputs."""
        request = provider_pb2.ReadRequest(
            id=identity, urn=urn, properties=self._marshal(outputs), inputs=self._marshal(inputs)
        )
        answer = await self._call("Read", request)
        known_inputs = self._unmarshal(answer.inputs, inputs) if answer.inputs.fields else inputs
        return answer.id, known_inputs, self._unmarshal(answer.properties, known_inputs)

    async def invoke(
        self, token: str, arguments: Properties, *, preview: bool
    ) -> tuple[Properties, list[CheckFailure]]:
        """Call a function of the plugin."""
        request = provider_pb2.InvokeRequest(tok=token, args=self._marshal(arguments), preview=preview)
        try:
            answer = await self._call("Invoke", request)
        except ProviderError as error:
            raise ProviderError(f"invocation of {token} returned an error: {error}") from error
        failures = [CheckFailure(f.property, f.reason) for f in answer.failures]
        return from_struct(getattr(answer, "return")), failures


def _diff_of(answer: Any) -> Diff:
    changes = {
        provider_pb2.DiffResponse.DIFF_NONE: False,
        provider_pb2.DiffResponse.DIFF_SOME: True,
    }.get(answer.changes)
    return Diff(
        changed=changes,
        replace_keys=list(answer.replaces),
        changed_keys=list(answer.diffs),
        delete_before_replace=answer.deleteBeforeReplace,
        detailed={path: DIFF_KINDS[change.kind] for path, change in answer.detailedDiff.items()},
        detailed_is_of_inputs=any(change.inputDiff for change in answer.detailedDiff.values()),
    )
