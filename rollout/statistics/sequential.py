"""Sequential tests: evidence that a candidate is worse than allowed. It may be checked as often as one likes.

Each function returns the natural logarithm of an e-value: a bet against "no worse than allowed". While that statement
is true, the bet's expected value is at most 1, whatever was seen before. By Ville's inequality, the probability that it
ever reaches 1/alpha is at most alpha. So a gate that fails there has the false-alarm rate alpha over a whole hold,
whether it looks once or after every request, and however long the hold is extended. Each e-value is a mixture of bets
on small to large effects, so that it misses few of them.

- ``evidence_above`` tests a share against a fixed limit (failed requests, or requests above a latency limit). Each
  bet is on a true share; a beta distribution over the shares above the limit mixes the bets.
- ``Comparison`` compares two colours over the same time, in blocks of requests between two scrapes. A block gives the
  number of requests of each colour and the outcomes of all of them together. If the candidate is no worse, its bad
  outcomes are a random draw from these (multivariate hypergeometric). So the test needs no model of latencies and no
  knowledge of the active colour's, and whatever slows down both colours (load, time of day) cancels out. Each bet is on
  odds: it multiplies the odds that an outcome with score s is the candidate's by exp(s) (Fisher's noncentral
  distribution). A block's e-value rises with every bad outcome of the candidate and falls with every one of the active
  colour, so it is also valid for a candidate that is better than the active colour.

Frequent checks do not break the guarantee, but dependent outcomes do. Requests that wait in one queue or run in one
batch share their latency, and a replica that hangs fails several at once. A cluster of c such requests of one colour
counts as up to c pieces of evidence but is worth little more than one. So a slow spell of one replica out of two can
raise an alarm that this colour is slower now. That is true, but the release need not be the cause. Therefore there are
three precautions outside this module: latencies get no verdict before a minimum of requests, error rates get none
before a minimum of failures, and the tokens of one request count as one observation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Bets of the comparison, each with its weight. Most weight is on regressions of about a fifth: they are just worth
# noticing and take longest to detect. Even a small bet soon detects a disaster.
# Odds that a failure is the candidate's:
FAILURE_ODDS: Final = ((1.6, 0.15), (3.0, 0.65), (10.0, 0.15), (50.0, 0.05))
# A shift of all latencies, in standard deviations of their normal scores:
SHIFTS: Final = ((0.15, 0.1), (0.3, 0.3), (0.6, 0.1), (1.2, 0.05))
# Odds that a latency beyond a quantile is the candidate's:
TAILS: Final = ((0.8, 1.35, 0.15), (0.8, 2.5, 0.05), (0.95, 1.6, 0.2), (0.95, 5.0, 0.05))

BLOCK_REQUESTS: Final = 10
"""A block ends when both colours have had this many requests, so that it can show a difference."""

MOST_RESULTS: Final = 256
"""How many numbers of failures a block with an allowed increase is averaged over, at most."""
MOST_DRAWS: Final = 512
"""How many different draws from two categories are summed one by one, at most. Usually a block has fewer failures."""
LARGEST_PART: Final = 20_000
"""How many numbers, times the root of the requests, are computed at once: some tens of MB."""


def preload() -> None:
    """Import the libraries for the tests. This takes seconds, and no decision should wait for it."""
    import numpy
    import scipy.special

    evidence_above(1, 2, 0.5)
    assert numpy
    assert scipy.special


def alarm_threshold(false_alarm_rate: float, tests: int) -> float:
    """Return the log evidence at which one of ``tests`` tests fails, so that together they keep the rate."""
    return math.log(tests / false_alarm_rate)


def evidence_above(hits: int, trials: int, limit: float) -> float:
    """Return the log evidence that a share is above ``limit``, after ``hits`` in ``trials``.

    The shares above the limit are mixed by Jeffreys' beta distribution, truncated at the limit.
    """
    if limit <= 0:
        return math.inf if hits else 0.0
    if limit >= 1:
        return 0.0
    return float(_beta_mixture(hits, trials, limit))


def evidence_above_each(hits: Floats, trials: Floats, limit: float) -> Floats:
    """Return ``evidence_above`` for each pair of hits and trials."""
    import numpy as np

    if limit <= 0:
        return np.where(hits > 0, np.inf, 0.0)
    if limit >= 1:
        return np.zeros(hits.shape)
    return _beta_mixture(hits, trials, limit)


def _beta_mixture(hits: Floats | int, trials: Floats | int, limit: float) -> Floats:
    from scipy.special import betaln

    a, b = hits + 0.5, trials - hits + 0.5
    mixed = betaln(a, b) + _log_tail(a, b, limit)
    return mixed - _log_prior(limit) - hits * math.log(limit) - (trials - hits) * math.log1p(-limit)


@lru_cache
def _log_prior(limit: float) -> float:
    from scipy.special import betaln

    return float(betaln(0.5, 0.5) + _log_tail(0.5, 0.5, limit))


def _log_tail(a: Floats | float, b: Floats | float, limit: float) -> Floats:
    import numpy as np
    from scipy.special import betaincc

    with np.errstate(divide="ignore"):
        return np.log(betaincc(a, b, limit))


class Comparison:
    """Evidence that the candidate's outcomes are worse than the active colour's, block by block.

    The last axis of the counts is the category, from best to worst. Leading axes are separate comparisons, so a
    simulation can run thousands at once.
    """

    def __init__(self, *, allowed_increase: float = 0.0) -> None:
        """Start without evidence.

        Args:
            allowed_increase: how far the candidate's share of failures may exceed the active colour's. Only for a
                single comparison of two categories. Each success of the active colour counts as a failure with this
                probability, and the evidence is the mean over all possible results.
        """
        self._allowed_increase = allowed_increase
        self._bets: Floats | None = None
        self._weights: list[float] = []
        self._seen: Floats | None = None

    @property
    def log_evidence(self) -> Floats:
        """The log evidence so far. 0 means no evidence; below 0, the candidate looks no worse."""
        import numpy as np

        if self._bets is None:
            return np.zeros(())
        return np.logaddexp.reduce(self._bets + np.log(self._weights), axis=-1)

    def add(self, candidate: Sequence[int] | Floats, active: Sequence[int] | Floats) -> None:
        """Bet on one more block. Earlier blocks set the scores of latencies, so the first block only sets scores."""
        import numpy as np

        mine = np.asarray(candidate, dtype=np.float64)
        pooled = mine + np.asarray(active, dtype=np.float64)
        if mine.shape[-1] == 2:
            scores, self._weights = _failure_scores(), [weight for _, weight in FAILURE_ODDS]
        else:
            scores = _latency_scores(self._seen)
            self._weights = [weight for _, weight in SHIFTS] + [weight for _, _, weight in TAILS]
        self._seen = pooled if self._seen is None else self._seen + pooled
        if scores is None:
            return
        if self._allowed_increase:
            gain = log_mean_ratio(tuple(mine.tolist()), tuple(pooled.tolist()), self._allowed_increase)
        else:
            gain = log_ratio(mine, pooled, scores)
        self._bets = gain if self._bets is None else self._bets + gain


def log_ratio(candidate: Floats, pooled: Floats, scores: Floats) -> Floats:
    """Return for each row of ``scores`` the log likelihood ratio of the candidate's counts: these odds over chance.

    Args:
        candidate: the candidate's counts by category, in the last axis.
        pooled: both colours' counts.
        scores: log odds by category, one row per bet. Leading axes are broadcast against those of the counts.
    """
    requests = candidate.sum(axis=-1)
    score_sum = (candidate[..., None, :] * scores).sum(axis=-1)
    return score_sum - _log_mean_by_chance(pooled[..., None, :], requests[..., None], scores)


def _log_mean_by_chance(pooled: Floats, drawn: Floats, scores: Floats) -> Floats:
    """Return log E[exp(sum of the scores of ``drawn`` outcomes)], drawn from the pooled ones without replacement.

    With two categories and few possible draws, it is summed over them. In general, it is the coefficient of z^drawn in
    the product of (1 + exp(score) z)^pooled, divided by the number of ways to draw. With z = r exp(it), the product is
    the generating function of a sum of independent coin flips. r is chosen so that the sum's mean is ``drawn``; the
    coefficient is then a Fourier sum over a few points.
    """
    import numpy as np
    from scipy.special import expit, gammaln

    filled = pooled.sum(axis=tuple(range(pooled.ndim - 1))) > 0
    pooled, scores = pooled[..., filled], scores[..., filled]
    if not filled.any():
        return np.zeros(scores.shape[:-1])
    if scores.shape[-1] == 2 and np.minimum(pooled[..., 1], drawn).max() < MOST_DRAWS:
        return _log_mean_of_two(pooled, drawn, scores)
    total = pooled.sum(axis=-1)
    drawn = np.broadcast_to(drawn, np.broadcast_shapes(drawn.shape, total.shape, scores.shape[:-1]))
    trivial = (drawn <= 0) | (drawn >= total)
    safe = np.where(trivial, np.maximum(total, 2) / 2, drawn)
    base = np.log(safe) - np.log(np.maximum(total, 2) - safe)
    low, high = base - scores.max(axis=-1), base - scores.min(axis=-1)
    for _ in range(10):
        middle = (low + high) / 2
        beyond = (pooled * expit(scores + middle[..., None])).sum(axis=-1) > safe
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    log_radius = (low + high) / 2
    flips = expit(scores + log_radius[..., None])
    deviation = math.sqrt(float((pooled * flips * (1 - flips)).sum(axis=-1).max()))
    # An odd number of points: one at 0, and mirrored pairs, of which one each is enough.
    pairs = math.ceil(8 + 6 * deviation)
    angles = 2 * math.pi * np.arange(pairs + 1) / (2 * pairs + 1)
    # Log modulus and argument of 1 - flip + flip exp(i angle). The last axis is the points.
    flip = flips[..., None]
    moduli = np.log1p(-2 * flip * (1 - flip) * (1 - np.cos(angles))) / 2
    arguments = np.arctan2(flip * np.sin(angles), 1 - flip + flip * np.cos(angles))
    turns = (pooled[..., None] * arguments).sum(axis=-2) - safe[..., None] * angles
    waves = np.exp((pooled[..., None] * moduli).sum(axis=-2)) * np.cos(turns)
    chance = np.maximum((2 * waves.sum(axis=-1) - waves[..., 0]) / (2 * pairs + 1), 1e-300)
    ways = gammaln(total + 1) - gammaln(safe + 1) - gammaln(total - safe + 1)
    mean = np.log(chance) + (pooled * np.logaddexp(0, scores + log_radius[..., None])).sum(axis=-1)
    everything = (pooled * scores).sum(axis=-1)
    return np.where(trivial, np.where(drawn <= 0, 0.0, everything), mean - safe * log_radius - ways)


def _log_mean_of_two(pooled: Floats, drawn: Floats, scores: Floats) -> Floats:
    """Return the same for two categories: the sum over every number of the second one that may be drawn."""
    import numpy as np
    from scipy.special import gammaln

    def log_ways(chosen: Floats, among: Floats) -> Floats:
        possible = (chosen >= 0) & (chosen <= among)
        ways = gammaln(among + 1) - gammaln(np.abs(chosen) + 1) - gammaln(np.abs(among - chosen) + 1)
        return np.where(possible, ways, -np.inf)

    # The last axis is how many of the second category are drawn.
    second = np.arange(np.minimum(pooled[..., 1], drawn).max() + 1)
    of_first, of_second, of_both = pooled[..., 0, None], pooled[..., 1, None], pooled.sum(axis=-1)
    ways = log_ways(second, of_second) + log_ways(drawn[..., None] - second, of_first)
    by_chance = ways - log_ways(drawn, of_both)[..., None]
    odds = (scores[..., 1] - scores[..., 0])[..., None] * second
    terms = by_chance + odds
    largest = terms.max(axis=-1)
    return drawn * scores[..., 0] + largest + np.log(np.exp(terms - largest[..., None]).sum(axis=-1))


@lru_cache(maxsize=10_000)  # every look at a window begins with the blocks of the look before
def log_mean_ratio(candidate: tuple[float, ...], pooled: tuple[float, ...], increase: float) -> Floats:
    """Return the log of each bet's mean likelihood ratio over the possible results of an allowed increase."""
    import numpy as np

    turned, chances = turned_successes(pooled[0] - candidate[0], increase)
    moved = np.asarray(pooled) + np.stack([-turned, turned], axis=-1)
    # The points of a ratio grow with the root of the requests, so many ratios at once would need gigabytes.
    parts = np.array_split(moved, math.ceil(len(turned) * math.sqrt(sum(pooled)) / LARGEST_PART))
    scores = _failure_scores()
    ratios = [log_ratio(np.broadcast_to(np.asarray(candidate), part.shape), part, scores) for part in parts]
    return np.logaddexp.reduce(np.concatenate(ratios) + chances[:, None], axis=0)


