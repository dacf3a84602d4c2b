"""Floors and ceilings: how far an autoscaler may resize the colours of a service, before and during a rollout.

Pure. An autoscaler decides how many replicas a colour runs, between a floor and a ceiling. The ceiling never changes.
A rollout raises floors and never lowers one: the candidate begins with what the outgoing colour runs, each colour has
what its share of the requests needs before a weight rises, and the outgoing colour can take all requests back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from components.domain.capacity.capacity import replicas_for_weight
from components.domain.naming import Color, other_color

_ALL: Final = 100
# Requests do not arrive evenly. KEDA's HorizontalPodAutoscaler ignores as much.
# https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#tolerance
_UNEVEN: Final = 1.1


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What an autoscaler may do with a colour: between how many replicas it decides."""

    min_replicas: int
    max_replicas: int

    def within(self, replicas: int) -> int:
        """Return the nearest number of replicas that a colour may run."""
        return min(max(replicas, self.min_replicas), self.max_replicas)


@dataclass(frozen=True, kw_only=True)
class ScaledColor:
    """One colour now: the replicas that it runs, its floor, and its share of the requests in percent."""

    replicas: int
    floor: int
    percent: int

    @property
    def carries_all_with(self) -> int:
        """The replicas with which this colour would carry all requests, by what it runs for its share.

        A colour at its floor may run more than its share needs, so that only its floor is known.
        """
        if self.replicas <= self.floor or not self.percent:
            return self.floor
        return -(-self.replicas * _ALL // self.percent)


@dataclass(frozen=True, kw_only=True)
class CarriedLoad:
    """What the outgoing colour carried when the rollout began: so many requests per second with so many replicas."""

    replicas: int
    requests_per_second: float

    def replicas_for(self, requests_per_second: float) -> int:
        """Return how many replicas as many requests need. Fewer requests need no fewer: they may come back."""
        grown = requests_per_second / self.requests_per_second if self.requests_per_second else 1
        return ceil(round(self.replicas * grown, 6)) if grown > _UNEVEN else self.replicas


def first_floor(outgoing: ScaledColor, scaling: Scaling) -> int:
    """Return the floor of both colours when a rollout begins: what the outgoing colour runs, or must run."""
    return scaling.within(max(outgoing.replicas, outgoing.floor))


def full_replicas(colors: Mapping[Color, ScaledColor], scaling: Scaling, by_requests: int = 0) -> int:
    """Return how many replicas all requests need now, and at least the higher floor.

    The colour with the larger share says it: one busy replica with a small share proves little. While its floor is
    more than its share needs, only the number of requests shows that there are more of them.

    Args:
        colors: both colours.
        scaling: between how many replicas they are.
        by_requests: the replicas that all requests need, by their number. 0 when that is unknown.
    """
    larger = max(colors.values(), key=lambda one: one.percent)
    floor = max(one.floor for one in colors.values())
    return scaling.within(max(larger.carries_all_with, floor, by_requests))


def next_floors(
    colors: Mapping[Color, ScaledColor], *, candidate: Color, percent: int, scaling: Scaling, by_requests: int = 0
) -> dict[Color, int]:
    """Return the floors that both colours need before the candidate gets a share of the requests, candidate first.

    The candidate can carry the share. The outgoing colour can take everything back. No floor is lower than before.
    """
    full, outgoing = full_replicas(colors, scaling, by_requests), other_color(candidate)
    needed = replicas_for_weight(percent, full)
    return {candidate: max(colors[candidate].floor, scaling.within(needed)), outgoing: full}
