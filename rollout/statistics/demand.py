"""What users ask of a service: its peak over a window, and how long their prompts and answers are."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollout.statistics.measurements import Histogram


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """What is served in a second."""

    requests_per_second: float
    tokens_per_second: float | None
    """Generated tokens. None when the server does not publish them."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The throughput of both colours together, on average over the time before ``at``."""

    at: datetime
    throughput: Throughput


Span = tuple[datetime, datetime]
"""When a time begins and ends."""


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """The lengths of users' requests, in tokens."""

    prompts: Histogram
    answers: Histogram


def peak_of(rates: Sequence[Rate], checked: Sequence[Span], *, rate_seconds: float) -> Throughput | None:
    """Return the highest throughput, of requests and of tokens each. None when there was none.

    Args:
        rates: the service's throughput at different times.
        checked: the times in which our own checks sent requests. Rates that have such a time in them are left out.
        rate_seconds: how long a time each rate is the average of.
    """
    behind = timedelta(seconds=rate_seconds)
    clean = [
        rate.throughput
        for rate in rates
        if not any(start <= rate.at and rate.at - behind <= end for start, end in checked)
    ]
    requests = max((one.requests_per_second for one in clean), default=0.0)
    if not requests > 0:
        return None
    tokens = [one.tokens_per_second for one in clean if one.tokens_per_second is not None]
    return Throughput(requests_per_second=requests, tokens_per_second=max(tokens, default=0.0) or None)


def draw_length(lengths: Histogram, source: random.Random) -> int | None:
    """Draw a length, in tokens, as often as users' requests have it. None when the histogram has none."""
    drawn = lengths.quantile(source.random())
    if drawn is None:
        return None
    if math.isinf(drawn):  # longer than the last bound: how much longer is not known
        drawn = max((bound for bound in lengths.bounds if math.isfinite(bound)), default=1.0)
    return max(1, round(drawn))
