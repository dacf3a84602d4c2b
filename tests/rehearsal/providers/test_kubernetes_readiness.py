"""When a Deployment counts as ready, and how pods that are not ready are explained, on recorded statuses."""

import pytest

from rehearsal.kube.client import Json
from rehearsal.providers.kubernetes.readiness import deployment_problems, pod_problems

AVAILABLE = {"type": "Available", "status": "True"}
COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
ROLLING = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}


def deployment(*conditions: Json, revision: str = "2") -> Json:
    annotations = {"deployment.kubernetes.io/revision": revision}
    return {
        "metadata": {"generation": 2, "annotations": annotations},
        "status": {"observedGeneration": 2, "conditions": list(conditions)},
    }


def replica_set(wanted: int, ready: int) -> Json:
    return {"spec": {"replicas": wanted}, "status": {"readyReplicas": ready}}


def test_a_complete_rollout_is_ready() -> None:
    assert deployment_problems(deployment(AVAILABLE, COMPLETE), replica_set(2, 2)) == []


def test_a_deployment_without_replicas_is_ready_at_once() -> None:
    assert deployment_problems(deployment(AVAILABLE, COMPLETE), replica_set(0, 0)) == []


def test_the_first_template_is_ready_once_its_pods_are() -> None:
    assert deployment_problems(deployment(AVAILABLE, ROLLING, revision="1"), replica_set(2, 2)) == []


@pytest.mark.parametrize(
    ("waiting", "newest", "problem"),
    [
        (deployment(AVAILABLE, COMPLETE), replica_set(2, 1), "1 of 2 updated Pods are ready"),
        (deployment(AVAILABLE, ROLLING), replica_set(1, 1), "the new ReplicaSet is not available yet"),
        (deployment(AVAILABLE, COMPLETE), None, "the new ReplicaSet does not exist yet"),
        (deployment(COMPLETE), replica_set(1, 1), "it is not yet reported as available"),
        (
            deployment(
                AVAILABLE,
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"},
            ),
            replica_set(1, 1),
            "[ProgressDeadlineExceeded] late",
        ),
    ],
)
def test_an_unfinished_rollout_reports_what_is_missing(waiting: Json, newest: Json | None, problem: str) -> None:
    assert problem in deployment_problems(waiting, newest)


def test_a_status_from_before_the_change_is_ignored() -> None:
    stale = deployment(AVAILABLE, COMPLETE)
    stale["status"]["observedGeneration"] = 1
    assert deployment_problems(stale, replica_set(1, 1)) == ["the Deployment controller has not seen the change yet"]


def test_a_crashing_container_is_named_with_its_reason() -> None:
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s"}
    pod = {
        "status": {
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "vllm"}],
            "containerStatuses": [{"name": "vllm", "state": {"waiting": waiting}}],
        }
    }
    assert list(pod_problems(pod)) == [
        "[ContainersNotReady] vllm",
        "container vllm is CrashLoopBackOff: back-off 10s",
    ]


def test_a_ready_pod_has_no_problems() -> None:
    assert list(pod_problems({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})) == []
