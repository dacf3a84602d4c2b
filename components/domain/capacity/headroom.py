"""Headroom: what the nodes besides those that serve cost in each mode, and what the way back is.

Pure. Nodes that are up anyway cost the same with and without a rollout, so their price is one of a month. Nodes that
come and go with a rollout have a price for each rollout.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from components.domain.capacity.capacity import HeadroomMode, ReplicaShape, nodes_for, usd_per_hour
from components.domain.capacity.ladder import Ladder, way_back
from components.domain.nodes.gpu_instances import GpuInstance

MODES: Final[tuple[HeadroomMode, ...]] = ("on_rollout", "reserved", "always", "surge")
MODES_ON_OTHERS_NODES: Final[tuple[HeadroomMode, ...]] = ("on_rollout", "surge")
HOURS_PER_MONTH: Final = 365 * 24 // 12

_BLOCK: Final = "a Capacity Block has a price of its own"


@dataclass(frozen=True, kw_only=True)
class HeadroomCost:
    """What one headroom mode costs besides the nodes that serve, and its way back."""

    mode: HeadroomMode
    surge_replicas: int | None
    """The replicas beyond one colour's. None for every mode but ``surge``."""
    nodes: int
    """The nodes besides those that serve."""
    hours: float
    """How long one rollout needs them, with the keep-warm window."""
    gpu_hours: float
    """What one rollout adds to what is paid anyway."""
    usd: float | None
    """Likewise. None when the price is unknown."""
    gpu_hours_per_month: float
    """What is paid anyway, rollout or not."""
    usd_per_month: float | None
    """Likewise. None when the price is unknown."""
    price_unknown: str
    """The reason why the price is unknown. Empty when it is known."""
    way_back: str

    @property
    def name(self) -> str:
        """The mode in words, with its replicas."""
        return self.mode if self.surge_replicas is None else f"{self.mode} of {self.surge_replicas}"

    @property
    def of_rollout(self) -> str:
        """What one rollout adds, in words."""
        return self._words(self.gpu_hours, self.usd)

    @property
    def of_month(self) -> str:
        """What a month costs anyway, in words."""
        return self._words(self.gpu_hours_per_month, self.usd_per_month)

    def __str__(self) -> str:
        """Describe it in one line."""
        nodes = f"{self.nodes} more node{'s' if self.nodes != 1 else ''}"
        return (
            f"{self.name}: {nodes}; one rollout ({self.hours:.1f} h with the keep-warm window): {self.of_rollout}; "
            f"a month, rollout or not: {self.of_month}; way back: {self.way_back}"
        )

    def _words(self, gpu_hours: float, usd: float | None) -> str:
        if not gpu_hours:
            return "nothing"
        price = f"price unknown ({self.price_unknown})" if usd is None else f"about {usd:,.0f} USD"
        return f"{gpu_hours:,.0f} GPU-hours, {price}"


@dataclass(frozen=True, kw_only=True)
class HeadroomCase:
    """A service whose headroom is to be priced."""

    replicas: int
    """Replicas that serve all requests."""
    candidate_replicas: int
    """The candidate's replicas at full size."""
    surge_replicas: int
    """Replicas beyond one colour's, in mode ``surge``."""
    instance: GpuInstance
    shape: ReplicaShape
    shares_nodes: bool
    """Whether both colours share nodes in mode ``always``, or on others' nodes. In mode ``surge`` they always do."""
    reservation: Literal["on_demand", "capacity_block"] | None
    """What the candidate's nodes run in, in mode ``reserved``. None for plain On-Demand capacity."""
    own_price: bool = False
    """Whether the user has said what a node costs, whatever it runs in."""
    others_nodes: bool = False
    """Whether others bring the nodes. Then only those on which replicas run count."""
    rollout_seconds: float
    """From the start of the candidate's nodes until they are given back, with the keep-warm window."""
    surge_way_back: str

    def extra_nodes(self, mode: HeadroomMode) -> int:
        """Return how many nodes there are in a rollout besides those that serve."""
        if mode == "surge":
            return self._nodes(self.replicas + self.surge_replicas) - self._nodes(self.replicas)
        if self.shares_nodes and (mode == "always" or self.others_nodes):
            return self._nodes(self.replicas + self.candidate_replicas) - self._nodes(self.replicas)
        return self._nodes(self.candidate_replicas)

    def cost(self, mode: HeadroomMode) -> HeadroomCost:
        """Return what a mode costs.

        A Capacity Reservation costs the On-Demand price whether its nodes run or not
        (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/capacity-reservations-pricing-billing.html).
        """
        nodes, hours = self.extra_nodes(mode), self.rollout_seconds / 3600
        in_block = mode == "reserved" and self.reservation == "capacity_block" and not self.own_price
        usd = None if in_block else usd_per_hour(self.instance, nodes)
        paid_anyway = mode in ("always", "surge") or (mode == "reserved" and self.reservation is not None)
        paid_anyway = paid_anyway and not self.others_nodes
        rollout_hours, month_hours = (0.0, HOURS_PER_MONTH) if paid_anyway else (hours, 0)
        unknown = _BLOCK if in_block else f"there is none for {self.instance.name}" if usd is None else ""
        return HeadroomCost(
            mode=mode,
            surge_replicas=self.surge_replicas if mode == "surge" else None,
            nodes=nodes,
            hours=round(hours, 2),
            gpu_hours=round(nodes * self.instance.gpus * rollout_hours, 1),
            usd=None if usd is None else round(usd * rollout_hours, 2),
            gpu_hours_per_month=nodes * self.instance.gpus * month_hours,
            usd_per_month=None if usd is None else round(usd * month_hours, 2),
            price_unknown=unknown,
            way_back=self.surge_way_back if mode == "surge" else "instant until keep_until",
        )

    def _nodes(self, replicas: int) -> int:
        return nodes_for(replicas, self.instance, self.shape)


def climbing_way_back(ladder: Ladder, wave_seconds: float) -> str:
    """Return in words how long the way back takes from the rungs of a ladder."""
    waves = ladder.most_waves_back
    if not waves:
        return "instant until keep_until"
    at_once = max((rung.candidate_percent for rung in ladder.rungs if not ladder.waves_back(rung)), default=0)
    return f"instant up to {at_once} %, {way_back(waves, wave_seconds)} from the last rung"


def headroom_lines(costs: Sequence[HeadroomCost]) -> Iterator[str]:
    """Yield a line for each mode; the chosen one is the first."""
    for place, cost in enumerate(costs):
        yield f"{'instead, ' if place else ''}headroom {cost}"
