"""Exact tests for small counts: the probability that chance alone gives a result at least as bad.

Pure. A check looks only once, so one level covers all its false alarms.
"""

import math

LEVEL = 0.01
"""The highest probability that chance alone fails a candidate that is as good as the active colour."""


def paired_p_value(worse: int, better: int) -> float:
    """Return the one-sided p-value of McNemar's exact test that more pairs go against the candidate than for it."""
    if worse <= better:
        return 1.0
    from scipy.special import bdtrc  # slow to import, and needed only when there are losses

    return float(bdtrc(worse - 1, worse + better, 0.5))


def fewest_sure_losses() -> int:
    """Return how many lost pairs rule out chance when no pair is won. A smaller sample cannot do that."""
    return math.ceil(math.log(LEVEL) / math.log(0.5))


def highest_share(hits: int, trials: int, chance: float) -> float:
    """Return the upper bound that the true share exceeds with at most this chance (Clopper and Pearson's).

    Without trials nothing is known, so the bound is 1.
    """
    if hits >= trials:
        return 1.0
    from scipy.special import betaincinv  # slow to import, and needed only here

    return float(betaincinv(hits + 1, trials - hits, 1 - chance))


def lowest_share(hits: int, trials: int, chance: float) -> float:
    """Return the lower bound that the true share is below with at most this chance (Clopper and Pearson's)."""
    return 1 - highest_share(trials - hits, trials, chance)
