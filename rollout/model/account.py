"""The state of an AWS account as AWS reports it: instances, capacity reservations, subnets, node groups."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True, kw_only=True)
class RunningInstance:
    """An instance that is running or starting."""

    instance_type: str
    vcpus: int
    lifecycle: str = ""
    """``spot`` or ``capacity-block``; empty for On-Demand."""


@dataclass(frozen=True, kw_only=True)
class CapacityReservation:
    """An On-Demand Capacity Reservation or a Capacity Block, as EC2 describes it."""

    id: str
    instance_type: str
    zone: str
    state: str
    total: int
    available: int
    vcpus_each: int = 0
    is_block: bool = False
    ends: datetime | None = None
    """When EC2 ends it. None when it has no end date."""


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet that nodes and pods get their addresses from."""

    id: str
    zone: str
    free_addresses: int


@dataclass(frozen=True, kw_only=True)
class VolumeKey:
    """The KMS key that encrypts the nodes' volumes."""

    arn: str
    state: str = ""
    """Such as ``Enabled`` or ``PendingDeletion``; empty when it cannot be read."""
    auto_scaling_may_use: bool | None = None
    """Whether Auto Scaling's role may use the key. None when neither the key's policy nor its grants say so, and not
    both can be read."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The AWS credentials of whoever runs the scripts."""

    ends: datetime | None = None
    """When they end for good. None when they are permanent, renewed by themselves, or when it is unknown."""
    end_unknown: bool = False
    """Whether they end at a time that nothing here says."""


@dataclass(frozen=True, kw_only=True)
class NodeGroupIssue:
    """What EKS says is wrong with a node group. EKS gives no time, and keeps an issue until the group recovers."""

    code: str
    message: str
    resource_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One attempt of an Auto Scaling group to start an instance, which has ended."""

    id: str
    failed: bool
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class NodeGroupState:
    """A node group as EKS and its Auto Scaling group report it."""

    name: str
    status: str
    issues: tuple[NodeGroupIssue, ...] = ()
    launches: tuple[Launch, ...] = ()
    """The latest launches, newest first."""


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A regional limit on running On-Demand instances of some families, in vCPUs."""

    code: str
    name: str
    families: frozenset[str]

    def covers(self, instance_type: str) -> bool:
        """Return whether instances of this type count towards the quota."""
        return _letters(instance_type) in self.families


QUOTAS: Final = (
    Quota(code="L-DB2E81BA", name="Running On-Demand G and VT instances", families=frozenset({"g", "gr", "vt"})),
    Quota(code="L-417A185B", name="Running On-Demand P instances", families=frozenset({"p"})),
)


def _letters(instance_type: str) -> str:
    found = re.match(r"[a-z]+(?=\d)", instance_type)
    return found[0] if found else ""
