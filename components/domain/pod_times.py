"""The times of a pod's life, from the few that are declared: how long it may take to start, and how it is asked."""

import math
from dataclasses import dataclass
from typing import Final

from components.domain.drain_chain import EXIT_MARGIN_SECONDS, DrainChain

# A start that takes half as long again as it should is still better left alone than begun anew.
STARTUP_MARGIN: Final = 1.5
STARTUP_TIMEOUT_SECONDS: Final = 5
# Beyond the inference: the interpreter's start and one look at the metrics.
READINESS_MARGIN_SECONDS: Final = 3
READINESS_FAILURES: Final = 3
# `/health` runs no inference, but it shares an event loop and the interpreter's lock with tokenizing and streaming.
LIVENESS_TIMEOUT_SECONDS: Final = 30
# A restart costs a cold start and every request of the pod; out of service it is long before, by its readiness.
MIN_SILENCE_SECONDS: Final = 180
MIN_LIVENESS_FAILURES: Final = 3
# What Pulumi grants a deletion beyond the pods' own grace.
DELETION_MARGIN_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class PodTimes:
    """Thresholds count failed probes in a row; all else is in seconds."""

    period_seconds: int
    startup_failures: int
    readiness_timeout_seconds: int
    liveness_failures: int
    dead_grace_period_seconds: int
    """For a container that a probe has given up on: no request is left that could be drained."""
    progress_deadline_seconds: int
    """One replica's longest way from nothing to ready, the end of the pod in its place included."""
    deletion_seconds: int

    @property
    def startup_seconds(self) -> int:
        """How long a container may take at least until its first answer, before it is started again."""
        return self.startup_failures * self.period_seconds

    @property
    def silence_seconds(self) -> int:
        """How long an engine may leave `/health` without an answer at least, before it is started again.

        Probes of a container follow one another, so one that times out takes its timeout.
        """
        return self.liveness_failures * max(self.period_seconds, LIVENESS_TIMEOUT_SECONDS)

    def update_seconds(self, replicas: int) -> int:
        """Return how long a change of ``replicas`` one after the other may take."""
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
    """Derive the times.

    Args:
        cold_start_seconds: longest time from container start to the first answer.
        node_start_seconds: longest time until a new node has joined and pulled the image.
        probe_period_seconds: interval of the pods' probes.
        readiness_threshold_seconds: longest that the readiness probe's inference may take.
        health_check_interval_seconds: interval of the load balancer's health checks; the first one must pass.
        drain_chain: how a pod ends.
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
