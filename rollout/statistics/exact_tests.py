"""Exact tests for small counts: how likely chance alone would have been at least as bad.

Pure. A check looks once, so one level stands for all of its false alarms.
"""

import math

LEVEL = 0.01
"""How often chance alone may make a check fail a candidate that is as good as the active colour."""


def paired_p_value(worse: int, better: int) -> float:
    """McNemar's exact test, one-sided: how likely so many of the pairs that differ go against the candidate."""
    if worse <= better:
        return 1.0
    from scipy.special import bdtrc  # slow to import, and needed only when there are losses

    return float(bdtrc(worse - 1, worse + better, 0.5))


def fewest_sure_losses() -> int:
    """Return how many lost pairs, none won, rule chance out: a sample that cannot lose as many shows nothing."""
    return math.ceil(math.log(LEVEL) / math.log(0.5))
