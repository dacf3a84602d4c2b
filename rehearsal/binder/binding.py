"""Keeps one target group equal to the pods of its TargetGroupBinding, and the pods' readiness gates to its health."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from botocore.exceptions import ClientError

from rehearsal.binder.endpoints import Target, condition, endpoints, gate_of, has_gate
from rehearsal.binder.target_group import Health, TargetGroups
from rehearsal.kube import STRATEGIC_MERGE_PATCH, AsyncKubeClient, Json, KubeError
from rehearsal.kube_time import timestamp

_LOG = logging.getLogger(__name__)
_API_VERSION = "elbv2.k8s.aws/v1beta1"
_KIND = "TargetGroupBinding"
_FINALIZER = "elbv2.k8s.aws/resources"
_SETTLE_SECONDS = 0.05
_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 5.0
_NOT_REGISTERED = Health(state="unused", reason="Target.NotRegistered", description="Target is not registered yet")


class BindingWorker:
    """Reconciles one binding whenever something about it changes, until it is gone."""

    def __init__(
        self,
        binding: Json,
        *,
        kube: AsyncKubeClient,
        target_groups: TargetGroups,
        find_service: Callable[[str, str], Json | None],
        find_pods: Callable[[str], Iterable[Json]],
        health_poll_seconds: float,
        resync_seconds: float,
    ) -> None:
        self.binding = binding
        self._kube = kube
        self._target_groups = target_groups
        self._find_service = find_service
        self._find_pods = find_pods
        self._health_poll_seconds = health_poll_seconds
        self._resync_seconds = resync_seconds
        self._changed = asyncio.Event()
        self._changed.set()

    @property
    def _namespace(self) -> str:
        return self.binding["metadata"]["namespace"]

    @property
    def _name(self) -> str:
        return self.binding["metadata"]["name"]

    def touch(self) -> None:
        """Something that the binding depends on has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Reconcile until the binding is deleted; errors are tried again with growing waits."""
        backoff = _FIRST_BACKOFF_SECONDS
        done: tuple[Any, ...] | None = None
        all_healthy = False
        while True:
            self._changed.clear()
            try:
                if "deletionTimestamp" in self.binding["metadata"]:
                    await self._release()
                    return
                wanted = self._wanted()
                outline = (self.binding["metadata"]["generation"], sorted(wanted))
                if outline != done or not all_healthy:
                    all_healthy = await self._reconcile(wanted)
                    done = outline
                backoff = _FIRST_BACKOFF_SECONDS
                pause = self._resync_seconds if all_healthy else self._health_poll_seconds
            except Exception as error:
                if isinstance(error, KubeError) and error.status == 404:
                    return  # The binding itself is gone.
                # Whatever it was: a controller that stops trying leaves pods unreachable for ever.
                _LOG.warning("%s/%s: %r", self._namespace, self._name, error)
                pause, done, backoff = backoff, None, min(backoff * 2, _LONGEST_BACKOFF_SECONDS)
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
                await asyncio.sleep(_SETTLE_SECONDS)  # Several pods often change together.
            except TimeoutError:
                done = None  # Look again even if nothing seems to have changed: others may have touched the group.

    def _wanted(self) -> dict[Target, Json]:
        reference = self.binding["spec"]["serviceRef"]
        service = self._find_service(self._namespace, reference["name"])
        return endpoints(service, reference["port"], self._find_pods(self._namespace)) if service else {}

    async def _reconcile(self, wanted: dict[Target, Json]) -> bool:
        """Make the target group and the gates what they must be; whether every wanted target is healthy."""
        await self._hold()
        arn = await self._arn()
        health = await asyncio.to_thread(self._target_groups.health, arn)
        present = {target for target, state in health.items() if not state.leaving}
        if missing := wanted.keys() - present:
            await asyncio.to_thread(self._target_groups.register, arn, missing)
            _LOG.info("%s: registered %s", self._name, sorted(missing))
        surplus = present - wanted.keys()
        if surplus and not self.binding["spec"].get("multiClusterTargetGroup"):
            await asyncio.to_thread(self._target_groups.deregister, arn, surplus)
            _LOG.info("%s: deregistered %s", self._name, sorted(surplus))
        verdicts = {target: _NOT_REGISTERED if target in missing else health[target] for target in wanted}
        for target, pod in wanted.items():
            await self._set_gate(pod, verdicts[target])
        await self._report()
        return all(verdict.healthy for verdict in verdicts.values())

    async def _arn(self) -> str:
        spec = self.binding["spec"]
        return spec.get("targetGroupARN") or await asyncio.to_thread(
            self._target_groups.arn_of, spec.get("targetGroupName", "")
        )

    async def _hold(self) -> None:
        """Let the binding not go away before its targets are deregistered."""
        finalizers: list[str] = self.binding["metadata"].get("finalizers") or []
        if _FINALIZER not in finalizers:
            await self._patch_binding({"metadata": {"finalizers": [*finalizers, _FINALIZER]}})

    async def _release(self) -> None:
        finalizers: list[str] = self.binding["metadata"].get("finalizers") or []
        if _FINALIZER not in finalizers:
            return
        try:
            arn = await self._arn()
            health = await asyncio.to_thread(self._target_groups.health, arn)
            if present := {target for target, state in health.items() if not state.leaving}:
                await asyncio.to_thread(self._target_groups.deregister, arn, present)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in ("TargetGroupNotFound", "InvalidTarget"):
                raise
        for pod in self._wanted().values():
            # Without a binding nobody would ever open the gate again.
            await self._set_gate(pod, Health(state="healthy"))
        await self._patch_binding({"metadata": {"finalizers": [f for f in finalizers if f != _FINALIZER]}})

    async def _set_gate(self, pod: Json, health: Health) -> None:
        gate = gate_of(self.binding)
        if not has_gate(pod, gate):
            return
        known = condition(pod, gate)
        status = "True" if health.healthy else "False"
        reason = None if health.healthy else health.reason or "Unknown"
        if (known.get("status"), known.get("reason")) == (status, reason):
            return
        changed_at = timestamp() if known.get("status") != status else known.get("lastTransitionTime")
        entry = {
            "type": gate,
            "status": status,
            "reason": reason,
            "message": health.description or None,
            "lastTransitionTime": changed_at,
        }
        metadata = pod["metadata"]
        try:
            await self._kube.patch(
                "v1",
                "Pod",
                metadata["namespace"],
                metadata["name"],
                {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [entry]}},
                subresource="status",
                content_type=STRATEGIC_MERGE_PATCH,
            )
        except KubeError as error:
            if error.status not in (404, 409):  # The pod is gone.
                raise

    async def _report(self) -> None:
        generation = self.binding["metadata"]["generation"]
        if self.binding.get("status", {}).get("observedGeneration") != generation:
            await self._patch_binding({"status": {"observedGeneration": generation}}, subresource="status")

    async def _patch_binding(self, patch: Json, subresource: str | None = None) -> None:
        self.binding = await self._kube.patch(
            _API_VERSION, _KIND, self._namespace, self._name, patch, subresource=subresource
        )
