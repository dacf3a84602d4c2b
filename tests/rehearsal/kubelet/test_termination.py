"""How pods end: preStop hook, SIGTERM, grace period, SIGKILL."""

import os
import time

import pytest

from rehearsal.kube.client import Json, KubeClient
from rehearsal.scenarios.pod_watch import killed_pods
from tests.rehearsal.kubelet.conftest import World
from tests.rehearsal.world_parts import is_met, pods, server_pod, wait_for

HOOK_SECONDS = 1


def run_and_delete(kube: KubeClient, pod: Json, *, grace_period_seconds: int | None = None) -> tuple[float, float]:
    """Return when a ready pod's deletion was requested, and when the pod left the API."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    kube.create(pod)
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, name), "Ready"), "the pod is ready")
    deleted_at = time.time()
    kube.delete("v1", "Pod", namespace, name, grace_period_seconds=grace_period_seconds)
    wait_for(lambda: not pods(kube, namespace), "the pod is gone")
    return deleted_at, time.time()


@pytest.mark.parametrize(
    "hook",
    [
        {"sleep": {"seconds": HOOK_SECONDS}},
        {"exec": {"command": ["python3", "-c", f"import time; time.sleep({HOOK_SECONDS})"]}},
    ],
    ids=["sleep", "exec"],
)
def test_sigterm_comes_after_the_prestop_hook_and_the_process_may_finish(
    kube: KubeClient, world: World, namespace: str, hook: Json
) -> None:
    container = {"lifecycle": {"preStop": hook}, "env": [{"name": "SERVES_AFTER_SIGTERM", "value": "1"}]}
    pod = server_pod("server", namespace, container=container, terminationGracePeriodSeconds=20)

    deleted_at, gone_at = run_and_delete(kube, pod)

    sigterm_at = world.events(namespace, "server", "sigterm")[0]["time"]
    assert HOOK_SECONDS <= sigterm_at - deleted_at < HOOK_SECONDS + 5
    assert 1 <= gone_at - sigterm_at < 8, "gone as soon as the process has ended, long before the grace period"


def test_a_prestop_hook_may_be_an_http_request(kube: KubeClient, world: World, namespace: str) -> None:
    hook = {"httpGet": {"path": "/prestop", "port": "http"}}
    run_and_delete(kube, server_pod("server", namespace, container={"lifecycle": {"preStop": hook}}))
    asked_at = world.events(namespace, "server", "prestop")[0]["time"]
    assert asked_at < world.events(namespace, "server", "sigterm")[0]["time"]


def test_the_grace_period_counts_from_deletion_and_ends_with_sigkill(
    kube: KubeClient, world: World, namespace: str
) -> None:
    container = {
        "lifecycle": {"preStop": {"sleep": {"seconds": HOOK_SECONDS}}},
        "env": [{"name": "IGNORE_SIGTERM", "value": "1"}],
    }
    pod = server_pod("server", namespace, container=container, terminationGracePeriodSeconds=4)

    deleted_at, gone_at = run_and_delete(kube, pod)

    assert world.events(namespace, "server", "sigterm")
    assert 4 <= gone_at - deleted_at < 8
    assert killed_pods(world.folder / "kubelet.log") == [
        "pod server did not end within its grace period and was killed"
    ]


def test_a_hook_that_uses_up_the_grace_period_leaves_two_seconds_for_sigterm(
    kube: KubeClient, world: World, namespace: str
) -> None:
    container = {
        "lifecycle": {"preStop": {"sleep": {"seconds": 60}}},
        "env": [{"name": "IGNORE_SIGTERM", "value": "1"}],
    }
    # The API server refuses a sleep longer than the grace period, so the deletion shortens it.
    pod = server_pod("server", namespace, container=container, terminationGracePeriodSeconds=60)

    deleted_at, gone_at = run_and_delete(kube, pod, grace_period_seconds=1)

    sigterm_at = world.events(namespace, "server", "sigterm")[0]["time"]
    assert 1 <= sigterm_at - deleted_at < 4
    assert 3 <= gone_at - deleted_at < 8


def test_a_pod_deleted_while_it_starts_ends_at_once(kube: KubeClient, world: World, namespace: str) -> None:
    container = {"env": [{"name": "READY_AFTER", "value": "60"}]}
    kube.create(server_pod("server", namespace, container=container, terminationGracePeriodSeconds=20))
    wait_for(lambda: world.events(namespace, "server", "started"), "the process runs")

    kube.delete("v1", "Pod", namespace, "server")

    wait_for(lambda: not pods(kube, namespace), "gone", timeout_seconds=3)
    assert world.events(namespace, "server", "sigterm")


def test_a_second_deletion_can_shorten_the_grace_period(kube: KubeClient, world: World, namespace: str) -> None:
    container = {"env": [{"name": "IGNORE_SIGTERM", "value": "1"}]}
    kube.create(server_pod("server", namespace, container=container, terminationGracePeriodSeconds=60))
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "ready")
    kube.delete("v1", "Pod", namespace, "server")
    wait_for(lambda: world.events(namespace, "server", "sigterm"), "SIGTERM")

    kube.delete("v1", "Pod", namespace, "server", grace_period_seconds=1)

    wait_for(lambda: not pods(kube, namespace), "gone", timeout_seconds=4)


def test_a_forced_deletion_leaves_no_process(kube: KubeClient, world: World, namespace: str) -> None:
    container = {"env": [{"name": "IGNORE_SIGTERM", "value": "1"}]}
    kube.create(server_pod("server", namespace, container=container, terminationGracePeriodSeconds=60))
    wait_for(lambda: is_met(kube.get("v1", "Pod", namespace, "server"), "Ready"), "ready")
    folder = world.folder / "pods" / kube.get("v1", "Pod", namespace, "server")["metadata"]["uid"]
    pid = world.events(namespace, "server", "started")[0]["pid"]

    kube.delete("v1", "Pod", namespace, "server", grace_period_seconds=0)

    wait_for(lambda: not folder.exists(), "cleaned up", timeout_seconds=4)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
