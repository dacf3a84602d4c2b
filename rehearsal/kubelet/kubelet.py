"""The kubelet stand-in: nodes, the pods bound to them, and the list of pods to scrape."""

import asyncio
import logging
from typing import NoReturn

import aiohttp

from rehearsal.kube.cache import KubeCache
from rehearsal.kube.client import AsyncKubeClient, Json
from rehearsal.kubelet.instances import Instances
from rehearsal.kubelet.network import PodNetwork
from rehearsal.kubelet.nodes import Nodes
from rehearsal.kubelet.pod import PodWorker
from rehearsal.kubelet.pod_interface import PodInterface
from rehearsal.kubelet.sandbox import Sandbox
from rehearsal.kubelet.settings import KubeletSettings
from rehearsal.kubelet.targets import TargetsFile

_LOG = logging.getLogger(__name__)
_TARGETS_SECONDS = 0.1


class Kubelet:
    """Runs until it is cancelled. Its pods' processes end with it."""

    def __init__(self, kube: AsyncKubeClient, settings: KubeletSettings, http: aiohttp.ClientSession) -> None:
        self._kube = kube
        self._settings = settings
        self._http = http
        self._network = PodNetwork(settings.pod_network)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._targets = TargetsFile(settings.targets_file)
        self._pods_changed = asyncio.Event()
        self._instances = Instances(settings.cluster_name, str(settings.pod_network))
        self._nodes = Nodes(kube, settings, self._instances, pods_on=self._pods_on, cut_off=self._cut_off)
        self._pods = KubeCache(kube, "v1", "Pod", field_selector="spec.nodeName!=", on_change=self._on_pod)

    async def run(self) -> NoReturn:
        """Run nodes and pods for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._nodes.cache.run())
                await self._nodes.cache.synced.wait()
                for work in (self._pods.run(), self._nodes.run(), self._keep_targets()):
                    group.create_task(work)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        raise AssertionError("tasks that run for ever have ended")

    def _pods_on(self, node: str) -> list[Json]:
        return [pod for pod in self._pods.objects.values() if pod["spec"]["nodeName"] == node]

    def _cut_off(self, node: str) -> None:
        for pod in self._pods_on(node):
            if task := self._tasks.get(pod["metadata"]["uid"]):
                task.cancel()

    def _on_pod(self, pod: Json, deleted: bool) -> None:
        uid: str = pod["metadata"]["uid"]
        self._pods_changed.set()
        worker = self._workers.get(uid)
        if deleted:
            if worker:
                worker.removed(pod)
            return
        if worker is None:
            host_address = self._nodes.address(pod["spec"]["nodeName"])
            finished = pod["status"].get("phase") in ("Succeeded", "Failed")
            if host_address is None or (finished and "deletionTimestamp" not in pod["metadata"]):
                return
            worker = self._begin(uid, pod, host_address)
        worker.update(pod)

    def _begin(self, uid: str, pod: Json, host_address: str) -> PodWorker:
        address = self._network.take(pod.get("status", {}).get("podIP"))
        sandbox = Sandbox(
            pod,
            address=address,
            host_address=host_address,
            folder=self._settings.folder / "pods" / uid,
            node_folder=self._settings.folder / "nodes" / pod["spec"]["nodeName"],
            kube=self._kube,
        )
        interface = PodInterface(self._instances, self._nodes.instance(pod["spec"]["nodeName"]), address)
        worker = PodWorker(pod, sandbox, interface, settings=self._settings, kube=self._kube, http=self._http)
        task = asyncio.ensure_future(worker.run())
        self._workers[uid] = worker
        self._tasks[uid] = task

        def ended(task: asyncio.Task[None]) -> None:
            del self._workers[uid], self._tasks[uid]
            self._network.give_back(address)
            self._pods_changed.set()
            if not task.cancelled() and (error := task.exception()):
                _LOG.error("pod %s: %r", pod["metadata"]["name"], error, exc_info=error)

        task.add_done_callback(ended)
        return worker

    async def _keep_targets(self) -> NoReturn:
        while True:
            self._targets.write(
                worker.pod for worker in self._workers.values() if worker.running and "podIP" in worker.pod["status"]
            )
            await self._pods_changed.wait()
            await asyncio.sleep(_TARGETS_SECONDS)  # Several pods often change at once.
            self._pods_changed.clear()
