"""A pod's status, derived from its containers."""

from typing import Any

import pytest

from rehearsal.kube.client import Json
from rehearsal.kubelet.status import pod_status

RUNNING: Json = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
WAITING: Json = {"waiting": {"reason": "ContainerCreating"}}


def exited(code: int) -> Json:
    return {"terminated": {"exitCode": code}}


def container(state: Json, *, ready: bool = False, last_state: Json | None = None) -> Json:
    return {"name": "vllm", "state": state, "lastState": last_state or {}, "ready": ready}


def status_of(*containers: Json, init: tuple[Json, ...] = (), pod: Json | None = None, policy: str = "Always") -> Json:
    return pod_status(
        pod or {"spec": {"restartPolicy": policy}},
        address="10.64.0.1",
        host_address="10.0.0.11",
        started_at="2026-01-01T00:00:00Z",
        init_containers=init,
        containers=containers,
    )


def condition(status: Json, kind: str) -> dict[str, Any]:
    return next(entry for entry in status["conditions"] if entry["type"] == kind)


@pytest.mark.parametrize(
    ("policy", "state", "last_state", "phase"),
    [
        ("Always", WAITING, {}, "Pending"),
        ("Always", RUNNING, {}, "Running"),
        ("Always", exited(1), {}, "Running"),
        ("Always", WAITING, exited(1), "Running"),
        ("Never", exited(0), {}, "Succeeded"),
        ("Never", exited(1), {}, "Failed"),
        ("OnFailure", exited(0), {}, "Succeeded"),
        ("OnFailure", exited(1), {}, "Running"),
    ],
)
def test_the_phase_follows_state_and_restart_policy(policy: str, state: Json, last_state: Json, phase: str) -> None:
    assert status_of(container(state, last_state=last_state), policy=policy)["phase"] == phase


def test_a_pod_is_initialized_when_its_init_containers_have_succeeded() -> None:
    waiting = status_of(container(WAITING), init=(container(RUNNING),))
    done = status_of(container(WAITING), init=(container(exited(0)),))
    assert condition(waiting, "Initialized")["status"] == "False"
    assert condition(done, "Initialized")["status"] == "True"


def test_an_unchanged_condition_keeps_its_time() -> None:
    known = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z"}
    pod = {"spec": {}, "status": {"conditions": [known]}}
    stays = status_of(container(RUNNING, ready=True), pod=pod)
    changes = status_of(container(RUNNING, ready=False), pod=pod)
    assert condition(stays, "Ready")["lastTransitionTime"] == "2026-01-01T00:00:05Z"
    assert condition(changes, "Ready")["lastTransitionTime"] > "2026-01-01T00:00:05Z"
    assert condition(changes, "Ready")["reason"] == "ContainersNotReady"
