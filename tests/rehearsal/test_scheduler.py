"""The real scheduler checks the capacity arithmetic: the computed nodes fit both colours, and one node less does not.

The program declares the node groups and the pods. Nodes are only objects, because a pod counts as placed once it is
bound.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from components.domain.capacity.capacity import DAEMONSET_MEMORY_MIB, DAEMONSET_MILLICPUS, nodes_for
from components.domain.naming import COLOR_KEY, COLORS, SERVICE_KEY, color_name
from components.domain.nodes.gpu_instances import INSTANCE_TYPES
from rehearsal.kube.client import Json, KubeClient
from rehearsal.kubelet.instances import Instance
from rehearsal.kubelet.node_groups import NodeGroup, Taint
from rehearsal.kubelet.node_object import lease_object, node_object
from tests.components.example import config, release, run_program_on
from tests.components.registrations import Registrations
from tests.rehearsal.layouts import Layout, random_layouts

LAYOUTS = len({name.split(".")[0] for name in INSTANCE_TYPES})
"""One of each family: what the API server does for a layout takes about a second of CPU time."""
_SEED = "SCHEDULER_SEED"
_USUAL_SEED = 60
_TEST_LABEL = "test"
_SERVICES_PER_PROGRAM = 4
_TIMEOUT_SECONDS = 240.0
_LEASE_SECONDS = 15.0
_POLL_SECONDS = 0.5
_TAINT_EFFECTS = {"NO_SCHEDULE": "NoSchedule"}


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A node group and the Deployments whose pods must fit on it."""

    layout: Layout
    group: NodeGroup
    deployments: Sequence[Json]

    @property
    def replicas(self) -> int:
        return sum(deployment["spec"]["replicas"] for deployment in self.deployments)

    @property
    def pending_with_one_node_less(self) -> int:
        return self.replicas - (self.group.desired_size - 1) * self.layout.per_node


