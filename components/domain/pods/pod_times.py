"""The times of a pod's life and its probe thresholds, derived from a few settings."""

import math
from dataclasses import dataclass
from typing import Final

from components.domain.pods.drain_chain import EXIT_MARGIN_SECONDS, DrainChain

# A start may take this many times as long as declared, because starting again would take even longer.
STARTUP_MARGIN: Final = 1.5
STARTUP_TIMEOUT_SECONDS: Final = 5
# What the readiness probe needs besides the inference: the interpreter's start and one request for the metrics.
READINESS_MARGIN_SECONDS: Final = 3
READINESS_FAILURES: Final = 3
# `/health` runs no inference, but it shares the event loop and the interpreter lock with tokenizing and streaming.
LIVENESS_TIMEOUT_SECONDS: Final = 30
# A restart costs a cold start and every request of the pod. The readiness probe takes the pod out of service earlier.
MIN_SILENCE_SECONDS: Final = 180
MIN_LIVENESS_FAILURES: Final = 3
# What Pulumi allows a deletion beyond the pods' grace period.
DELETION_MARGIN_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class PodTimes:
    """Probe thresholds, which count consecutive failures, and times in seconds."""

    period_seconds: int
    startup_failures: int
    readiness_timeout_seconds: int
    liveness_failures: int
    dead_grace_period_seconds: int
    """Grace period after a failed startup or liveness probe: no request is left to drain."""
    progress_deadline_seconds: int
    """Longest time until one replica is replaced: the end of the old pod and the start of the new one."""
    deletion_seconds: int

    @property
    def startup_seconds(self) -> int:
        """How long a container has at least until its first answer before Kubernetes restarts it."""
        return self.startup_failures * self.period_seconds

    @property
    def silence_seconds(self) -> int:
        """How long `/health` must at least be unanswered before Kubernetes restarts the container.

        A container's probes run one after the other, so each probe that times out takes its whole timeout.
        """
        return self.liveness_failures * max(self.period_seconds, LIVENESS_TIMEOUT_SECONDS)

    def update_seconds(self, replicas: int) -> int:
        """Return how long an update of ``replicas``, one after the other, may take."""
        return self.progress_deadline_seconds * replicas


def pod_times(
    *,
    cold_start_seconds: int,
    node_start_seconds: int,
    probe_period_seconds: int,
    readiness_threshold_seconds: int,
    health_check_interval_seconds: int,
    drain_chain: DrainChain,
) -> PodTimes:
    """Return the times for these settings.

    Args:
        cold_start_seconds: longest time from container start to the first answer.
        node_start_seconds: longest time that a new node takes to join the cluster and pull the image.
        probe_period_seconds: interval of the pods' probes.
        readiness_threshold_seconds: longest time that the readiness probe's inference may take.
        health_check_interval_seconds: interval of the load balancer's health checks; the first check must pass.
        drain_chain: the timeouts with which a pod ends.
    """
    startup_failures = math.ceil(cold_start_seconds * STARTUP_MARGIN / probe_period_seconds)
    readiness_timeout = readiness_threshold_seconds + READINESS_MARGIN_SECONDS
    until_ready = probe_period_seconds + readiness_timeout + health_check_interval_seconds
    a_silent_probe = max(probe_period_seconds, LIVENESS_TIMEOUT_SECONDS)
    return PodTimes(
        period_seconds=probe_period_seconds,
        startup_failures=startup_failures,
        readiness_timeout_seconds=readiness_timeout,
        liveness_failures=max(MIN_LIVENESS_FAILURES, math.ceil(MIN_SILENCE_SECONDS / a_silent_probe)),
        dead_grace_period_seconds=drain_chain.pre_stop_seconds + EXIT_MARGIN_SECONDS,
        progress_deadline_seconds=node_start_seconds
        + startup_failures * probe_period_seconds
        + until_ready
        + drain_chain.grace_period_seconds,
        deletion_seconds=drain_chain.grace_period_seconds + DELETION_MARGIN_SECONDS,
    )
