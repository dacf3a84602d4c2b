"""The binder: one worker per TargetGroupBinding, woken by changes to the binding and in its namespace."""

import asyncio
import logging
from typing import NoReturn

from rehearsal.binder.binding import BindingWorker
from rehearsal.binder.networking import Networking
from rehearsal.binder.target_group import TargetGroups
from rehearsal.binder.view import ClusterView
from rehearsal.kube.cache import KubeCache
from rehearsal.kube.client import AsyncKubeClient, Json

_LOG = logging.getLogger(__name__)


class Binder:
    """Runs until it is cancelled. Targets then stay registered, as with the real controller."""

    def __init__(self, kube: AsyncKubeClient, *, health_poll_seconds: float) -> None:
        self._kube = kube
        self._health_poll_seconds = health_poll_seconds
        self._target_groups = TargetGroups()
        self._workers: dict[str, BindingWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._view = ClusterView(kube, self._on_change)
        self._bindings = KubeCache(kube, "elbv2.k8s.aws/v1beta1", "TargetGroupBinding", on_change=self._on_binding)
        self._networking = Networking(self._bindings.objects.values, self._view.node)

    async def run(self) -> NoReturn:
        """Run all workers for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                for cache in self._view.caches:
                    group.create_task(cache.run())
                    # Reconciling with incomplete caches would deregister serving pods.
                    await cache.synced.wait()
                group.create_task(self._bindings.run())
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        raise AssertionError("tasks that run for ever have ended")

    def _on_change(self, namespace: str) -> None:
        for worker in self._workers.values():
            if worker.binding["metadata"]["namespace"] == namespace:
                worker.touch()

    def _on_binding(self, binding: Json, deleted: bool) -> None:
        uid: str = binding["metadata"]["uid"]
        worker = self._workers.get(uid)
        if worker is None and not deleted:
            self._begin(uid, binding)
        elif worker:
            worker.see(binding)

    def _begin(self, uid: str, binding: Json) -> None:
        worker = BindingWorker(
            binding,
            kube=self._kube,
            target_groups=self._target_groups,
            networking=self._networking,
            view=self._view,
            health_poll_seconds=self._health_poll_seconds,
        )
        task = asyncio.ensure_future(worker.run())
        self._workers[uid] = worker
        self._tasks[uid] = task

        def ended(task: asyncio.Task[None]) -> None:
            del self._workers[uid], self._tasks[uid]
            if not task.cancelled() and (error := task.exception()):
                _LOG.error("binding %s: %r", binding["metadata"]["name"], error, exc_info=error)

        task.add_done_callback(ended)
