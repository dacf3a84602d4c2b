"""Policy packs: the pack's own process judges every resource before its step, and the whole stack at the end."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from rehearsal.engine import policy_config
from rehearsal.engine.children import Child, start_server
from rehearsal.engine.errors import CommandError
from rehearsal.engine.events import EventStream
from rehearsal.engine.goal import Goal
from rehearsal.engine.language import interpreter
from rehearsal.engine.policy_config import LEVELS, PackConfigError
from rehearsal.engine.project import load_yaml
from rehearsal.engine.protocol import CHANNEL_OPTIONS, analyzer_pb2, analyzer_pb2_grpc
from rehearsal.engine.state import ResourceState
from rehearsal.engine.urns import STACK_TYPE, name_of
from rehearsal.engine.values import from_struct, to_struct

_REFUSING = (LEVELS["mandatory"], LEVELS["remediate"])


class Pack:
    """One running policy pack."""

    def __init__(self, path: Path, child: Child, port: int, version: str) -> None:
        self.path = path
        self.child = child
        self.version = version
        self.name = ""
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
        self.stub: Any = analyzer_pb2_grpc.AnalyzerStub(self._channel)

    async def stop(self) -> None:
        """End the pack."""
        await self._channel.close()
        await self.child.stop()


class Analyzers:
    """All packs of an update."""

    def __init__(self, events: EventStream, *, dry_run: bool) -> None:
        self._events = events
        self._dry_run = dry_run
        self._packs: list[Pack] = []
        self.ready = asyncio.Event()

    @property
    def versions(self) -> dict[str, str]:
        """The packs that run, by name and place, with their versions."""
        return {f"{pack.name}|local|{pack.path}": pack.version for pack in self._packs}

    async def start(
        self,
        path: Path,
        config: Path | None,
        *,
        engine_address: str,
        project: str,
        stack: str,
        stack_config: dict[str, str],
        secret_keys: list[str],
    ) -> None:
        """Start one pack and configure it; raises CommandError when it does not come up."""
        given = {} if config is None else policy_config.read(config, path)
        manifest = _manifest(path)
        folder = manifest.parent
        if not manifest.is_file():
            raise CommandError(f"failed to load policy pack: {manifest} not found")
        document = load_yaml(manifest)
        runtime = document.get("runtime")
        options = runtime.get("options") or {} if isinstance(runtime, dict) else {}
        main = folder / str(document.get("main") or ".")
        child, port = await self._launch(folder, main, options, engine_address, project, stack)
        pack = Pack(path, child, port, str(document.get("version") or ""))
        self._packs.append(pack)
        info = await pack.stub.GetAnalyzerInfo(_empty())
        pack.name = info.name
        pack.version = pack.version or info.version
        if info.supportsConfig:
            await self._configure(pack, info, given)
        elif config is not None:
            raise PackConfigError(f'policy pack "{pack.name}" at "{pack.path}" does not support config')
        request = analyzer_pb2.AnalyzerStackConfigureRequest(
            stack=stack,
            project=project,
            organization="organization",
            dry_run=self._dry_run,
            config=stack_config,
            config_secret_keys=secret_keys,
        )
        try:
            await pack.stub.ConfigureStack(request)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise

    async def _configure(self, pack: Pack, info: Any, given: policy_config.Config) -> None:
        config = policy_config.reconcile(info, given)
        faults = policy_config.faults(info, config)
        for fault in faults:
            self._events.diagnostic("error", f"validating policy config: {pack.name} {pack.version}  {fault}")
        if faults:
            raise PackConfigError("validating policy config")
        try:
            await pack.stub.Configure(policy_config.message(config))
        except PackConfigError as error:
            raise PackConfigError(f'configuring policy pack "{pack.name}" at "{pack.path}": {error}') from error

    async def _launch(
        self, folder: Path, main: Path, options: dict[str, Any], engine_address: str, project: str, stack: str
    ) -> tuple[Child, int]:
        command = [interpreter(folder, options), "-u", "-m", "pulumi.policy", engine_address, str(main)]
        environment = {
            "PULUMI_PROJECT": project,
            "PULUMI_STACK": stack,
            "PULUMI_ORGANIZATION": "organization",
            "PULUMI_DRY_RUN": "true" if self._dry_run else "false",
        }
        lines: list[str] = []

        def on_line(line: str) -> None:
            lines.append(line)
            self._events.diagnostic("info#err", line)

        try:
            return await start_server(command, cwd=folder, environment=environment, on_line=on_line)
        except OSError as error:
            raise CommandError("\n".join([f"failed to load policy pack at {folder}: {error}", *lines[-20:]])) from error

    async def analyze(self, new: ResourceState, goal: Goal, provider: ResourceState | None) -> bool:
        """Judge one resource; False when the update must stop because of it (a preview goes on)."""
        await self.ready.wait()
        try:
            return await self._judge(new, goal, provider)
        except grpc.aio.AioRpcError as error:
            self._events.diagnostic("error", f"failed to run policy: {error.details()}", new.urn)
            return False

    async def _judge(self, new: ResourceState, goal: Goal, provider: ResourceState | None) -> bool:
        acceptable = True
        for pack in self._packs:
            resource = _describe(analyzer_pb2.AnalyzeRequest, new, goal, provider, new.inputs)
            remedy = await pack.stub.Remediate(resource)
            for remediation in remedy.remediations:
                if remediation.diagnostic:
                    self._report(pack, remediation, "advisory", remediation.diagnostic, new.urn)
                else:
                    new.inputs = from_struct(remediation.properties)
                    self._remediated(pack, remediation, new.urn)
                    resource.properties.CopyFrom(remediation.properties)
            answer = await pack.stub.Analyze(resource)
            for found in answer.diagnostics:
                mandatory = found.enforcementLevel in _REFUSING
                self._report(pack, found, "mandatory" if mandatory else "advisory", found.message, found.urn or new.urn)
                acceptable = acceptable and not mandatory
        return acceptable or self._dry_run

    async def analyze_stack(self, resources: list[ResourceState], provider_of: Any) -> bool:
        """Judge the whole stack by what its resources have become; False when a pack could not."""
        if not self._packs:
            return True
        known = {resource.urn for resource in resources}
        root = next((resource.urn for resource in resources if resource.type == STACK_TYPE), "")
        request = analyzer_pb2.AnalyzeStackRequest()
        for resource in resources:
            item = _describe(analyzer_pb2.AnalyzerResource, resource, None, provider_of(resource), resource.outputs)
            item.parent = resource.parent
            item.dependencies.extend(resource.dependencies)
            for key, urns in resource.property_dependencies.items():
                item.propertyDependencies[key].urns.extend(urns)
            request.resources.append(item)
        for pack in self._packs:
            try:
                answer = await pack.stub.AnalyzeStack(request)
            except grpc.aio.AioRpcError as error:
                self._events.diagnostic("error", str(error.details()))
                return False
            for found in answer.diagnostics:
                mandatory = found.enforcementLevel in _REFUSING
                urn = found.urn if found.urn in known else root
                self._report(pack, found, "mandatory" if mandatory else "advisory", found.message, urn)
        return True

    def _report(self, pack: Pack, found: Any, level: str, message: str, urn: str) -> None:
        if level == "mandatory":
            self._events.has_errors = True
        self._events.emit("policyEvent", _policy_event(pack, found.policyName, level, message, urn))

    def _remediated(self, pack: Pack, remediation: Any, urn: str) -> None:
        event = _policy_event(pack, remediation.policyName, "remediate", remediation.description, urn)
        self._events.emit("policyRemediationEvent", event)

    async def stop(self) -> None:
        """End all packs."""
        for pack in self._packs:
            await pack.stop()


def _manifest(pack: Path) -> Path:
    return pack.absolute() / "PulumiPolicy.yaml"


def _policy_event(pack: Pack, policy: str, level: str, message: str, urn: str) -> dict[str, str]:
    return {
        "resourceUrn": urn,
        "message": message + "\n",
        "color": "never",
        "policyName": policy,
        "policyPackName": pack.name,
        "policyPackVersion": pack.version,
        "policyPackVersionTag": pack.version,
        "enforcementLevel": level,
    }


def _describe(
    message: Any, resource: ResourceState, goal: Goal | None, provider: ResourceState | None, properties: Any
) -> Any:
    described = message(
        type=resource.type,
        properties=to_struct({key: value for key, value in properties.items() if not key.startswith("__")}),
        urn=resource.urn,
        name=name_of(resource.urn),
    )
    options = described.options
    options.protect = resource.protect
    options.ignoreChanges.extend(resource.ignore_changes)
    options.additionalSecretOutputs.extend(resource.additional_secret_outputs)
    options.aliases.extend(resource.aliases)
    options.parent = resource.parent
    if goal is not None and goal.delete_before_replace is not None:
        options.deleteBeforeReplaceDefined = True
        options.deleteBeforeReplace = goal.delete_before_replace
    for name, seconds in resource.custom_timeouts.items():
        setattr(options.customTimeouts, name, seconds)
    if provider is not None:
        described.provider.CopyFrom(
            analyzer_pb2.AnalyzerProviderResource(
                type=provider.type,
                properties=to_struct(provider.inputs),
                urn=provider.urn,
                name=name_of(provider.urn),
            )
        )
    return described


def _empty() -> Any:
    from google.protobuf import empty_pb2

    return empty_pb2.Empty()