class Cluster:
    """The nodes and pods of all layouts, in one namespace."""

    def __init__(self, kube: KubeClient, namespace: str, pools: Sequence[Pool]) -> None:
        self._kube = kube
        self._namespace = namespace
        self._pools = pools
        self._threads = ThreadPoolExecutor(8)
        self.nodes: dict[str, list[Json]] = {pool.group.name: [] for pool in pools}
        """Nodes by the name of their group."""
        self._ended = threading.Event()
        # An interrupted set-up does not come to `remove`.
        self._renewing = threading.Thread(target=self._renew_leases, daemon=True)
        self._renewing.start()

    @property
    def node_names(self) -> set[str]:
        return {node["metadata"]["name"] for nodes in self.nodes.values() for node in nodes}

    def create(self) -> None:
        """Create all nodes, each with its daemonsets' pods, then all pods."""
        groups = (pool.group for pool in self._pools for _ in range(pool.group.desired_size))
        self._all(self._create_node, enumerate(groups, 1))
        self._all(self._kube.create, (self._daemons(node) for nodes in self.nodes.values() for node in nodes))
        deployments = (deployment for pool in self._pools for deployment in pool.deployments)
        self._all(lambda one: self._kube.apply(one, field_manager="test"), deployments)

    def lose_a_node_of_each_pool(self) -> None:
        lost = {nodes.pop()["metadata"]["name"] for nodes in self.nodes.values()}
        self._all(lambda name: self._kube.delete("v1", "Node", None, name), lost)
        bound = self._kube.list("v1", "Pod", self._namespace)["items"]
        self._all(self._kill, (pod for pod in bound if pod["spec"].get("nodeName") in lost))

    def placed(self) -> list[Json]:
        """Return the services' pods once all of them have a node."""
        return self._pods_when(lambda unbound: not unbound)

    def settled(self) -> list[Json]:
        """Return the services' pods once each has a node or is unschedulable, and as many have a node as fit.

        The scheduler may try a pod before it knows that the last one on a node is gone. It then tries again later, so
        the pods that have a node never become fewer.
        """
        fewest = sum(pool.pending_with_one_node_less for pool in self._pools)
        return self._pods_when(lambda unbound: len(unbound) <= fewest and all(map(_is_unschedulable, unbound)))

    def _pods_when(self, ready: Callable[[list[Json]], bool]) -> list[Json]:
        expected = sum(pool.replicas for pool in self._pools)
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while True:
            # Usually few; the list of all pods is long.
            unbound = self._services_pods("spec.nodeName=")
            if ready(unbound):
                pods = self._services_pods()
                if len(pods) == expected and ready([pod for pod in pods if not _is_bound(pod)]):
                    return pods
            assert time.monotonic() < deadline, [_scheduling_messages(pod) for pod in unbound] or "pods are missing"
            time.sleep(_POLL_SECONDS)

    def _services_pods(self, field_selector: str | None = None) -> list[Json]:
        found = self._kube.list("v1", "Pod", self._namespace, label_selector=SERVICE_KEY, field_selector=field_selector)
        return found["items"]

    def remove(self) -> None:
        """Delete everything at once; no kubelet ends the pods in order."""
        self._ended.set()
        try:
            for kind in ("deployments", "replicasets"):
                self._kube.request("DELETE", f"/apis/apps/v1/namespaces/{self._namespace}/{kind}", body={})
            pods = f"/api/v1/namespaces/{self._namespace}/pods"
            self._kube.request("DELETE", pods, body={"gracePeriodSeconds": 0})
            self._kube.request("DELETE", "/api/v1/nodes", params={"labelSelector": f"{_TEST_LABEL}={self._namespace}"})
        finally:
            self._threads.shutdown()
            self._renewing.join()

    def _all(self, action: Callable[[Any], object], each: Iterable[Any]) -> None:
        for _ in self._threads.map(action, each):
            pass  # Raises the error of any one.

    def _create_node(self, numbered: tuple[int, NodeGroup]) -> None:
        number, group = numbered
        instance = Instance(
            identity=f"i-{number:017x}",
            group=group.name,
            zone=f"us-east-1{'ab'[number % 2]}",
            address=f"10.200.{number >> 8}.{number & 255}",
        )
        node = node_object(group, instance, "us-east-1")
        node["metadata"]["labels"][_TEST_LABEL] = self._namespace
        self.nodes[group.name].append(self._kube.create(node))

    def _daemons(self, node: Json) -> Json:
        name = node["metadata"]["name"]
        requests = {"cpu": f"{DAEMONSET_MILLICPUS}m", "memory": f"{DAEMONSET_MEMORY_MIB}Mi"}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": self._namespace},
            "spec": {
                "nodeName": name,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "daemons", "image": "daemons", "resources": {"requests": requests}}],
            },
        }

    def _kill(self, pod: Json) -> Json:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        return self._kube.delete("v1", "Pod", self._namespace, name, grace_period_seconds=0, uid=uid)

    def _renew_leases(self) -> None:
        """Renew leases as kubelets do: on a slow machine the test takes longer than a node may be silent."""
        while not self._ended.wait(_LEASE_SECONDS):
            for node in [node for nodes in self.nodes.values() for node in nodes]:
                self._kube.apply(lease_object(node), field_manager="kubelet", force=True)


def _is_bound(pod: Json) -> bool:
    return "nodeName" in pod["spec"]


def _is_unschedulable(pod: Json) -> bool:
    return any(condition.get("reason") == "Unschedulable" for condition in pod["status"].get("conditions", ()))


def _scheduling_messages(pod: Json) -> str:
    messages = [condition.get("message", "") for condition in pod["status"].get("conditions", ())]
    return f"{pod['metadata']['name']}: {'; '.join(messages)}"


def _evictions(kube: KubeClient, namespace: str) -> list[str]:
    events = kube.list("v1", "Event", namespace)["items"]
    return [event["message"] for event in events if event["reason"] in ("Preempted", "Evicted", "TaintManagerEviction")]


def _pods_by_pool(pods: Iterable[Json], pools: Sequence[Pool]) -> Counter[str]:
    """Count pods by the name of their pool's group."""
    owners = {deployment["metadata"]["name"]: pool.group.name for pool in pools for deployment in pool.deployments}
    labels = [pod["metadata"]["labels"] for pod in pods]
    return Counter(owners[color_name(one[SERVICE_KEY], one[COLOR_KEY])] for one in labels)


def _declared(layouts: Sequence[Layout], namespace: str) -> Iterator[Pool]:
    """Run the program on a few layouts at a time, which is faster than one by one or all at once."""
    for first in range(0, len(layouts), _SERVICES_PER_PROGRAM):
        some = layouts[first : first + _SERVICES_PER_PROGRAM]
        services = {layout.service: layout.settings(release()) for layout in some}
        registrations = run_program_on(config(services=services, blue=None, green=None, instance_type=None))
        for layout in some:
            yield from _pools(layout, registrations, namespace)


