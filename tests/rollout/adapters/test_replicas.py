"""What is read of a replica: why it waits, and how its log ended."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.domain.naming import CONTAINER_NAME
from rollout.adapters.kubernetes import replicas
from rollout.adapters.kubernetes.replicas import KubernetesReplicas
from rollout.model.errors import RolloutError

TOKEN = "hf_abcdefghijklmnopqrstuvwx"


def pod(message: str | None, *, now: bool = False) -> Any:
    """A pod whose container has crashed: it waits for its next start, or (now) has just ended."""
    ended = SimpleNamespace(terminated=SimpleNamespace(message=message), waiting=None)
    waiting = SimpleNamespace(terminated=None, waiting=SimpleNamespace(reason="CrashLoopBackOff"))
    container = SimpleNamespace(
        name=CONTAINER_NAME,
        restart_count=3,
        state=ended if now else waiting,
        last_state=SimpleNamespace(terminated=None) if now else ended,
    )
    return SimpleNamespace(
        metadata=SimpleNamespace(name="chat-green-0", labels={}, deletion_timestamp=None),
        status=SimpleNamespace(conditions=[], container_statuses=[container]),
    )


def crash_of(item: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    def listed(*_: object, **__: object) -> Any:
        return SimpleNamespace(items=[item])

    def core_api(_: str | None) -> Any:
        return SimpleNamespace(list_namespaced_pod=listed)

    monkeypatch.setattr(replicas, "core_api", core_api)
    (read,) = KubernetesReplicas(service="chat", namespace="chat").pods("green")
    return read.crash


@pytest.mark.parametrize("now", [True, False])
@pytest.mark.parametrize(
    ("message", "crash"),
    [
        ("usage: vllm serve\nerror: unrecognized arguments: --x\n\n", "error: unrecognized arguments: --x"),
        ("  one\x1b[0m  ", "one[0m"),
        ("x" * 301, "x" * 300 + "…"),
        (f"no access with {TOKEN}", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_last_line_of_a_crash_is_read_but_no_secret(
    message: str | None, crash: str, now: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert crash_of(pod(message, now=now), monkeypatch) == crash


def test_a_pod_that_has_not_crashed_has_no_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    item = pod(None)
    item.status.container_statuses[0].last_state = None
    assert crash_of(item, monkeypatch) == ""


@pytest.mark.parametrize("in_a_pod", [True, False])
def test_a_context_without_a_kubeconfig_is_one_error(
    in_a_pod: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    if in_a_pod:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(RolloutError, match=r"^no access to Kubernetes: .*Set KUBECONFIG, and kubernetes:context"):
        replicas.core_api("dev")
    assert capsys.readouterr() == ("", "")
