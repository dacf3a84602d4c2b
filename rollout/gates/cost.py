"""What a million output tokens costs on each colour, and the gate on its increase. Pure.

*As served* is a fact: the dollars that a colour cost in the window, over the tokens that it generated. It says little
about a release, because a pool at 1 % of the requests is a hundred times as dear by the token. *At full traffic* is
what the gate compares: a colour at its full size, with all requests of the window, each with as many tokens as this
colour's requests have. The requests cancel out in the comparison. What is left is the price of the full colour, which
is known, over the tokens of a request, which is a mean. So the increase is certain up to the bounds of two means
(``statistics/means.py``), and the gate fails when even the lowest increase that they allow is above the limit.

What the candidate could carry is not in it: a release whose replicas saturate earlier costs the same until you add
some.
"""

from dataclasses import dataclass
from datetime import timedelta

from components.config.sections.gate_settings import CostSettings
from rollout.gates.verdicts import Thresholds
from rollout.model.verdict import Evidence, GateVerdict, Verdict
from rollout.statistics.means import FEWEST, Mean, mean_of
from rollout.statistics.measurements import Counters, Histogram, growth, histogram_growth, total

GATE = "cost"
_MILLION = 1_000_000
_THOUSAND = 1000
_BOUNDS = 2
"""Bounds that share the chance of a false alarm: of either colour's tokens."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What a colour costs, in US dollars per hour."""

    at_full_size: float
    as_served: float
    """With the replicas that ran in the window."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a colour generated in a window."""

    output_tokens: int
    per_request: Mean | None
    """The tokens of a request. None without requests."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """One colour's costs, in US dollars. What is not known is None."""

    per_million_tokens_as_served: float | None
    per_million_tokens: float | None
    """At full traffic."""
    per_thousand_requests: float | None
    """At full traffic."""


def answers(start: Counters, end: Counters, *, probes: int = 0, probe_tokens: int = 0) -> Answers | None:
    """Return what a colour generated between two times. None when its tokens are not published.

    Our own requests do not count: readiness probes, which have one token, and ``probes`` with at most ``probe_tokens``.
    They would make answers look short where clients send few. So no request with a single token counts, and as many
    others are left out as there were probes, the shortest first.
    """
    if not end.answer_tokens_buckets or not end.output_tokens:
        return None
    lengths = histogram_growth(start.answer_tokens_buckets, end.answer_tokens_buckets)
    generated = sum(growth(start.answer_tokens_sum, end.answer_tokens_sum).values())
    single = next((round(count) for bound, count in lengths.buckets if bound == 1), 0)
    lengths, generated = _without(lengths, single), generated - single
    left = probes
    for low, number in zip([0.0, *lengths.bounds], lengths.counts, strict=False):
        taken = min(left, number) if low < probe_tokens else 0
        left, generated = left - taken, generated - taken * low
    return Answers(
        output_tokens=total(growth(start.output_tokens, end.output_tokens)),
        per_request=mean_of(_without(lengths, probes - left), generated),
    )


def _without(values: Histogram, number: int) -> Histogram:
    """Return a histogram without its lowest values."""
    return Histogram(tuple((bound, max(0.0, count - number)) for bound, count in values.buckets))


def costs(prices: Prices, seen: Answers, requests: int, lasted: timedelta) -> Costs:
    """Return one colour's costs. ``requests`` are those of both colours in the window."""
    hours = lasted / timedelta(hours=1)
    served, per_request = seen.output_tokens, seen.per_request
    full = prices.at_full_size * hours / requests if requests and hours else None
    tokens = None if per_request is None or not per_request.mean else per_request.mean
    return Costs(
        per_million_tokens_as_served=prices.as_served * hours / served * _MILLION if served else None,
        per_million_tokens=None if full is None or tokens is None else full / tokens * _MILLION,
        per_thousand_requests=None if full is None else full * _THOUSAND,
    )


def only_shown(limits: CostSettings) -> bool:
    """Return whether the costs decide nothing: without a limit, or in a dry run."""
    return limits.dry_run or limits.max_cost_increase_percent is None


