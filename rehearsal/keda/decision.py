"""How many replicas a Deployment should have, by the rules of KEDA and of Kubernetes' HorizontalPodAutoscaler. Pure.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
https://github.com/kedacore/keda/blob/v2.20.0/pkg/scaling/executor/scale_scaledobjects.go
"""

from collections import deque
from dataclasses import dataclass
from math import ceil
from typing import Final, Self

from rehearsal.kube.client import Json

_PAUSED: Final = "autoscaling.keda.sh/paused-replicas"
_TOLERANCE: Final = 0.1
# The default policies for scaling up, for each of their periods.
_MORE_PODS: Final = 4
_TIMES: Final = 2


@dataclass(frozen=True, kw_only=True)
class ScaledObject:
    """What a ScaledObject with one Prometheus trigger asks for."""

    namespace: str
    deployment: str
    floor: int
    ceiling: int
    paused_at: int | None
    """At how many replicas it is paused. None when it is not."""
    prometheus_url: str
    query: str
    target: float
    """Of what the query counts, on average for each replica."""
    empty_is_zero: bool = True
    """Whether an answer without data counts as 0. Otherwise it is an error."""

    @classmethod
    def parse(cls, obj: Json) -> Self:
        """Read an object as the API returns it."""
        metadata, spec = obj["metadata"], obj["spec"]
        (trigger,) = spec["triggers"]
        asked, paused = trigger["metadata"], (metadata.get("annotations") or {}).get(_PAUSED)
        return cls(
            namespace=metadata["namespace"],
            deployment=spec["scaleTargetRef"]["name"],
            floor=spec.get("minReplicaCount", 0),
            ceiling=spec.get("maxReplicaCount", 100),
            paused_at=None if paused is None else int(paused),
            prometheus_url=asked["serverAddress"],
            query=asked["query"],
            target=float(asked["threshold"]),
            empty_is_zero=asked.get("ignoreNullValues", "true") == "true",
        )


class Autoscaler:
    """Decides for one Deployment. It remembers what it wanted lately: it scales down only to the most of that."""

    def __init__(self, stabilization_seconds: float) -> None:
        self._stabilization_seconds = stabilization_seconds
        self._wanted: deque[tuple[float, int]] = deque()

    def decide(self, scaled: ScaledObject, replicas: int, total: float | None, now: float) -> int:
        """Return the number of replicas.

        Args:
            scaled: what is asked for.
            replicas: how many the Deployment has.
            total: what the query counts, for all replicas together. None when that is an error. Then KEDA starts none.
            now: seconds of a clock that never goes back.
        """
        if scaled.paused_at is not None:
            self._wanted.clear()
            return scaled.paused_at
        if not replicas:
            return 0 if total is None else scaled.floor
        self._wanted.append((now, replicas if total is None else _by_metric(replicas, total, scaled.target)))
        while self._wanted[0][0] < now - self._stabilization_seconds:
            self._wanted.popleft()
        wanted = self._wanted[-1][1]
        if wanted < replicas:
            wanted = min(replicas, max(one for _, one in self._wanted))
        most = max(replicas + _MORE_PODS, replicas * _TIMES)
        return min(max(min(wanted, most), scaled.floor), scaled.ceiling)


def _by_metric(replicas: int, total: float, target: float) -> int:
    near = abs(total / (target * replicas) - 1) <= _TOLERANCE
    return replicas if near else ceil(total / target)
