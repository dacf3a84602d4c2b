"""The test of a split: do the counted requests follow the intended weight, and no longer the previous one?

The test is sequential, so it may be repeated as often as wanted. It must not pass a change that the load balancer
applies late, has not applied yet or never applies, however long one looks. The evidence is a likelihood ratio of the
intended split against the previous one, mixed over every period in which the change may have come into effect (a
Shiryaev-Roberts statistic with weights that sum to one). While the split is unchanged, this is a non-negative
supermartingale that starts below one. So by Ville's inequality, the probability that it ever reaches 1 / error is at
most ``error``. Wald's test would have to be restarted after a lag, and each restart could raise another false alarm.

"Unchanged" means at most a third of the way from the previous share to the intended one (``UNCHANGED``). This is
measured in the arcsine of the share's square root, where a binomial share has the same spread everywhere. Shares
further back only lower the statistic's mean, so one test covers all of them. A second test of the same form rules out
that the share overshot the intended one by as much as the change itself (``BEYOND``), because of stickiness or somebody
else's weight. A goodness-of-fit test covers the shares in between, and gets sharper with more requests. It compares the
shares within a tenth of the change around the intended one (``TOLERANCE``) with any share at all. When it rejects a
window, the requests of that window are left out, and the tests continue with later ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import asin, exp, inf, lgamma, log, log1p, pi, sin, sqrt

UNCHANGED = 1 / 3
BEYOND = 2.0
TOLERANCE = 0.1
STRAY_SHARE = 0.001
"""The share of requests that may ignore the weights without refuting them, e.g. by the candidate route."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The candidate's share of new requests: before the change, and as intended."""

    previous_percent: float
    intended_percent: float
    error_percent: float
    """The highest probability that a split is found to be in effect when it is not."""
    tolerance: float = TOLERANCE
    """How far the share may be from the intended one, as a part of the change."""

    @property
    def threshold(self) -> float:
        """The log evidence that is sufficient."""
        return -log(self.error_percent / 100)

    @property
    def intended(self) -> float:
        """The intended share, with room for strays."""
        return _with_strays(self.intended_percent / 100)

    def along(self, fraction: float) -> float:
        """Return the share at this fraction of the way from the previous to the intended one. Above 1 is beyond it."""
        before, after = (asin(sqrt(percent / 100)) for percent in (self.previous_percent, self.intended_percent))
        angle = before + fraction * (after - before)
        return _with_strays(sin(min(max(angle, 0.0), pi / 2)) ** 2)

    @property
    def fitting(self) -> tuple[float, float]:
        """The range of shares that count as the intended one."""
        return _ordered(self.along(1 - self.tolerance), self.along(1 + self.tolerance))

    @property
    def former(self) -> tuple[float, float]:
        """The range of shares that count as the previous one."""
        return _ordered(self.along(-TOLERANCE), self.along(TOLERANCE))

    @property
    def refuted(self) -> tuple[float, ...]:
        """The shares that must be ruled out: too little of the change and, where possible, too much of it."""
        too_little, too_much = self.along(UNCHANGED), self.along(BEYOND)
        return (too_little,) if too_much == self.intended else (too_little, too_much)

    @property
    def expected_requests(self) -> int:
        """About how many requests it takes to attest a change that is in effect from the first request on."""
        information = min(_relative_entropy(self.intended, share) for share in self.refuted)
        return round((self.threshold + log(2)) / information)


@dataclass(frozen=True, kw_only=True)
class PeriodCounts:
    """Client requests of one period."""

    candidate: int
    other: int


class SplitOutcome(StrEnum):
    """What the counts show."""

    AGREES = "agrees"
    """The counts follow the intended split and reject the previous one."""
    TOO_FEW = "too_few"
    """More requests are needed."""
    PREVIOUS = "previous"
    """The counts still follow the previous split."""
    NEITHER = "neither"
    """The counts follow a different split."""


@dataclass(frozen=True, kw_only=True)
class SplitResult:
    """The outcome and its counts: since the change seems to be in effect, or of all periods."""

    outcome: SplitOutcome
    requests: int
    candidate_requests: int

    @property
    def candidate_percent(self) -> float | None:
        """The candidate's observed share, in percent. None without requests."""
        return 100 * self.candidate_requests / self.requests if self.requests else None


@dataclass(frozen=True, kw_only=True)
class _Window:
    """The latest periods, as far back as they support a share (Page's CUSUM): the evidence and the counts."""

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
        """Return the log evidence against all these shares: the likelihood of any share over that of the best of them.

        "Any share" is Jeffreys' mixture. The ratio for each single share in the range is at least as large.
        """
        requests = self.candidate + self.other
        if not requests:
            return 0.0
        best = min(max(self.candidate / requests, shares[0]), shares[1])
        of_any = _log_beta(self.candidate + 0.5, self.other + 0.5) - _log_beta(0.5, 0.5)
        return of_any - _likelihood(best, self)


def examine(split: Split, periods: Sequence[PeriodCounts]) -> SplitResult:
    """Judge the counts of all whole periods since the change was requested, oldest first.

    Raises:
        ValueError: the previous and the intended share are equal.
    """
    if split.previous_percent == split.intended_percent:
        raise ValueError(f"a split must change, got {split.intended_percent} percent twice")
    intended, refuted, fitting, threshold = split.intended, split.refuted, split.fitting, split.threshold
    evidence = [-inf for _ in refuted]
    after, before, rejected = _Window(), _Window(), False
    for number, counts in enumerate(periods):
        # The prior probability that the change comes into effect in this period. It falls slowly and sums to one.
        prior = -log((number + 1) * (number + 2))
        likely = _likelihood(intended, counts)
        gains = [likely - _likelihood(share, counts) for share in refuted]
        evidence = [_log_sum(one, prior) + gain for one, gain in zip(evidence, gains, strict=True)]
        after, before = after.extended(counts, gains[0]), before.extended(counts, -gains[0])
        if after.misfit(fitting) >= threshold:
            evidence, after, rejected = [-inf for _ in evidence], _Window(), True
    if min(evidence) >= threshold:
        return _result(SplitOutcome.AGREES, after)
    if before.evidence >= threshold:
        follows = before.misfit(split.former) < threshold
        return _result(SplitOutcome.PREVIOUS if follows else SplitOutcome.NEITHER, before)
    if rejected and after.candidate + after.other < split.expected_requests:
        return _result(SplitOutcome.NEITHER, _all(periods))
    return _result(SplitOutcome.TOO_FEW, after)


def _result(outcome: SplitOutcome, window: _Window) -> SplitResult:
    return SplitResult(outcome=outcome, requests=window.candidate + window.other, candidate_requests=window.candidate)


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
