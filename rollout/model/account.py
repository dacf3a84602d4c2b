"""What EC2 says of an account: instances, capacity reservations, subnets."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True, kw_only=True)
class RunningInstance:
    """An instance that runs or starts."""

    instance_type: str
    vcpus: int
    lifecycle: str = ""
    """``spot``, ``capacity-block``; empty: On-Demand."""


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
    """When EC2 ends it; none: it is without end."""


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """Where nodes and pods get their addresses."""

    id: str
    zone: str
    free_addresses: int


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A limit on running On-Demand instances of some families, in vCPUs, by region."""

    code: str
    name: str
    families: frozenset[str]

    def covers(self, instance_type: str) -> bool:
        """Tell whether instances of a type count towards it."""
        return _letters(instance_type) in self.families


QUOTAS: Final = (
    Quota(code="L-DB2E81BA", name="Running On-Demand G and VT instances", families=frozenset({"g", "gr", "vt"})),
    Quota(code="L-417A185B", name="Running On-Demand P instances", families=frozenset({"p"})),
)


def _letters(instance_type: str) -> str:
    found = re.match(r"[a-z]+(?=\d)", instance_type)
    return found[0] if found else ""
