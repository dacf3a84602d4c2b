"""Keeps one target group equal to the pods of its TargetGroupBinding, and the pods' readiness gates to its health."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, ClientError

from rehearsal.binder.endpoints import (
    BackendNotFound,
    Target,
    endpoints,
    gate_of,
    has_gate,
    service_port,
)
from rehearsal.binder.events import Recorder
from rehearsal.binder.gates import REGISTERING, UNBOUND, set_gate
from rehearsal.binder.networking import Networking, NetworkingError
from rehearsal.binder.target_group import TargetGroups
from rehearsal.binder.view import ClusterView
from rehearsal.kube.cache import newer
from rehearsal.kube.client import AsyncKubeClient, Json, KubeError
from rehearsal.kube.conditions import condition, is_met
from rehearsal.kube.time import timestamp

_LOG = logging.getLogger(__name__)
_API_VERSION = "elbv2.k8s.aws/v1beta1"
_KIND = "TargetGroupBinding"
_FINALIZER = "elbv2.k8s.aws/resources"
_CHECKPOINT = "elbv2.k8s.aws/checkpoint"
_SETTLE_SECONDS = 0.05
_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 5.0
_GONE = ("TargetGroupNotFound", "InvalidTarget", "ValidationError")
"""AWS's error codes for a target group that does not exist."""


