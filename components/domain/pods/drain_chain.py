"""The drain chain: two settings determine every timeout that keeps a running request alive while its pod ends.

A request survives the end of its pod only if each link waits for the one before it: the load balancer stops sending
new requests, the pod keeps serving, the engine finishes running requests, and no connection times out meanwhile.
"""

from dataclasses import dataclass, replace
from typing import Self

# vLLM needs a moment to exit after its last request; Kubernetes must not kill it in that moment.
EXIT_MARGIN_SECONDS = 10
# A managed node group terminates a node after 15 minutes of draining, so the grace period must be shorter.
# https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html
MAX_GRACE_PERIOD_SECONDS = 900


class DrainChainError(ValueError):
    """The two settings need timeouts that AWS or Kubernetes does not allow."""


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
        """Return the chain for a load balancer whose idle timeout is set by its owner."""
        keep_alive = idle_timeout_seconds + EXIT_MARGIN_SECONDS
        return replace(self, idle_timeout_seconds=idle_timeout_seconds, keep_alive_seconds=keep_alive)


def longest_stream_seconds(deregistration_propagation_seconds: int) -> int:
    """Return the greatest max_stream_seconds for which AWS and Kubernetes allow the chain's timeouts."""
    return MAX_GRACE_PERIOD_SECONDS - 1 - EXIT_MARGIN_SECONDS - deregistration_propagation_seconds


def drain_chain(max_stream_seconds: int, deregistration_propagation_seconds: int) -> DrainChain:
    """Return the chain for the two settings.

    Args:
        max_stream_seconds: duration of the longest request that a drain must let finish, queueing included.
        deregistration_propagation_seconds: how long requests may still arrive after a target is deregistered.

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
    # A non-streaming request sends nothing until it ends, so the idle timeout must be longer.
    idle_timeout = max_stream_seconds + EXIT_MARGIN_SECONDS
    return DrainChain(
        pre_stop_seconds=pre_stop,
        deregistration_delay_seconds=pre_stop + max_stream_seconds,
        shutdown_timeout_seconds=max_stream_seconds,
        grace_period_seconds=grace_period,
        idle_timeout_seconds=idle_timeout,
        # With vLLM's default of 5 s, vLLM closes connections that the ALB still uses, and the ALB answers 502.
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
        # https://github.com/vllm-project/vllm/pull/18472
        keep_alive_seconds=idle_timeout + EXIT_MARGIN_SECONDS,
    )
