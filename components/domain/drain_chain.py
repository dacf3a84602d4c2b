"""The drain chain: two numbers yield every timeout that keeps a running request alive while its pod goes away.

A request survives a pod's end only if each link waits for the one before it: the load balancer stops sending,
the pod keeps serving, the engine finishes what runs, and no connection idles out in between.
"""

from dataclasses import dataclass, replace
from typing import Self

# vLLM needs a moment after its last request to leave; Kubernetes must not kill it in that moment.
EXIT_MARGIN_SECONDS = 10
# Above this the grace period outlives what managed node groups wait for before they terminate a node (15 minutes).
MAX_GRACE_PERIOD_SECONDS = 900


class DrainChainError(ValueError):
    """The two numbers yield a chain that AWS or Kubernetes cannot honour."""


@dataclass(frozen=True, kw_only=True)
class DrainChain:
    """Every timeout of the chain, in seconds."""

    pre_stop_seconds: int
    deregistration_delay_seconds: int
    shutdown_timeout_seconds: int
    grace_period_seconds: int
    idle_timeout_seconds: int
    keep_alive_seconds: int

    def behind(self, idle_timeout_seconds: int) -> Self:
        """Return the chain behind a load balancer whose idle timeout is its owner's choice."""
        keep_alive = idle_timeout_seconds + EXIT_MARGIN_SECONDS
        return replace(self, idle_timeout_seconds=idle_timeout_seconds, keep_alive_seconds=keep_alive)


def longest_stream_seconds(deregistration_propagation_seconds: int) -> int:
    """Return the greatest max_stream_seconds that leaves a chain which AWS and Kubernetes honour."""
    return MAX_GRACE_PERIOD_SECONDS - 1 - EXIT_MARGIN_SECONDS - deregistration_propagation_seconds


def drain_chain(max_stream_seconds: int, deregistration_propagation_seconds: int) -> DrainChain:
    """Derive the chain.

    Args:
        max_stream_seconds: the longest request to protect, queueing included.
        deregistration_propagation_seconds: how long requests still arrive after a target is deregistered.

    Raises:
        DrainChainError: the grace period would reach 900 s, so a managed node group could end the node first.
    """
    pre_stop = deregistration_propagation_seconds
    grace_period = pre_stop + max_stream_seconds + EXIT_MARGIN_SECONDS
    if grace_period >= MAX_GRACE_PERIOD_SECONDS:
        raise DrainChainError(
            f"max_stream_seconds={max_stream_seconds} and deregistration_propagation_seconds={pre_stop} need a "
            f"termination grace period of {grace_period} s; it must stay below {MAX_GRACE_PERIOD_SECONDS} s. "
            "Lower max_stream_seconds."
        )
    # A request that does not stream is silent until it ends, so the idle timeout must outlast it.
    idle_timeout = max_stream_seconds + EXIT_MARGIN_SECONDS
    return DrainChain(
        pre_stop_seconds=pre_stop,
        deregistration_delay_seconds=pre_stop + max_stream_seconds,
        shutdown_timeout_seconds=max_stream_seconds,
        grace_period_seconds=grace_period,
        idle_timeout_seconds=idle_timeout,
        # vLLM's default of 5 s closes connections under the ALB's feet, which answers 502.
        keep_alive_seconds=idle_timeout + EXIT_MARGIN_SECONDS,
    )
