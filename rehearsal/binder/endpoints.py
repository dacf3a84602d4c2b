"""Finds the pods that a TargetGroupBinding wants as targets: pure functions on Kubernetes objects."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rehearsal.kube.client import Json
from rehearsal.kube.conditions import condition, is_met


class BackendNotFound(Exception):  # noqa: N818 - the controller's own word
    """The Service or its port does not exist."""


@dataclass(frozen=True, order=True)
class Target:
    """A pod's address and port as a target."""

    address: str
    port: int


def service_port(service: Json | None, name: str, wanted: int | str) -> Json:
    """Return the Service port that a binding refers to by number or name. Raises BackendNotFound."""
    if service is None:
        raise BackendNotFound(f'backend not found: Service "{name}" not found')
    ports: list[Json] = service["spec"].get("ports") or []
    for port in ports:
        if wanted in (port["port"], port.get("name")):
            return port
    namespace = service["metadata"]["namespace"]
    raise BackendNotFound(f"backend not found: unable to find port {wanted} on service {namespace}/{name}")


def endpoints(
    port: Json,
    slices: Iterable[Json],
    *,
    find_pod: Callable[[str], Json | None],
    find_node: Callable[[str], Json | None],
) -> dict[Target, Json]:
    """Return the pods behind a Service port that can take requests, from its EndpointSlices.

    These are the pods whose containers are ready and that do not terminate. The pod's Ready condition does not
    count: it depends on the readiness gate that we open. While no such pod exists, pods on silent nodes qualify.
    """
    ready: dict[Target, Json] = {}
    unknown: dict[Target, Json] = {}
    for target, endpoint in _addresses(port, slices):
        pod = find_pod(endpoint["targetRef"]["name"])
        if pod is None:
            continue
        conditions: Json = endpoint.get("conditions") or {}
        if conditions.get("ready", True):
            ready[target] = pod
        elif is_met(pod, "ContainersReady"):
            node = find_node(pod["spec"].get("nodeName", ""))
            state = condition(node, "Ready").get("status") if node else None
            if state == "True" and not conditions.get("terminating"):
                ready[target] = pod
            elif state == "Unknown":
                unknown[target] = pod
    return ready or unknown


def gate_of(binding: Json) -> str:
    """Return the condition type of a binding's readiness gate."""
    return f"target-health.elbv2.k8s.aws/{binding['metadata']['name']}"


def has_gate(pod: Json, gate: str) -> bool:
    return any(entry["conditionType"] == gate for entry in pod["spec"].get("readinessGates") or [])


def _addresses(port: Json, slices: Iterable[Json]) -> Iterable[tuple[Target, Json]]:
    for one in slices:
        if one["addressType"] != "IPv4":
            continue
        for entry in one.get("ports") or []:
            if port.get("name") and entry.get("name") != port["name"]:
                continue
            for endpoint in one.get("endpoints") or []:
                if (endpoint.get("targetRef") or {}).get("kind") == "Pod":
                    yield Target(endpoint["addresses"][0], entry["port"]), endpoint
