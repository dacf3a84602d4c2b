"""The test of a split: do counted requests follow the weight that was asked for, and no longer the one before?

It is looked at as often as wanted, so it is sequential. A change that the load balancer has not applied yet, applies
late or never must not pass, however long one looks: the evidence is a likelihood ratio of the intended against the
previous split, mixed over every period in which the change may have come into effect (a Shiryaev-Roberts statistic with
weights that sum to one). As long as the split has not changed this is a non-negative supermartingale that starts below
one, so by Ville's inequality it ever reaches 1 / error with a probability of at most ``error``. Wald's test would have
to be begun anew after a lag, and every beginning would be another chance of a false alarm.

"Has not changed" means: at most a third of the way from the previous share to the intended one (``UNCHANGED``), as
measured in the arcsine of the share's root, where a binomial share spreads equally everywhere. Shares further back only
lower the statistic's mean, so one test holds for all of them. A second test of the same form rules out that the share
went beyond the intended one by as much as the change itself (``BEYOND``): stickiness, or somebody else's weight. What
lies between is for a goodness-of-fit test, sharper the more requests there are: it compares the shares within a tenth
of the change around the intended one (``TOLERANCE``) with any share at all. The requests of a window that it refuses
are left out, and the tests go on with those that follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import asin, exp, inf, lgamma, log, log1p, pi, sin, sqrt

UNCHANGED = 1 / 3
BEYOND = 2.0
TOLERANCE = 0.1
STRAY_SHARE = 0.001
"""Of requests that may go elsewhere than the weights say without refuting them, as somebody's on a candidate route."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The candidate's share of new requests: before the change, and as it was asked for."""

    previous_percent: float
    intended_percent: float
    error_percent: float
    """Highest probability that a split that is not in effect is found to be."""

    @property
    def threshold(self) -> float:
        """The evidence that is enough, as a logarithm."""
        return -log(self.error_percent / 100)

    @property
    def intended(self) -> float:
        """The intended share, with room for strays."""
        return _with_strays(self.intended_percent / 100)

    def along(self, fraction: float) -> float:
        """Return the share at this fraction of the way from the previous to the intended one, or beyond it."""
        before, after = (asin(sqrt(percent / 100)) for percent in (self.previous_percent, self.intended_percent))
        angle = before + fraction * (after - before)
        return _with_strays(sin(min(max(angle, 0.0), pi / 2)) ** 2)

    @property
    def fitting(self) -> tuple[float, float]:
        """The shares around the intended one that are as good as it."""
        return _ordered(self.along(1 - TOLERANCE), self.along(1 + TOLERANCE))

    @property
    def former(self) -> tuple[float, float]:
        """The shares around the previous one that are as good as it."""
        return _ordered(self.along(-TOLERANCE), self.along(TOLERANCE))

    @property
    def refuted(self) -> tuple[float, ...]:
        """The shares that must be ruled out: too little of the change, and too much where there can be too much."""
        too_little, too_much = self.along(UNCHANGED), self.along(BEYOND)
        return (too_little,) if too_much == self.intended else (too_little, too_much)

    @property
    def expected_requests(self) -> int:
        """About how many requests it takes to attest a change that is in effect from the first one on."""
        information = min(_relative_entropy(self.intended, share) for share in self.refuted)
        return round((self.threshold + log(2)) / information)


@dataclass(frozen=True, kw_only=True)
class PeriodCounts:
    """Client requests of one period."""

    candidate: int
    other: int


class Finding(StrEnum):
    """What the counts say."""

    AGREES = "agrees"
    """They follow the intended split, and reject the previous one."""
    TOO_FEW = "too_few"
    """More requests will tell."""
    PREVIOUS = "previous"
    """They still follow the previous split."""
    NEITHER = "neither"
    """They follow another split altogether."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the counts say, and those that it rests on: since the change seems to be in effect, or else all."""

    finding: Finding
    requests: int
    candidate_requests: int

    @property
    def candidate_percent(self) -> float | None:
        """The candidate's share that was seen; none without requests."""
        return 100 * self.candidate_requests / self.requests if self.requests else None


@dataclass(frozen=True, kw_only=True)
class _Window:
    """The latest periods as far back as they speak for a share (Page's CUSUM): evidence, and what was counted."""

    evidence: float = 0.0
    candidate: int = 0
    other: int = 0

    def extended(self, counts: PeriodCounts, gain: float) -> "_Window":
        start = self if self.evidence > 0 else _Window()
        return _Window(
            evidence=start.evidence + gain,
            candidate=start.candidate + counts.candidate,
            other=start.other + counts.other,
        )

    def misfit(self, shares: tuple[float, float]) -> float:
        """Return the evidence against all of these shares: the likelihood of any at all over that of the best of them.

        Any share at all means Jeffreys' mixture; the ratio to each of these shares alone is at least this one.
        """
        requests = self.candidate + self.other
        if not requests:
            return 0.0
        best = min(max(self.candidate / requests, shares[0]), shares[1])
        of_any = _log_beta(self.candidate + 0.5, self.other + 0.5) - _log_beta(0.5, 0.5)
        return of_any - _likelihood(best, self)


def examine(split: Split, periods: Sequence[PeriodCounts]) -> Answer:
    """Judge the counts of all whole periods since the change was asked for, oldest first.

    Raises:
        ValueError: the split is no change.
    """
    if split.previous_percent == split.intended_percent:
        raise ValueError(f"a split must change, got {split.intended_percent} percent twice")
    evidence = [-inf for _ in split.refuted]
    after, before, refused = _Window(), _Window(), False
    for number, counts in enumerate(periods):
        # The prior probability that the change comes into effect with this period: falls slowly, sums to one.
        prior = -log((number + 1) * (number + 2))
        gains = [_likelihood(split.intended, counts) - _likelihood(share, counts) for share in split.refuted]
        evidence = [_log_sum(one, prior) + gain for one, gain in zip(evidence, gains, strict=True)]
        after, before = after.extended(counts, gains[0]), before.extended(counts, -gains[0])
        if after.misfit(split.fitting) >= split.threshold:
            evidence, after, refused = [-inf for _ in evidence], _Window(), True
    if min(evidence) >= split.threshold:
        return _answer(Finding.AGREES, after)
    if before.evidence >= split.threshold:
        follows = before.misfit(split.former) < split.threshold
        return _answer(Finding.PREVIOUS if follows else Finding.NEITHER, before)
    if refused and after.candidate + after.other < split.expected_requests:
        return _answer(Finding.NEITHER, _all(periods))
    return _answer(Finding.TOO_FEW, after)


def _answer(finding: Finding, window: _Window) -> Answer:
    return Answer(finding=finding, requests=window.candidate + window.other, candidate_requests=window.candidate)


def _all(periods: Sequence[PeriodCounts]) -> _Window:
    return _Window(candidate=sum(one.candidate for one in periods), other=sum(one.other for one in periods))


def _likelihood(share: float, counts: PeriodCounts | _Window) -> float:
    return counts.candidate * log(share) + counts.other * log1p(-share)


def _with_strays(share: float) -> float:
    return min(max(share, STRAY_SHARE), 1 - STRAY_SHARE)


def _ordered(a: float, b: float) -> tuple[float, float]:
    return min(a, b), max(a, b)


def _relative_entropy(share: float, other: float) -> float:
    return share * log(share / other) + (1 - share) * (log1p(-share) - log1p(-other))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _log_sum(a: float, b: float) -> float:
    larger = max(a, b)
    return larger + log1p(exp(min(a, b) - larger))