def judge_cost(
    candidate: Answers | None,
    active: Answers | None,
    prices: tuple[Prices, Prices] | None,
    requests: int,
    lasted: timedelta,
    limits: CostSettings,
    thresholds: Thresholds,
) -> GateVerdict:
    """Judge what a million output tokens of the candidate costs at full traffic, against the active colour's.

    Args:
        candidate: what the candidate generated. None when its tokens are not published.
        active: what the active colour generated. At the last steps, its tokens per request are those from before.
        prices: of the candidate and of the active colour. None when they are unknown.
        requests: the requests of both colours in the window.
        lasted: how long the window has been open.
        limits: the limit. Without one, the costs are only shown.
        thresholds: what a verdict requires.
    """
    dry_run = only_shown(limits)
    fewest = max(thresholds.minimum_requests, FEWEST)
    mine, other = (None if one is None else one.per_request for one in (candidate, active))

    def judged(verdict: Verdict, reason: str, evidence: Evidence | None = None) -> GateVerdict:
        return GateVerdict(gate=GATE, verdict=verdict, reason=reason, evidence=evidence or {}, dry_run=dry_run)

    if prices is None:
        return judged(Verdict.INCONCLUSIVE, "the price of a node is unknown; set node_usd_per_hour")
    if candidate is None or active is None or mine is None or other is None:
        return judged(Verdict.INCONCLUSIVE, "no data")
    ours, theirs = (costs(of, seen, requests, lasted) for of, seen in zip(prices, (candidate, active), strict=True))
    limit = limits.max_cost_increase_percent
    evidence: dict[str, float | int | str | None] = {
        "requests": mine.count,
        "active_requests": other.count,
        "tokens_per_request": round(mine.mean, 2),
        "active_tokens_per_request": round(other.mean, 2),
        "output_tokens": candidate.output_tokens,
        "active_output_tokens": active.output_tokens,
        "usd_per_hour_at_full_size": prices[0].at_full_size,
        "active_usd_per_hour_at_full_size": prices[1].at_full_size,
        "usd_per_million_tokens_as_served": _rounded(ours.per_million_tokens_as_served),
        "active_usd_per_million_tokens_as_served": _rounded(theirs.per_million_tokens_as_served),
        "usd_per_million_tokens": _rounded(ours.per_million_tokens),
        "active_usd_per_million_tokens": _rounded(theirs.per_million_tokens),
        "usd_per_thousand_requests": _rounded(ours.per_thousand_requests),
        "active_usd_per_thousand_requests": _rounded(theirs.per_thousand_requests),
        "max_cost_increase_percent": limit,
        "false_alarm_rate": thresholds.false_alarm_rate,
    }
    if min(mine.count, other.count) < fewest:
        few = min(mine.count, other.count)
        return judged(Verdict.INCONCLUSIVE, f"{few} of at least {fewest} answers of each colour seen", evidence)
    dearer = prices[0].at_full_size / prices[1].at_full_size
    chance = thresholds.false_alarm_rate / _BOUNDS
    increase = _percent(dearer * other.mean / mine.mean)
    least = _percent(dearer * other.lowest(chance) / mine.highest(chance))
    most = _percent(dearer * other.highest(chance) / mine.lowest(chance)) if mine.lowest(chance) else None
    evidence |= {
        "cost_increase_percent": round(increase, 2),
        "least_increase_percent": round(least, 2),
        "most_increase_percent": None if most is None else round(most, 2),
    }
    known = "no limit" if limit is None else f"limit {limit:g} %"
    figures = (
        f"{_usd(ours.per_million_tokens)} per million output tokens at full traffic, "
        f"{_usd(theirs.per_million_tokens)} on the active colour: {increase:+.1f} % (at least {least:+.1f} %, {known})"
    )
    if limit is not None and least > limit:
        return judged(Verdict.FAIL, f"{figures}: above it, chance is ruled out", evidence)
    if limit is not None and increase > limit:
        return judged(Verdict.INCONCLUSIVE, f"{figures}, could be chance", evidence)
    return judged(Verdict.PASS, figures, evidence)


def _percent(ratio: float) -> float:
    return 100 * (ratio - 1)


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 4)


def _usd(usd: float | None) -> str:
    return "an unknown price" if usd is None else f"{usd:,.2f} USD"
