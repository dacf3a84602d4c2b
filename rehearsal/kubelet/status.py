"""Derives a pod's status from its containers: phase, conditions and container statuses, as a kubelet does."""

from collections.abc import Sequence

from rehearsal.kube.client import Json
from rehearsal.kube.conditions import condition, is_met
from rehearsal.kube.time import timestamp


def pod_status(
    pod: Json,
    *,
    address: str,
    host_address: str,
    started_at: str,
    init_containers: Sequence[Json],
    containers: Sequence[Json],
) -> Json:
    """Return the parts of the status that a kubelet owns. Readiness gates are read but not written."""
    initialized = all(status["state"].get("terminated", {}).get("exitCode") == 0 for status in init_containers)
    phase = _phase(containers, restarts=pod["spec"].get("restartPolicy", "Always"))
    unready = [status["name"] for status in containers if not status["ready"]]
    finished = phase == "Succeeded"
    why = "PodCompleted" if finished else "ContainersNotReady"
    not_ready = (why, f"containers with unready status: [{' '.join(unready)}]")
    containers_ready = ("ContainersReady", not unready, *not_ready)
    waiting_gates = _waiting_gates(pod)
    if not unready and waiting_gates:
        message = f"the status of pod readiness gate {' '.join(waiting_gates)} is not True"
        ready = ("Ready", False, "ReadinessGatesNotReady", message)
    else:
        ready = ("Ready", not unready, *not_ready)
    conditions = [
        ("PodReadyToStartContainers", True, "", ""),
        ("Initialized", initialized, "ContainersNotInitialized", "containers with incomplete status"),
        ready,
        containers_ready,
        ("PodScheduled", True, "", ""),
    ]
    return {
        "phase": phase,
        "hostIP": host_address,
        "hostIPs": [{"ip": host_address}],
        "podIP": address,
        # The list merges by address, so it would keep the address from an earlier kubelet.
        "podIPs": [{"ip": address}, {"$patch": "replace"}],
        "startTime": started_at,
        "conditions": [_condition(pod, *entry) for entry in conditions],
        "initContainerStatuses": list(init_containers),
        "containerStatuses": list(containers),
    }


def _phase(containers: Sequence[Json], *, restarts: str) -> str:
    exits = [status["state"].get("terminated") for status in containers]
    will_stay = restarts == "Never" or (restarts == "OnFailure" and all(e and e["exitCode"] == 0 for e in exits))
    if will_stay and all(exits):
        return "Succeeded" if all(e and e["exitCode"] == 0 for e in exits) else "Failed"
    never_ran = any("waiting" in status["state"] and not status["lastState"] for status in containers)
    return "Pending" if never_ran else "Running"


def _waiting_gates(pod: Json) -> list[str]:
    gates: list[str] = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or []]
    return [f'"{gate}"' for gate in gates if not is_met(pod, gate)]


def _condition(pod: Json, kind: str, holds: bool, reason: str, message: str) -> Json:
    status = "True" if holds else "False"
    known = condition(pod, kind)
    since = known.get("lastTransitionTime") if known.get("status") == status else None
    return {
        "type": kind,
        "status": status,
        # A merge patch keeps what it does not name, so outdated fields are removed by name.
        "reason": None if holds else reason,
        "message": None if holds else message,
        "lastTransitionTime": since or timestamp(),
    }
