"""One pod, from its binding to a node until its end."""

import asyncio
import logging
from pathlib import Path

import aiohttp
import httpx
from botocore.exceptions import BotoCoreError, ClientError

from rehearsal.kube.client import STRATEGIC_MERGE_PATCH, AsyncKubeClient, Json, KubeError
from rehearsal.kube.time import timestamp
from rehearsal.kubelet.container import Container
from rehearsal.kubelet.grace import Grace
from rehearsal.kubelet.pod_interface import PodInterface
from rehearsal.kubelet.sandbox import ConfigError, Sandbox
from rehearsal.kubelet.settings import KubeletSettings
from rehearsal.kubelet.status import pod_status

_LOG = logging.getLogger(__name__)
_DEFAULT_GRACE_SECONDS = 30
_LEAST_GRACE_SECONDS = 1
_RETRY_SECONDS = 0.5


class PodWorker:
    """Runs a pod's containers and reports its status. On deletion, stops them and removes the pod from the API."""

    def __init__(
        self,
        pod: Json,
        sandbox: Sandbox,
        interface: PodInterface,
        *,
        settings: KubeletSettings,
        kube: AsyncKubeClient,
        http: aiohttp.ClientSession,
    ) -> None:
        self.pod = pod
        self.sandbox = sandbox
        self._interface = interface
        self._kube = kube
        self._gone = False
        self._grace: Grace | None = None
        self._deleted = asyncio.Event()
        self._dirty = asyncio.Event()
        self._started_at: str = pod.get("status", {}).get("startTime") or timestamp()
        spec = pod["spec"]
        policy: str = spec.get("restartPolicy", "Always")
        log = _log_file(pod, settings)
        known = {status["name"]: status for status in pod.get("status", {}).get("containerStatuses") or []}

        def container(entry: Json, restart_policy: str) -> Container:
            # A container that ran under an earlier kubelet died with that kubelet.
            before: Json = known.get(entry["name"], {})
            restarts = before.get("restartCount", 0) + (1 if "running" in before.get("state", {}) else 0)
            return Container(
                entry,
                sandbox,
                restart_policy=restart_policy,
                previous_restarts=restarts,
                settings=settings,
                log=log,
                http=http,
                on_change=self._dirty.set,
            )

        self._init_containers = [container(entry, "OnFailure") for entry in spec.get("initContainers") or []]
        self._containers = [container(entry, policy) for entry in spec["containers"]]

    @property
    def running(self) -> bool:
        """Whether a process of the pod runs."""
        return any(container.running for container in self._containers)

    def update(self, pod: Json) -> None:
        """Accept a new version of the pod."""
        self.pod = pod
        self._dirty.set()
        if "deletionTimestamp" in pod["metadata"]:
            self._delete_within(pod["metadata"].get("deletionGracePeriodSeconds", _DEFAULT_GRACE_SECONDS))

    def removed(self, pod: Json) -> None:
        """End the processes of a pod that is no longer in the API, as soon as their grace period allows."""
        self._gone = True
        self._delete_within(pod["metadata"].get("deletionGracePeriodSeconds", _DEFAULT_GRACE_SECONDS))

    async def run(self) -> None:
        """Run the pod. Returns when nothing of it is left."""
        reporting = asyncio.ensure_future(self._report())
        running = asyncio.ensure_future(self._run_containers())
        deleted = asyncio.ensure_future(self._deleted.wait())
        try:
            self._dirty.set()
            await asyncio.wait({running, deleted}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
                await deleted
            grace = self._grace or Grace(_DEFAULT_GRACE_SECONDS)
            everything = [*self._init_containers, *self._containers]
            await asyncio.gather(*(container.stop(grace) for container in everything))
            if not running.done():
                # Give the containers a moment to note how they ended.
                await asyncio.wait({running}, timeout=_RETRY_SECONDS)
        finally:
            for task in (running, deleted, reporting):
                task.cancel()
            await asyncio.gather(running, deleted, reporting, return_exceptions=True)
            self.sandbox.remove()
        await self._interface.disconnect()
        await self._finish()

    def _delete_within(self, grace_seconds: float) -> None:
        grace_seconds = max(grace_seconds, _LEAST_GRACE_SECONDS)
        if self._grace is None:
            self._grace = Grace(grace_seconds)
            self._deleted.set()
        else:
            self._grace.shorten(grace_seconds)

    async def _run_containers(self) -> None:
        while True:
            try:
                await self._interface.connect()
                await self.sandbox.make_volumes()
                break
            except (BotoCoreError, ClientError, ConfigError, KubeError, httpx.HTTPError) as error:
                _LOG.warning("pod %s: %s", self.pod["metadata"]["name"], error)
                await asyncio.sleep(_RETRY_SECONDS)
        for container in self._init_containers:
            await container.run()
        async with asyncio.TaskGroup() as group:
            for container in self._containers:
                group.create_task(container.run())

    async def _report(self) -> None:
        reported: Json | None = None
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            status = self._status()
            if status == reported or self._gone:
                continue
            try:
                await self._patch_status(status)
                reported = status
            except (KubeError, httpx.HTTPError) as error:
                if isinstance(error, KubeError) and error.status in (404, 409):
                    continue  # The pod is gone, perhaps replaced by another of its name.
                _LOG.warning("status of pod %s: %s", self.pod["metadata"]["name"], error)
                await asyncio.sleep(_RETRY_SECONDS)
                self._dirty.set()

    async def _finish(self) -> None:
        """Report how the pod ended, then remove it from the API."""
        metadata = self.pod["metadata"]
        namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
        while not self._gone:
            try:
                await self._patch_status(self._status())
                await self._kube.delete("v1", "Pod", namespace, name, grace_period_seconds=0, uid=uid)
            except (KubeError, httpx.HTTPError) as error:
                if isinstance(error, KubeError) and error.status in (404, 409):
                    return
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _patch_status(self, status: Json) -> None:
        metadata = self.pod["metadata"]
        await self._kube.patch(
            "v1",
            "Pod",
            metadata["namespace"],
            metadata["name"],
            # With the uid the patch cannot reach a new pod of the same name.
            {"metadata": {"uid": metadata["uid"]}, "status": status},
            subresource="status",
            content_type=STRATEGIC_MERGE_PATCH,
        )

    def _status(self) -> Json:
        return pod_status(
            self.pod,
            address=self.sandbox.address,
            host_address=self.sandbox.host_address,
            started_at=self._started_at,
            init_containers=[container.status for container in self._init_containers],
            containers=[container.status for container in self._containers],
        )


def _log_file(pod: Json, settings: KubeletSettings) -> Path:
    folder = settings.folder / "logs" / "pods"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{pod['metadata']['namespace']}_{pod['metadata']['name']}.log"
