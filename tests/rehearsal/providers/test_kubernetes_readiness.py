"""When a Deployment counts as ready and what is said of pods that are not, judged on recorded statuses."""

import pytest

from rehearsal.kube import Json
from rehearsal.providers.kubernetes.readiness import deployment_problems, pod_problems, skips_await, timeout_seconds

AVAILABLE = {"type": "Available", "status": "True"}
COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}


def deployment(replicas: int, *conditions: Json, **status: int) -> Json:
    return {
        "metadata": {"generation": 2},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 2, "conditions": list(conditions), **status},
    }


def test_a_complete_rollout_is_ready() -> None:
    ready = deployment(2, AVAILABLE, COMPLETE, updatedReplicas=2, readyReplicas=2)
    assert deployment_problems(ready) == []


def test_no_replicas_are_ready_at_once() -> None:
    assert deployment_problems(deployment(0, AVAILABLE, COMPLETE)) == []


@pytest.mark.parametrize(
    ("waiting", "problem"),
    [
        (deployment(2, AVAILABLE, COMPLETE, updatedReplicas=2, readyReplicas=1), "1 of 2 updated Pods are ready"),
        (deployment(2, AVAILABLE, COMPLETE, updatedReplicas=1, readyReplicas=2), "1 of 2 updated Pods are ready"),
        (deployment(1, AVAILABLE, updatedReplicas=1, readyReplicas=1), "the rollout has not started"),
        (
            deployment(
                1,
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"},
            ),
            "[ProgressDeadlineExceeded] late",
        ),
    ],
)
def test_an_unfinished_rollout_says_what_is_missing(waiting: Json, problem: str) -> None:
    assert problem in deployment_problems(waiting)


def test_a_status_of_before_the_change_counts_for_nothing() -> None:
    stale = deployment(1, AVAILABLE, COMPLETE, updatedReplicas=1, readyReplicas=1)
    stale["status"]["observedGeneration"] = 1
    assert deployment_problems(stale) == ["the Deployment controller has not seen the change yet"]


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


def test_time_allowed_is_the_resource_s_then_the_annotation_s_then_ten_minutes() -> None:
    annotated: Json = {"metadata": {"annotations": {"pulumi.com/timeoutSeconds": "30"}}}
    assert [timeout_seconds(annotated, 5), timeout_seconds(annotated, None), timeout_seconds({}, None)] == [5, 30, 600]


def test_waiting_is_skipped_only_when_the_annotation_says_true() -> None:
    assert skips_await({"metadata": {"annotations": {"pulumi.com/skipAwait": "true"}}})
    assert not skips_await({"metadata": {"annotations": {"pulumi.com/skipAwait": "false"}}})