def _pools(layout: Layout, registrations: Registrations, namespace: str) -> Iterator[Pool]:
    names = [color_name(layout.service, color) for color in COLORS]
    deployments: list[Json] = [_whole_numbers(registrations["Deployment", name].inputs) for name in names]
    for deployment in deployments:
        deployment["metadata"]["namespace"] = namespace
    # Separate groups are named after their colour, a shared group after the service.
    held = (
        {layout.service: deployments}
        if layout.shared
        else dict(zip(names, ([one] for one in deployments), strict=True))
    )
    for name, some in held.items():
        group = _group(name, registrations["NodeGroup", name].inputs)
        yield Pool(layout=layout, group=group, deployments=some)


def _group(name: str, inputs: dict[str, Any]) -> NodeGroup:
    return NodeGroup(
        name=name,
        desired_size=int(inputs["scalingConfig"]["desiredSize"]),
        instance_type=inputs["instanceTypes"][0],
        subnets=(),
        security_groups=(),
        labels=inputs["labels"],
        taints=tuple(
            Taint(key=taint["key"], value=taint["value"], effect=_TAINT_EFFECTS[taint["effect"]])
            for taint in inputs["taints"]
        ),
    )


def _whole_numbers(value: Any) -> Any:
    """Turn the engine protocol's floats back into integers."""
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) else value


@pytest.fixture(scope="module")
def drawn() -> tuple[int, list[Layout]]:
    """The same layouts in each run, so that runs are comparable. Another seed gives others."""
    seed = int(os.environ.get(_SEED) or _USUAL_SEED)
    return seed, random_layouts(random.Random(seed), LAYOUTS)


@pytest.fixture
def layouts(drawn: tuple[int, list[Layout]]) -> list[Layout]:
    seed, layouts = drawn
    print(f"{_SEED}={seed} draws these layouts again")  # pytest shows it with each test that fails
    return layouts


@pytest.fixture
def pools(layouts: list[Layout], namespace: str) -> list[Pool]:
    return list(_declared(layouts, namespace))


@pytest.fixture
def cluster(kube: KubeClient, namespace: str, pools: list[Pool]) -> Generator[Cluster]:
    cluster = Cluster(kube, namespace, pools)
    yield cluster
    cluster.remove()


def test_the_layouts_cover_all_families_bounds_and_modes(layouts: list[Layout]) -> None:
    assert {layout.instance.name.split(".")[0] for layout in layouts} == {name.split(".")[0] for name in INSTANCE_TYPES}
    assert {layout.mode for layout in layouts} == {"always", "on_rollout", "reserved"}
    assert {layout.shape.gpus for layout in layouts} >= {1, 2, 4, 8}
    fewer = [layout for layout in layouts if layout.per_node < layout.instance.gpus // layout.shape.gpus]
    assert {layout.bound for layout in fewer} == {"CPU", "memory"}
    assert any(layout.per_node > 1 for layout in fewer)  # and the last one that fits is not the first
    assert {layout.shared for layout in layouts} == {True, False}


@pytest.mark.timeout(600)
def test_the_computed_nodes_fit_both_colours_and_one_node_less_does_not(
    kube: KubeClient, namespace: str, pools: list[Pool], cluster: Cluster
) -> None:
    assert all(
        pool.group.desired_size == nodes_for(pool.replicas, pool.layout.instance, pool.layout.shape) for pool in pools
    )
    cluster.create()
    placed = cluster.placed()
    assert {pod["spec"]["nodeName"] for pod in placed} == cluster.node_names
    assert _evictions(kube, namespace) == []
    # No pod was evicted for another one: the pods are still the first ones.
    assert len({pod["metadata"]["uid"] for pod in placed}) == len(placed)
    assert not any("deletionTimestamp" in pod["metadata"] for pod in placed)
    assert not any("nominatedNodeName" in pod["status"] for pod in placed)

    cluster.lose_a_node_of_each_pool()
    pods = cluster.settled()
    waiting = _pods_by_pool((pod for pod in pods if not _is_bound(pod)), pools)
    assert waiting == {pool.group.name: pool.pending_with_one_node_less for pool in pools}
    assert min(waiting.values()) >= 1
    assert _evictions(kube, namespace) == []
