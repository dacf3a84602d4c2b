"""Watches a colour's nodes while they start, and gives up early when they cannot.

An Auto Scaling group tries again for as long as it lacks instances, and the update of the stack waits meanwhile. So
without this watch, a rollout waits out its time limit and never says that EC2 has no capacity.
"""

import re
from collections.abc import Mapping
from typing import Final

from components.config.settings import ServiceSettings
from components.domain.naming import Color
from rollout.model.account import NodeGroupState
from rollout.model.errors import UpdateFailedError
from rollout.ports import Ports
from rollout.steps.scheduling import brings_nodes

# A group that cannot start an instance in one zone tries the others, so one failed launch decides nothing.
MAX_PATIENCE_SECONDS: Final = 120.0
# Karpenter gives up on a node once no type and no zone of a pool has capacity. The next pool gets its turn at once.
# https://github.com/aws/karpenter-provider-aws/blob/main/pkg/providers/instance/instance.go
POOL_PATIENCE_SECONDS: Final = 30.0
_POLLS: Final = 12

# Issues of AWS's own, which pass.
# https://docs.aws.amazon.com/eks/latest/APIReference/API_Issue.html
_PASSING: Final = frozenset(
    {"AutoScalingGroupRateLimitExceeded", "ClusterUnreachable", "IamThrottling", "InternalFailure", "Unknown"}
)

# What a message contains, and the fix. {type} is the instance type, {color} the colour.
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
_FIXES: Final[Mapping[str, str]] = {
    "InsufficientInstanceCapacity|InsufficientHostCapacity": "EC2 has no {type} left there. Name subnets of other "
    "zones in node_subnet_ids, reserve capacity ({color}.reservation), choose another instance_type, or try later",
    "ReservationCapacityExceeded": "Reserve more, or end other instances in the reservation",
    "VcpuLimitExceeded|InstanceLimitExceeded|MaxSpotInstanceCountExceeded": "Request a higher vCPU quota for {type}",
    "InsufficientFreeAddresses": "Use larger node_subnet_ids, or release addresses",
    "KMS|kms": "Allow the role AWSServiceRoleForAutoScaling to use the key of the nodes' volumes",
    "NodeCreationFailure": "The instances run but do not join the cluster. Check that the nodes' subnets reach the "
    "cluster and the registries, and vpc_cni_uses_node_role",
}
_FIXES_OF_POOLS: Final[Mapping[str, str]] = {
    "InsufficientInstanceCapacity|UnfulfillableCapacity|were unavailable during launch": "EC2 has no {type} left "
    "there. Let the node pool use more zones or a capacity reservation, choose another instance_type, or try later",
    **{pattern: fix for pattern, fix in _FIXES.items() if "Exceeded" in pattern},
    "InsufficientFreeAddresses": "Use larger subnets in the node class, or release addresses",
}


class NodeStarts:
    """The starts of one colour's nodes from now on. What was reported before does not count."""

    def __init__(self, ports: Ports, color: Color) -> None:
        """Remember what is reported already: EKS keeps the issues of an earlier failure.

        https://github.com/aws/containers-roadmap/issues/2326
        """
        self._ports = ports
        self._settings = ports.config.read()
        self._color: Color = color
        self._before = self._read()
        most_seconds = MAX_PATIENCE_SECONDS if self._settings.declares_nodes else POOL_PATIENCE_SECONDS
        self._patience_seconds = min(most_seconds, self._settings.node_start_seconds / 2)
        self._failing_since: float | None = None
        self._asked_at: float | None = None

    def check(self) -> None:
        """Look at the nodes, at most every few seconds.

        Raises:
            UpdateFailedError: nodes have failed to start for a while. The message says why, and the fix.
        """
        now = self._ports.clock.monotonic()
        if self._asked_at is not None and now - self._asked_at < self._patience_seconds / _POLLS:
            return
        self._asked_at = now
        state = self._read()
        if self._before is None:  # it could not be read at first
            self._before = state
        found = None if state is None or self._before is None else failure(state, self._before)
        if state is None or found is None:
            self._failing_since = None
            return
        self._failing_since = now if self._failing_since is None else self._failing_since
        if now - self._failing_since >= self._patience_seconds:
            raise UpdateFailedError(
                f"the nodes of {self._color} do not start: {self._what} {state.name} ({_types(self._settings)}): "
                f"{found}. {_fix(found, self._settings, self._color)}"
            )

    @property
    def _what(self) -> str:
        return "node group" if self._settings.declares_nodes else "node pool"

    def _read(self) -> NodeGroupState | None:
        color = None if self._settings.shares_nodes else self._color
        try:
            if self._settings.nodes_follow_pods:
                return self._pools()
            return self._ports.account.node_group(color) if self._settings.declares_nodes else None
        except Exception:  # a failed read is no evidence that nodes cannot start
            return None

    def _pools(self) -> NodeGroupState:
        """Return the node pools that may bring the nodes, as if they were one node group."""
        pools = self._ports.cluster.node_pools() or ()
        names = [pool.name for pool in pools if brings_nodes(pool, self._settings, self._color)]
        launches = tuple(self._ports.cluster.node_launches(names)) if names else ()
        return NodeGroupState(name=", ".join(names), status="", launches=launches)


def failure(state: NodeGroupState, before: NodeGroupState) -> str | None:
    """Return why a node group's nodes do not start. None when they do, or when nothing new is known.

    The newest launch decides: a group that has started an instance since is not failing.
    """
    known = {launch.id for launch in before.launches}
    launches = [launch for launch in state.launches if launch.id not in known]
    if launches:
        return launches[0].message or "an instance failed to start" if launches[0].failed else None
    issues = [issue for issue in state.issues if issue not in before.issues and issue.code not in _PASSING]
    return f"{issues[0].code}: {issues[0].message}" if issues else None


def _types(settings: ServiceSettings) -> str:
    return " or ".join(settings.instance_types)


def _fix(found: str, settings: ServiceSettings, color: Color) -> str:
    for pattern, fix in (_FIXES if settings.declares_nodes else _FIXES_OF_POOLS).items():
        if re.search(pattern, found):
            return fix.format(type=_types(settings), color=color)
    return "Correct that, and run scripts.ramp again"
