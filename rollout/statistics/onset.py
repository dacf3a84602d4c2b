"""Evidence that a share has risen above its limit at some time, which is not known.

A release may be well for hours and then fail. Evidence over the whole time would hardly show it: the good hours
outweigh the bad ones. So one bet begins at every look, and knows nothing from before. The bet that begins at the k-th
look has the weight 1/(k(k+1)); all weights together, with those of bets that are still to begin, are 1. While the share
stays within its limit, each bet's expected value is at most 1, and so is the mixture's. By Ville's inequality, the
chance that it ever reaches 1/alpha is at most alpha: however many looks there are, however long the watch lasts, and
whether one process looks all the time or one job every ten minutes. The price of not knowing the time is the weight:
after n good looks, a failure needs the evidence 2 ln n more. After a day with a look every ten minutes that is 10, as
much as a few dozen failed requests bring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollout.statistics.sequential import evidence_above_each

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Onset:
    """The evidence of all bets, and the look at which the strongest of them began."""

    log_evidence: float
    look: int
    """Its place among the looks, from 0."""


def find_onset(looks: Sequence[tuple[int, int]], limit: float) -> Onset:
    """Return the log evidence that a share is above ``limit`` from some look on, and from which.

    Args:
        looks: hits and trials from one look to the next, oldest first.
        limit: the highest share that is allowed, between 0 and 1.
    """
    import numpy as np

    counted = np.asarray(looks, dtype=np.float64).reshape(-1, 2)
    bets = log_bets(counted[:, 0], counted[:, 1], limit)
    return Onset(log_evidence=float(np.logaddexp.reduce(bets)), look=int(np.argmax(bets[:-1])) if looks else 0)


def log_bets(hits: Floats, trials: Floats, limit: float) -> Floats:
    """Return the logarithm of each bet with its weight: of those that began at each look, and of all that did not yet.

    The last axis is the looks, oldest first. Leading axes are separate watches.
    """
    import numpy as np

    def from_each_on(counts: Floats) -> Floats:
        return np.flip(np.cumsum(np.flip(counts, axis=-1), axis=-1), axis=-1)

    number = hits.shape[-1]
    places = np.arange(1, number + 1)
    begun = evidence_above_each(from_each_on(hits), from_each_on(trials), limit) - np.log(places * (places + 1.0))
    to_come = np.full((*hits.shape[:-1], 1), -np.log(number + 1.0))
    return np.concatenate([begun, to_come], axis=-1)
