"""Keeps instances and Node objects equal to the EKS node groups: launches, drains and removes nodes, renews their
leases."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import httpx
from botocore.exceptions import ClientError

from rehearsal.kube.cache import KubeCache
from rehearsal.kube.client import STRATEGIC_MERGE_PATCH, AsyncKubeClient, Json, KubeError
from rehearsal.kube.conditions import is_met
from rehearsal.kubelet.instances import Instance, Instances
from rehearsal.kubelet.node_groups import NodeGroup, NodeGroupReader
from rehearsal.kubelet.node_object import GROUP_LABEL, lease_object, node_conditions, node_object
from rehearsal.kubelet.settings import KubeletSettings

_LOG = logging.getLogger(__name__)
_LEASE_RENEW_SECONDS = 10.0
_TERMINATING = "rehearsal/terminating"
LOST = "rehearsal/lost"
"""Annotation of a node whose instance is to fail: everything on it ends at once, without notice."""
_DRAIN_POLL_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class _Launch:
    """A node whose instance runs but that has not registered yet."""

    instance: Instance
    ready_at: float


class Nodes:
    """All nodes of the cluster."""

    def __init__(
        self,
        kube: AsyncKubeClient,
        settings: KubeletSettings,
        instances: Instances,
        *,
        pods_on: Callable[[str], list[Json]],
        cut_off: Callable[[str], None],
    ) -> None:
        """Keep nodes for a cluster. ``cut_off`` ends what runs on a node without reporting it to the API."""
        self._kube = kube
        self._settings = settings
        self._pods_on = pods_on
        self._cut_off = cut_off
        self._lost: set[str] = set()
        self._instances = instances
        self._groups = NodeGroupReader(settings.cluster_name)
        self._launches: list[_Launch] | None = None
        """None until the instances of an earlier kubelet have been read."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.cache = KubeCache(kube, "v1", "Node", on_change=self._on_node)

    def address(self, node: str) -> str | None:
        """Return the node's own address, None when the node is lost or not ours."""
        obj = self.cache.objects.get(("", node))
        if obj is None or node in self._lost or GROUP_LABEL not in obj["metadata"].get("labels", {}):
            return None
        return _address(obj)

    def instance(self, node: str) -> str:
        """Return the instance id of one of our nodes."""
        return _instance_id(self.cache.objects["", node])

    async def run(self) -> NoReturn:
        """Follow the node groups for ever."""
        await self.cache.synced.wait()
        renewing = asyncio.ensure_future(self._renew_leases())
        try:
            while True:
                try:
                    await self._reconcile(await asyncio.to_thread(self._groups.read))
                except Exception as error:
                    # Catch every error: the existing nodes stay, as in a cloud outage.
                    _LOG.warning("node groups: %r", error)
                await asyncio.sleep(self._settings.node_poll_seconds)
        finally:
            renewing.cancel()

    async def _reconcile(self, groups: list[NodeGroup]) -> None:
        launches = self._launches = await self._underway() if self._launches is None else self._launches
        wanted = {group.name: group for group in groups}
        present: dict[str, list[Json]] = defaultdict(list)
        for node in self.cache.objects.values():
            group_name = node["metadata"].get("labels", {}).get(GROUP_LABEL)
            if _TERMINATING in node["metadata"].get("annotations", {}):
                self._begin_removal(node["metadata"]["name"])
            elif group_name:
                present[group_name].append(node)
        for name in sorted({*wanted, *present, *(launch.instance.group for launch in launches)}):
            await self._resize(name, wanted.get(name), present[name], launches)
        await self._register(wanted, launches)

    async def _underway(self) -> list[_Launch]:
        """Return the launches of an earlier kubelet that ended before their nodes registered."""
        registered = {_instance_id(node) for node in self.cache.objects.values()}
        running = await asyncio.to_thread(self._instances.running)
        now = asyncio.get_running_loop().time()
        return [_Launch(instance=one, ready_at=now) for one in running if one.identity not in registered]

    async def _resize(self, name: str, group: NodeGroup | None, nodes: list[Json], launches: list[_Launch]) -> None:
        launching = [launch for launch in launches if launch.instance.group == name]
        excess = len(nodes) + len(launching) - (group.desired_size if group else 0)
        while group and excess < 0:
            try:
                instance = await asyncio.to_thread(self._instances.launch, group, group.desired_size + excess)
            except ClientError as error:
                # As an Auto Scaling group: it tries again later, and other groups go on.
                _LOG.info("no new node of group %s: %s", name, error)
                break
            ready_at = asyncio.get_running_loop().time() + self._settings.node_start_seconds
            launches.append(_Launch(instance=instance, ready_at=ready_at))
            excess += 1
        while excess > 0 and launching:
            launch = launching.pop()
            await asyncio.to_thread(self._instances.terminate, launch.instance.identity)
            launches.remove(launch)
            excess -= 1
        if excess > 0:
            for node in sorted(nodes, key=_age_key)[-excess:]:
                await self._mark_for_termination(node["metadata"]["name"])

    async def _register(self, groups: dict[str, NodeGroup], launches: list[_Launch]) -> None:
        now = asyncio.get_running_loop().time()
        for launch in [launch for launch in launches if launch.ready_at <= now]:
            node = node_object(groups[launch.instance.group], launch.instance, self._groups.region)
            created = await self._kube.create(node)
            launches.remove(launch)
            # The watch may lag behind the next read of the node groups.
            self.cache.keep(created)
            await self._renew_lease(created)
            _LOG.info("node %s of group %s has registered", created["metadata"]["name"], launch.instance.group)

    async def _mark_for_termination(self, name: str) -> None:
        change = {"metadata": {"annotations": {_TERMINATING: "true"}}, "spec": {"unschedulable": True}}
        self.cache.keep(await self._kube.patch("v1", "Node", None, name, change))
        self._begin_removal(name)

    def _begin_removal(self, name: str) -> None:
        if name in self._tasks:
            return
        task = asyncio.ensure_future(self._remove(name))
        self._tasks[name] = task

        def ended(task: asyncio.Task[None]) -> None:
            del self._tasks[name]
            if not task.cancelled() and (error := task.exception()):
                _LOG.warning("removing %s failed and will be retried: %r", name, error)

        task.add_done_callback(ended)

    def _on_node(self, node: Json, deleted: bool) -> None:
        name: str = node["metadata"]["name"]
        if deleted:
            self._lost.discard(name)
        elif LOST in node["metadata"].get("annotations", {}) and name not in self._lost:
            self._lost.add(name)
            self._tasks[name] = asyncio.ensure_future(self._lose(name))
            self._tasks[name].add_done_callback(lambda _: self._tasks.pop(name))

    async def _lose(self, name: str) -> None:
        """Fail the instance. After a while the cloud's node controller notices: the node and its pods are removed from
        the API, and the group launches another instance."""
        self._cut_off(name)
        _LOG.info("node %s is lost", name)
        await asyncio.to_thread(self._instances.terminate, self.instance(name))
        await asyncio.sleep(self._settings.node_lost_seconds)
        for pod in self._pods_on(name):
            await self._delete_pod(pod, grace_seconds=0)
        await self._kube.delete("v1", "Node", None, name)

    async def _remove(self, name: str) -> None:
        """Remove a node as a managed node group does: without a disruption budget; after a while pods are cut off."""
        instance = self.instance(name)
        deadline = asyncio.get_running_loop().time() + self._settings.node_drain_seconds
        deleted: set[str] = set()
        while pods := [pod for pod in self._pods_on(name) if not _is_daemon(pod)]:
            timed_out = asyncio.get_running_loop().time() > deadline
            for pod in pods:
                if pod["metadata"]["uid"] not in deleted or timed_out:
                    deleted.add(pod["metadata"]["uid"])
                    await self._delete_pod(pod, grace_seconds=0 if timed_out else None)
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        for pod in self._pods_on(name):
            await self._delete_pod(pod, grace_seconds=0)
        await self._kube.delete("v1", "Node", None, name)
        await asyncio.to_thread(self._instances.terminate, instance)
        _LOG.info("node %s is gone", name)

    async def _delete_pod(self, pod: Json, *, grace_seconds: int | None) -> None:
        metadata = pod["metadata"]
        try:
            await self._kube.delete(
                "v1",
                "Pod",
                metadata["namespace"],
                metadata["name"],
                grace_period_seconds=grace_seconds,
                uid=metadata["uid"],
            )
        except KubeError as error:
            if error.status not in (404, 409):
                raise

    async def _renew_leases(self) -> NoReturn:
        while True:
            for node in list(self.cache.objects.values()):
                if GROUP_LABEL in node["metadata"].get("labels", {}) and node["metadata"]["name"] not in self._lost:
                    try:
                        await self._renew_lease(node)
                        await self._report_ready(node)
                    except (KubeError, httpx.HTTPError) as error:
                        _LOG.info("lease of %s: %s", node["metadata"]["name"], error)
            await asyncio.sleep(_LEASE_RENEW_SECONDS)

    async def _renew_lease(self, node: Json) -> None:
        await self._kube.apply(lease_object(node), field_manager="kubelet", force=True)

    async def _report_ready(self, node: Json) -> None:
        """Report a node as ready. A node whose lease expired while its kubelet was away counts as lost until then."""
        if not is_met(node):
            status = {"status": {"conditions": node_conditions()}}
            name = node["metadata"]["name"]
            await self._kube.patch(
                "v1", "Node", None, name, status, subresource="status", content_type=STRATEGIC_MERGE_PATCH
            )


def _age_key(node: Json) -> tuple[str, str]:
    """Return a key that sorts nodes by age, the youngest last."""
    return node["metadata"]["creationTimestamp"], node["metadata"]["name"]


def _instance_id(node: Json) -> str:
    return node["spec"].get("providerID", "").rpartition("/")[2]


def _address(node: Json) -> str:
    addresses: list[Json] = node.get("status", {}).get("addresses", [])
    return next((entry["address"] for entry in addresses if entry["type"] == "InternalIP"), "10.0.0.0")


def _is_daemon(pod: Json) -> bool:
    return any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", []))
