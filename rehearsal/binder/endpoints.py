"""Which pods a TargetGroupBinding wants as targets: pure functions on Kubernetes objects."""

from collections.abc import Iterable
from dataclasses import dataclass

from rehearsal.kube import Json


@dataclass(frozen=True, order=True)
class Target:
    """A pod as a target of its target group: address and port."""

    address: str
    port: int


def endpoints(service: Json, service_port: int | str, pods: Iterable[Json]) -> dict[Target, Json]:
    """The pods behind a port of a Service that can take requests: containers ready, not terminating.

    The pod's Ready condition does not count, as the readiness gate that we open is a part of it.
    """
    selector: dict[str, str] = service["spec"].get("selector") or {}
    port = _find_port(service, service_port)
    if not selector or port is None:
        return {}
    found: dict[Target, Json] = {}
    for pod in pods:
        labels = pod["metadata"].get("labels", {})
        if selector.items() <= labels.items() and _takes_requests(pod):
            number = _container_port(pod, port.get("targetPort", port["port"]))
            if number is not None:
                found[Target(pod["status"]["podIP"], number)] = pod
    return found


def gate_of(binding: Json) -> str:
    """The condition type of the readiness gate that belongs to a binding."""
    return f"target-health.elbv2.k8s.aws/{binding['metadata']['name']}"


def has_gate(pod: Json, gate: str) -> bool:
    return any(entry["conditionType"] == gate for entry in pod["spec"].get("readinessGates") or [])


def condition(pod: Json, kind: str) -> Json:
    """A condition of the pod, empty when it has none of the type."""
    conditions: list[Json] = pod.get("status", {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == kind), {})


def _find_port(service: Json, wanted: int | str) -> Json | None:
    ports: list[Json] = service["spec"].get("ports") or []
    return next((port for port in ports if wanted in (port["port"], port.get("name"))), None)


def _takes_requests(pod: Json) -> bool:
    ready = condition(pod, "ContainersReady").get("status") == "True"
    return ready and "deletionTimestamp" not in pod["metadata"] and bool(pod["status"].get("podIP"))


def _container_port(pod: Json, wanted: int | str) -> int | None:
    if isinstance(wanted, int):
        return wanted
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", []):
            if port.get("name") == wanted:
                return port["containerPort"]
    return None
