"""Bounds for a mean, of which a counter gives the sum and a histogram the spread. Pure.

The bounds are an asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas: Time-uniform central
limit theory and asymptotic confidence sequences, https://arxiv.org/abs/2103.06476): however often one looks, the true
mean is ever beyond a bound with about the chance that was asked for. It is "about", because no test of a mean is exact
for values without a known limit: one rare value may be as large as it likes. From ``FEWEST`` values on, simulations
with the lengths of answers keep the chance. The variance is not known either, only the buckets, so the largest one that
they and the sum allow is used. That makes the bounds wider, never narrower.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rollout.statistics.measurements import Histogram

FEWEST: Final = 100
"""With fewer values, nothing is said about a mean."""
_NARROWEST_AT: Final = 500
"""The bounds are about as narrow as they can be after this many values."""
_BEYOND: Final = 2.5
"""The last bucket ends at this multiple of its lower bound. vLLM's bounds are 1, 2, 5, 10 … below its longest answer,
so the next one of the series is above it (``build_1_2_5_buckets``).
https://github.com/vllm-project/vllm/blob/main/vllm/v1/metrics/loggers.py
"""


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of so many values, and the largest variance that they may have."""

    count: int
    mean: float
    variance: float

    def highest(self, chance: float) -> float:
        """Return the bound that the true mean is ever above with at most this chance."""
        return self.mean + self._margin(chance)

    def lowest(self, chance: float) -> float:
        """Return the bound that the true mean is ever below with at most this chance."""
        return max(0.0, self.mean - self._margin(chance))

    def _margin(self, chance: float) -> float:
        if self.count < FEWEST:
            return math.inf
        usual = -2 * math.log(chance)
        rho_squared = (usual + math.log(usual) + 1) / _NARROWEST_AT
        grown = self.count * rho_squared + 1
        wide = 2 * grown / (self.count**2 * rho_squared) * math.log1p(math.sqrt(grown) / (2 * chance))
        return math.sqrt(wide * self.variance)


def mean_of(values: Histogram, total: float) -> Mean | None:
    """Return the mean of values of which the sum is ``total``. None without values.

    The variance is largest when each bucket's values are at its two ends, and as many as the sum allows at the upper
    ends of the highest buckets.
    """
    count = values.count
    if not count:
        return None
    edges = [0.0, *values.bounds]
    if math.isinf(edges[-1]):
        edges[-1] = _BEYOND * edges[-2]
    buckets = [(low, high, number) for (low, high), number in zip(pairwise(edges), values.counts, strict=True)]
    left = max(0.0, total - sum(low * number for low, _, number in buckets))
    squares = 0.0
    for low, high, number in reversed(buckets):
        raised = min(number, left / (high - low)) if high > low else 0.0
        left -= raised * (high - low)
        squares += raised * high**2 + (number - raised) * low**2
    mean = total / count
    return Mean(count=count, mean=mean, variance=max(0.0, squares / count - mean**2))