def turned_successes(good: float, increase: float) -> tuple[Floats, Floats]:
    """Return how many of the active colour's successes may count as failures, and the log chances of these numbers.

    It is a binomial, cut off at both ends. Neighbours among many numbers share the largest of them: more failures of
    the active colour are less evidence, so this makes the evidence smaller, and never larger than it may be.
    """
    import numpy as np
    from scipy.special import gammaln, xlog1py, xlogy

    usual = good * increase
    width = 7 * math.sqrt(usual) + 10
    turned = np.arange(max(0.0, math.floor(usual - width)), min(good, math.ceil(usual + width)) + 1)
    ways = gammaln(good + 1) - gammaln(turned + 1) - gammaln(good - turned + 1)
    chances = ways + xlogy(turned, increase) + xlog1py(good - turned, -increase)
    if len(turned) <= MOST_RESULTS:
        return turned, chances
    starts = np.linspace(0, len(turned), MOST_RESULTS, endpoint=False).astype(int)
    ends = np.append(starts[1:], len(turned)) - 1
    return turned[ends], np.logaddexp.reduceat(chances, starts)


def _failure_scores() -> Floats:
    import numpy as np

    return np.array([[0.0, math.log(odds)] for odds, _ in FAILURE_ODDS])


def _latency_scores(seen: Floats | None) -> Floats | None:
    """Return the bets' scores by category. None before the first block, which sets their scale."""
    import numpy as np
    from scipy.special import ndtri

    if seen is None:
        return None
    smoothed = seen + 0.5 / seen.shape[-1]
    shares = smoothed / smoothed.sum(axis=-1, keepdims=True)
    up_to = np.cumsum(shares, axis=-1)
    middle = up_to - shares / 2
    normal = ndtri(middle)
    rows: list[Floats] = [shift * normal for shift, _ in SHIFTS]
    rows += [math.log(odds) * (middle >= quantile) for quantile, odds, _ in TAILS]
    return np.stack(rows, axis=-2)


def categories(bounds: Sequence[float], counts: Sequence[int], category_bounds: Sequence[float]) -> tuple[int, ...]:
    """Sort the counts of histogram buckets into categories, each count into the best category that it may belong to.

    Args:
        bounds: upper bounds of the buckets, rising.
        counts: observations in each bucket.
        category_bounds: upper bounds of all categories except the last, which has none.
    """
    sorted_in = [0] * (len(category_bounds) + 1)
    lower = 0.0
    for bound, count in zip(bounds, counts, strict=True):
        sorted_in[sum(lower >= edge for edge in category_bounds)] += count
        lower = bound
    return tuple(sorted_in)