class BindingWorker:
    """Reconciles one binding on every change, until the binding is deleted."""

    def __init__(
        self,
        binding: Json,
        *,
        kube: AsyncKubeClient,
        target_groups: TargetGroups,
        networking: Networking,
        view: ClusterView,
        health_poll_seconds: float,
    ) -> None:
        self.binding = binding
        self._kube = kube
        self._target_groups = target_groups
        self._networking = networking
        self._view = view
        self._health_poll_seconds = health_poll_seconds
        self._events = Recorder(kube)
        self._changed = asyncio.Event()
        self._changed.set()

    @property
    def _namespace(self) -> str:
        return self.binding["metadata"]["namespace"]

    @property
    def _name(self) -> str:
        return self.binding["metadata"]["name"]

    def touch(self) -> None:
        """Note a change of something that the binding depends on."""
        self._changed.set()

    def see(self, binding: Json) -> None:
        """Note a change of the binding itself."""
        self.binding = newer(self.binding, binding)
        self.touch()

    async def run(self) -> None:
        """Reconcile until the binding is deleted. After an error, retry with growing delays."""
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            self._changed.clear()
            leaving = "deletionTimestamp" in self.binding["metadata"]
            try:
                if leaving:
                    await self._release()
                    return
                pause = None if await self._reconcile() else self._health_poll_seconds
                backoff = _FIRST_BACKOFF_SECONDS
            except Exception as error:
                if isinstance(error, KubeError) and error.status == 404:
                    return  # The binding itself is gone.
                # Catch every error: a controller that stops trying leaves pods unreachable for ever.
                _LOG.warning("%s/%s: %r", self._namespace, self._name, error)
                await self._report_failure(error, leaving)
                pause, backoff = backoff, min(backoff * 2, _LONGEST_BACKOFF_SECONDS)
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
                await asyncio.sleep(_SETTLE_SECONDS)  # Several pods often change at once.
            except TimeoutError:
                continue

    async def _reconcile(self) -> bool:
        """Bring the target group and the gates to the wanted state. Return whether nothing is left to wait for."""
        await self._hold()
        reference = self.binding["spec"]["serviceRef"]
        try:
            service = self._view.service(self._namespace, reference["name"])
            port = service_port(service, reference["name"], reference["port"])
        except BackendNotFound as error:
            await self._events.record(self.binding, "Warning", "BackendNotFound", str(error))
            await self._clean_up()
            await self._succeed("")
            return True
        wanted = endpoints(
            port,
            self._view.slices(self._namespace, reference["name"]),
            find_pod=lambda name: self._view.pod(self._namespace, name),
            find_node=self._view.node,
        )
        checkpoint = _checkpoint(wanted, self.binding["spec"])
        if checkpoint == self._saved_checkpoint and not self._any_gate_is_closed(wanted):
            return True
        if not await self._bring_about(wanted):
            return False
        await self._succeed(checkpoint)
        return True

    async def _bring_about(self, wanted: Mapping[Target, Json]) -> bool:
        """Register, deregister and set the gates. Return whether nothing is left to wait for."""
        arn = await self._arn()
        health = await asyncio.to_thread(self._target_groups.health, arn)
        present = {target for target, state in health.items() if not state.leaving}
        missing, surplus = wanted.keys() - present, present - wanted.keys()
        reachable = await self._open_network(wanted)
        verdicts = {target: REGISTERING if target in missing else health[target] for target in wanted}
        gate = gate_of(self.binding)
        pending = any(has_gate(pod, gate) and not verdicts[target].healthy for target, pod in wanted.items())
        if missing or surplus or pending or not reachable:
            # Whatever happens from here on, the next reconciliation must be a full one.
            await self._save_checkpoint("")
        if surplus and not self.binding["spec"].get("multiClusterTargetGroup"):
            await asyncio.to_thread(self._target_groups.deregister, arn, surplus)
            _LOG.info("%s: deregistered %s", self._name, sorted(surplus))
        if missing:
            await asyncio.to_thread(self._target_groups.register, arn, missing)
            _LOG.info("%s: registered %s", self._name, sorted(missing))
        for target, pod in wanted.items():
            await set_gate(self._kube, pod, gate, verdicts[target])
        return reachable and not pending

    async def _open_network(self, wanted: Mapping[Target, Json]) -> bool:
        """Open the network and return whether load balancers can reach the pods. Pods are registered in any case."""
        try:
            await self._networking.open(self.binding, wanted.values())
        except (NetworkingError, BotoCoreError, ClientError) as error:
            _LOG.warning("%s/%s: %r", self._namespace, self._name, error)
            await self._events.record(self.binding, "Warning", "FailedNetworkReconcile", str(error))
            return False
        return True

    def _any_gate_is_closed(self, wanted: Mapping[Target, Json]) -> bool:
        gate = gate_of(self.binding)
        return any(condition(pod, gate) and not is_met(pod, gate) for pod in wanted.values())

    async def _arn(self) -> str:
        spec = self.binding["spec"]
        return spec.get("targetGroupARN") or await asyncio.to_thread(
            self._target_groups.arn_of, spec.get("targetGroupName", "")
        )

    async def _hold(self) -> None:
        """Add the finalizer, so that the binding stays until its targets are deregistered."""
        finalizers: list[str] = self.binding["metadata"].get("finalizers") or []
        if _FINALIZER not in finalizers:
            await self._patch_binding({"metadata": {"finalizers": [*finalizers, _FINALIZER]}})

    async def _release(self) -> None:
        finalizers: list[str] = self.binding["metadata"].get("finalizers") or []
        if _FINALIZER in finalizers:
            await self._clean_up()
            await self._patch_binding({"metadata": {"finalizers": [one for one in finalizers if one != _FINALIZER]}})

    async def _clean_up(self) -> None:
        """Deregister every target and open the gate of every pod."""
        try:
            arn = await self._arn()
            if health := await asyncio.to_thread(self._target_groups.health, arn):
                await asyncio.to_thread(self._target_groups.deregister, arn, health)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _GONE:
                raise
        await self._networking.close(self.binding)
        for pod in self._view.pods(self._namespace):
            await set_gate(self._kube, pod, gate_of(self.binding), UNBOUND)

    @property
    def _saved_checkpoint(self) -> str:
        return (self.binding["metadata"].get("annotations") or {}).get(_CHECKPOINT, "")

    async def _save_checkpoint(self, checkpoint: str) -> None:
        if checkpoint != self._saved_checkpoint:
            notes = {_CHECKPOINT: checkpoint, f"{_CHECKPOINT}-timestamp": str(int(time.time()))}
            await self._patch_binding({"metadata": {"annotations": notes}})

    async def _succeed(self, checkpoint: str) -> None:
        await self._save_checkpoint(checkpoint)
        generation = self.binding["metadata"]["generation"]
        if self.binding.get("status", {}).get("observedGeneration") != generation:
            await self._patch_binding({"status": {"observedGeneration": generation}}, subresource="status")
        await self._events.record(self.binding, "Normal", "SuccessfullyReconciled", "Successfully reconciled")

    async def _report_failure(self, error: Exception, leaving: bool) -> None:
        what, reason = ("cleanup", "FailedCleanup") if leaving else ("reconcile", "FailedReconcile")
        await self._events.record(self.binding, "Warning", reason, f"Failed {what} due to {error}")
        if not leaving:
            return
        entry = {
            "type": "Ready",
            "status": "False",
            "reason": reason,
            "message": str(error),
            "lastTransitionTime": timestamp(),
            "observedGeneration": self.binding["metadata"]["generation"],
        }
        try:
            await self._patch_binding({"status": {"conditions": [entry]}}, subresource="status")
        except KubeError as failure:
            _LOG.warning("status of %s: %s", self._name, failure)

    async def _patch_binding(self, patch: Json, subresource: str | None = None) -> None:
        answer = await self._kube.patch(
            _API_VERSION, _KIND, self._namespace, self._name, patch, subresource=subresource
        )
        self.binding = newer(self.binding, answer)


def _checkpoint(wanted: Mapping[Target, Json], spec: Json) -> str:
    """Return a hash of what the target group was last reconciled for; nothing is done while it stays the same."""
    pods = sorted(
        f"{target.address}:{target.port}:{pod['metadata']['creationTimestamp']}" for target, pod in wanted.items()
    )
    digests = (hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest() for part in (pods, spec))
    return "/".join(digests)
