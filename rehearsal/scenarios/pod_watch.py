"""Ends a command early when the pods that it waits for cannot start, and shows their logs."""

import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from rehearsal.kube.client import Json, KubeClient, KubeError
from rehearsal.world.stack_config import SERVICE
from rehearsal.world.world import CommandError, World

_LOOK_SECONDS = 1.0
_LOG_LINES = 15
_KILLED = re.compile(r"pod \S+ did not end within its grace period and was killed")


@contextmanager
def watched_pods(world: World) -> Generator[None]:
    """Watch the service's pods while commands run.

    Raises:
        CommandError: a pod's server keeps ending, or a command failed while pods were not ready. Includes their logs.
    """
    with KubeClient.from_kubeconfig(world.kubeconfig) as kube:
        watch = _PodWatch(world, kube)
        world.on_tick.append(watch.look)
        try:
            yield
        except CommandError as error:
            raise CommandError("\n".join([str(error), *watch.complaints()])) from None
        finally:
            world.on_tick.remove(watch.look)


def killed_pods(kubelet_log: Path) -> list[str]:
    """Return a sentence for each pod that was killed because it did not drain in time."""
    return sorted(set(_KILLED.findall(kubelet_log.read_text(errors="replace"))))


class _PodWatch:
    def __init__(self, world: World, kube: KubeClient) -> None:
        self._world = world
        self._kube = kube
        self._looked_at = 0.0

    def look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        for pod in self._pods():
            if _reason(pod) == "CrashLoopBackOff":
                raise CommandError(f"pod {pod['metadata']['name']} cannot start")

    def complaints(self) -> list[str]:
        """Return one text per pod that is not ready: its state and the end of its log."""
        return [self._complaint(pod) for pod in self._pods() if not _status(pod).get("ready")]

    def _pods(self) -> list[Json]:
        try:
            return self._kube.list("v1", "Pod", SERVICE)["items"]
        except (KubeError, httpx.HTTPError):
            return []  # Retried soon; the command itself reports errors of the API server.

    def _complaint(self, pod: Json) -> str:
        name, status = pod["metadata"]["name"], _status(pod)
        log = self._world.logs / "pods" / f"{SERVICE}_{name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        ended: Json = status.get("lastState", {}).get("terminated") or {}
        last = f", last ended with exit code {ended['exitCode']}" if ended else ""
        return "\n".join(
            [
                f"pod {name} is not ready: started {status.get('restartCount', 0) + 1} times{last};"
                f" see {log}, which ends with:",
                *(f"  {line}" for line in lines[-_LOG_LINES:]),
            ]
        )


def _status(pod: Json) -> Json:
    statuses: list[Json] = pod.get("status", {}).get("containerStatuses") or [{}]
    return statuses[0]


def _reason(pod: Json) -> str | None:
    return _status(pod).get("state", {}).get("waiting", {}).get("reason")
