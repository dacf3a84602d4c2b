"""The gRPC services that the program speaks to: the resource monitor and the engine's log."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf import empty_pb2

from rehearsal.engine.deployment import Deployment
from rehearsal.engine.errors import CommandError
from rehearsal.engine.events import EventStream
from rehearsal.engine.goal import Goal, goal_of, position_of
from rehearsal.engine.hooks import Hooks
from rehearsal.engine.protocol import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc
from rehearsal.engine.provider import ProviderError
from rehearsal.engine.steps import StoppedError
from rehearsal.engine.values import from_struct, to_struct

_FEATURES = {
    "secrets": resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    "resourceReferences": resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    "outputValues": resource_pb2.RESOURCE_MONITOR_FEATURE_OUTPUT_VALUES,
    "aliasSpecs": resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    "deletedWith": resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    "resourceHooks": resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
}

Context = grpc.aio.ServicerContext[Any, Any]


class EngineService(engine_pb2_grpc.EngineServicer):
    """Takes log messages of the program and of plugins."""

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self._root = ""

    async def Log(self, request: Any, context: Context) -> Any:
        """Pass a message on."""
        severity = ("debug", "info", "warning", "error")[request.severity]
        if severity != "debug":
            self._events.diagnostic(severity, request.message, request.urn, ephemeral=request.ephemeral, logged=True)
        return empty_pb2.Empty()

    async def SetRootResource(self, request: Any, context: Context) -> Any:
        """Remember the stack's own resource."""
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()

    async def GetRootResource(self, request: Any, context: Context) -> Any:
        """The stack's own resource."""
        return engine_pb2.GetRootResourceResponse(urn=self._root)

    async def RequirePulumiVersion(self, request: Any, context: Context) -> Any:
        """Every version range is met: the engine follows one CLI version."""
        return engine_pb2.RequirePulumiVersionResponse()


class MonitorService(resource_pb2_grpc.ResourceMonitorServicer):
    """Turns the program's requests into registrations."""

    def __init__(
        self,
        hooks: Hooks,
        *,
        root: Path,
        project: str,
        stack: str,
        config: Mapping[str, str],
        secret_keys: list[str],
        dry_run: bool,
        parallel: int,
    ) -> None:
        self._hooks = hooks
        self._root = root
        self._info = resource_pb2.DeploymentInfo(
            project=project,
            stack=stack,
            organization="organization",
            config=config,
            configSecretKeys=secret_keys,
            dryRun=dry_run,
            parallel=parallel,
            supportedFeatures=list(_FEATURES.values()),
        )
        self.deployment: Deployment | None = None
        self.program_done = asyncio.Event()
        self.may_end = asyncio.Event()

    @property
    def _target(self) -> Deployment:
        assert self.deployment is not None
        return self.deployment

    async def GetDeploymentInfo(self, request: Any, context: Context) -> Any:
        """What the program is run for."""
        return self._info

    async def SupportsFeature(self, request: Any, context: Context) -> Any:
        """Tell whether a feature (by its older, textual name) is supported."""
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in _FEATURES)

    async def RegisterResource(self, request: Any, context: Context) -> Any:
        """Bring a resource to the wanted state and answer with what it became."""
        try:
            registered = await self._target.register(goal_of(request, self._root))
        except (StoppedError, CommandError) as error:
            await self._abort(context, error)
            raise
        state = registered.state
        return resource_pb2.RegisterResourceResponse(
            urn=state.urn, id=state.id, object=to_struct(state.outputs), unknown=registered.unknown
        )

    async def RegisterResourceOutputs(self, request: Any, context: Context) -> Any:
        """Record the outputs of a component or of the stack."""
        try:
            self._target.register_outputs(request.urn, from_struct(request.outputs))
        except CommandError as error:
            await self._abort(context, error)
        return empty_pb2.Empty()

    async def ReadResource(self, request: Any, context: Context) -> Any:
        """Read a resource that is managed elsewhere."""
        goal = Goal(
            request.type,
            request.name,
            custom=True,
            inputs=from_struct(request.properties),
            parent=request.parent,
            provider=request.provider,
            version=request.version,
            dependencies=sorted(set(request.dependencies)),
            additional_secret_outputs=list(request.additionalSecretOutputs),
            source_position=position_of(request.sourcePosition, self._root),
        )
        try:
            state = await self._target.read(goal, request.id)
        except (StoppedError, CommandError, ProviderError) as error:
            await self._abort(context, error)
            raise
        return resource_pb2.ReadResourceResponse(urn=state.urn, properties=to_struct(state.outputs))

    async def Invoke(self, request: Any, context: Context) -> Any:
        """Call a provider's function."""
        try:
            result, failures = await self._target.invoke(
                request.tok, from_struct(request.args), request.provider, request.version
            )
        except (StoppedError, ProviderError) as error:
            await self._abort(context, error)
            raise
        response = resource_pb2.ResourceInvokeResponse()
        getattr(response, "return").CopyFrom(to_struct(result))
        for failure in failures:
            response.failures.add(property=failure.property, reason=failure.reason)
        return response

    async def RegisterResourceHook(self, request: Any, context: Context) -> Any:
        """Remember a hook of the program."""
        try:
            self._hooks.register(request)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return empty_pb2.Empty()

    async def SignalAndWaitForShutdown(self, request: Any, context: Context) -> Any:
        """The program has declared everything; it stays (for its hooks) until the update is over."""
        self.program_done.set()
        await self.may_end.wait()
        return empty_pb2.Empty()

    async def _abort(self, context: Context, error: Exception) -> None:
        if isinstance(error, StoppedError):
            # The reason has been reported already, and the program is about to be ended.
            await asyncio.Event().wait()
        await context.abort(grpc.StatusCode.UNKNOWN, str(error))
