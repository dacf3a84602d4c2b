"""Measurements over a window: the growth of counters, and quantiles of the growth of histogram buckets."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Final

from components.domain.naming import Color
from rollout.model.pod_metrics import ABORTED, ANSWERED_STATUS, ENGINE_ERROR, SERVER_ERROR_STATUS

Series = Mapping[tuple[str, str], float]
"""Counter values by pod and one more label: the status, the finish reason, or the upper bound of a bucket.

A bound is in the one spelling of ``bucket_label``, because a counter is found again by its label.
"""


def bucket_label(bound: str) -> str | None:
    """Return the one spelling of a bucket's upper bound. None when it is not a number.

    Clients and versions of Prometheus differ: ``1`` and ``1.0`` are the same bound.
    https://prometheus.io/docs/prometheus/latest/migration/
    """
    try:
        number = float(bound)
    except ValueError:
        return None
    if math.isnan(number):
        return None
    return "+Inf" if number == math.inf else repr(number).removesuffix(".0")


def growth(start: Series, end: Series) -> dict[tuple[str, str], float]:
    """Return how much each counter grew.

    A counter that is absent at the start began at zero. A counter that fell was reset, so its whole value counts. A
    counter that is absent at the end belongs to a pod that is gone, and is left out.
    """
    grown: dict[tuple[str, str], float] = {}
    for key, value in end.items():
        before = start.get(key, 0.0)
        grown[key] = value if value < before else value - before
    return grown


def total(series: Series, wanted: Callable[[str], bool] = lambda _: True) -> int:
    """Return the sum of the counters with a wanted label, over all pods."""
    return round(sum(value for (_, label), value in series.items() if wanted(label)))


@dataclass(frozen=True)
class Histogram:
    """Cumulative counts by upper bound in seconds. Bounds rise, and the last one is infinite."""

    buckets: tuple[tuple[float, float], ...] = ()

    @property
    def count(self) -> int:
        """The number of observations."""
        return round(self.buckets[-1][1]) if self.buckets else 0

    def quantile(self, q: float) -> float | None:
        """Estimate a quantile, in seconds, by interpolation inside its bucket. Return None without observations.

        A quantile above the last finite bound is returned as infinite.
        """
        if not self.count:
            return None
        rank = q * self.buckets[-1][1]
        below_bound, below_count = 0.0, 0.0
        for bound, count in self.buckets:
            if count >= rank and count > below_count:
                if math.isinf(bound):
                    return math.inf
                return below_bound + (bound - below_bound) * (rank - below_count) / (count - below_count)
            below_bound, below_count = bound, count
        return math.inf

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds of the buckets."""
        return tuple(bound for bound, _ in self.buckets)

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of observations in each bucket (not cumulative)."""
        rounded = [round(count) for _, count in self.buckets]
        return tuple(max(0, count - below) for count, below in zip(rounded, [0, *rounded], strict=False))

    def scaled(self, count: int) -> "Histogram":
        """Return a histogram with the same shares but at most ``count`` observations."""
        if not self.count or count >= self.count:
            return self
        factor = count / self.buckets[-1][1]
        return Histogram(tuple((bound, cumulated * factor) for bound, cumulated in self.buckets))

    def surely_above(self, limit: float) -> int:
        """Return how many observations are above ``limit`` seconds for certain, wherever they are in their buckets."""
        if not self.buckets:
            return 0
        at_most = min((count for bound, count in self.buckets if bound >= limit), default=self.buckets[-1][1])
        return round(self.buckets[-1][1] - at_most)


def histogram(buckets: Series) -> Histogram:
    """Add up the bucket counters of all pods. The label is the upper bound (Prometheus' ``le``).

    Only bounds that all pods have can be added up: versions of a server differ in their buckets. Counts that fall while
    the bounds rise, or that have no last bound, are not a histogram: the result is empty, which is no data.
    """
    pods = {pod for pod, _ in buckets}
    by_bound: dict[float, list[float]] = {}
    for (_, bound), count in buckets.items():
        by_bound.setdefault(float(bound), []).append(count)
    added = [(bound, sum(counts)) for bound, counts in sorted(by_bound.items()) if len(counts) == len(pods)]
    return Histogram() if _falls(added) or not added or math.isfinite(added[-1][0]) else Histogram(tuple(added))


def histogram_growth(start: Series, end: Series) -> Histogram:
    """Return the histogram of what was observed between two times, over all pods.

    The buckets of a pod are reset together, when its server starts again. Its whole counts are then what it observed
    since: one bucket may already be above its former count while another is below.
    """
    grown: dict[tuple[str, str], float] = {}
    before = _by_pod(start)
    for pod, after in _by_pod(end).items():
        former = before.get(pod, {})
        grew = growth(former, after)
        counts = sorted((float(bound), count) for (_, bound), count in grew.items())
        was_reset = any(value < former.get(key, 0.0) for key, value in after.items()) or _falls(counts)
        grown |= after if was_reset else grew
    return histogram(grown)


def _by_pod(series: Series) -> dict[str, dict[tuple[str, str], float]]:
    pods: dict[str, dict[tuple[str, str], float]] = {}
    for key, value in series.items():
        pods.setdefault(key[0], {})[key] = value
    return pods


def _falls(counts: Sequence[tuple[float, float]]) -> bool:
    """Return whether cumulative counts, in the order of their bounds, fall while the bounds rise."""
    return any(higher < lower for (_, lower), (_, higher) in pairwise(counts))


@dataclass(frozen=True, kw_only=True)
class Counters:
    """One colour's counters at one time."""

    responses: Series = field(default_factory=dict[tuple[str, str], float])
    """HTTP responses of /v1/* by status."""
    answered: Series = field(default_factory=dict[tuple[str, str], float])
    """HTTP exchanges of the endpoints that generate, with status 2xx, by pod only. Each counts when it ends: also when
    the client hangs up."""
    finished: Series = field(default_factory=dict[tuple[str, str], float])
    """Finished generations by finish reason."""
    ttft_buckets: Series = field(default_factory=dict[tuple[str, str], float])
    """Time to first token, cumulative buckets."""
    inter_token_buckets: Series = field(default_factory=dict[tuple[str, str], float])
    """Time from one token to the next, cumulative buckets, one observation per token."""
    end_to_end_buckets: Series = field(default_factory=dict[tuple[str, str], float])
    """Time of whole requests, cumulative buckets."""
    waiting: Series = field(default_factory=dict[tuple[str, str], float])
    """How many requests wait for capacity: a gauge, by pod only."""

    output_tokens: Series = field(default_factory=dict[tuple[str, str], float])
    """Generated tokens, by pod only."""
    answer_tokens_buckets: Series = field(default_factory=dict[tuple[str, str], float])
    """Generated tokens of each finished request, cumulative buckets."""
    answer_tokens_sum: Series = field(default_factory=dict[tuple[str, str], float])
    """Generated tokens of all finished requests, by pod only."""
    slices: Mapping[str, Mapping[str, "Counters"]] = field(default_factory=dict[str, Mapping[str, "Counters"]])
    """The same by label and its value, for the labels that were asked for. Where no response has the label, its
    generations stand for its requests."""

    @property
    def pods(self) -> int:
        """How many pods publish their metrics."""
        return len({pod for pod, _ in self.waiting})

    @property
    def waiting_per_replica(self) -> float | None:
        """The mean number of waiting requests per pod. None when there is no data."""
        return sum(self.waiting.values()) / self.pods if self.pods else None


SLICED_COUNTERS: Final = {
    "error_rate": "responses",
    "ttft_p95": "ttft_buckets",
    "inter_token_p95": "inter_token_buckets",
    "end_to_end_p95": "end_to_end_buckets",
}
"""The gates that can judge slices, each with the counters that must have the label."""


def responses_of(finished: Series) -> Series:
    """Return generations as the responses that they are part of: one that ends in an error fails its request."""
    responses: dict[tuple[str, str], float] = {}
    for (pod, reason), count in finished.items():
        key = pod, f"{SERVER_ERROR_STATUS if reason == ENGINE_ERROR else ANSWERED_STATUS}xx"
        responses[key] = responses.get(key, 0.0) + count
    return responses


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One colour's measurements over a window."""

    requests: int = 0
    failed: int = 0
    """All failures. The following are its kinds, which overlap."""
    server_errors: int = 0
    """5xx answers."""
    engine_errors: int = 0
    """Generations that ended in an error, with any status."""
    aborts: int = 0
    """Generations that were aborted, with status 200."""
    answered: int | None = None
    """Exchanges with status 2xx that ended. None when the server does not publish all that ``abandoned`` needs."""
    completed: int = 0
    """Generations that came to an end of their own, with status 2xx."""
    ttft: Histogram = Histogram()
    inter_token: Histogram = Histogram()
    """Scaled to one observation per finished request, because the tokens of one request are not independent."""
    end_to_end: Histogram = Histogram()

    @property
    def abandoned(self) -> int | None:
        """How many requests ended before their generation did: the client hung up. None when that is not published."""
        return None if self.answered is None else max(0, self.answered - self.completed)

    @property
    def begun(self) -> int:
        """How many requests got their first token, and how many were abandoned. Some are both.

        Open streams are among them. Counted when they end, requests would be mostly short ones at first, and most of
        the short ones are abandoned.
        """
        return max(self.ttft.count, self.completed) + (self.abandoned or 0)


def sample(start: Counters, end: Counters) -> Sample | None:
    """Return the growth of one colour's counters between two times. None when there is no data at the end.

    A generation that ends in an error may or may not be a 5xx (a stream has already sent its status), so the larger of
    the two counts is used for both. An aborted generation is always a 200, so aborts are added.
    """
    if not end.responses:
        return None
    responses = growth(start.responses, end.responses)
    finished = growth(start.finished, end.finished)
    server_errors = total(responses, lambda status: status.startswith(SERVER_ERROR_STATUS))
    engine_errors = total(finished, lambda reason: reason == ENGINE_ERROR)
    aborts = total(finished, lambda reason: reason == ABORTED)
    requests = total(responses)
    # The status of an exchange with an engine error is a 5xx, unless the stream had begun.
    completed = total(finished) - aborts - engine_errors + max(0, engine_errors - server_errors)
    published = bool(end.answered) and bool(end.finished)
    tokens = histogram_growth(start.inter_token_buckets, end.inter_token_buckets)
    return Sample(
        requests=requests,
        failed=min(requests, max(server_errors, engine_errors) + aborts),
        server_errors=server_errors,
        engine_errors=engine_errors,
        aborts=aborts,
        answered=total(growth(start.answered, end.answered)) if published else None,
        completed=completed,
        ttft=histogram_growth(start.ttft_buckets, end.ttft_buckets),
        inter_token=tokens.scaled(total(finished)),
        end_to_end=histogram_growth(start.end_to_end_buckets, end.end_to_end_buckets),
    )


def sample_slices(start: Counters, end: Counters) -> dict[str, dict[str, Sample]]:
    """Return the samples of all slices, by label and value. A slice without data at the end is absent."""
    return {
        label: {
            value: found
            for value, one in slices.items()
            if (found := sample(start.slices.get(label, {}).get(value, Counters()), one)) is not None
        }
        for label, slices in end.slices.items()
    }


@dataclass(frozen=True, kw_only=True)
class PrefixCache:
    """The queries and hits of one colour's prefix caches, in tokens."""

    queries: float
    hits: float

    def hit_percent_since(self, before: "PrefixCache") -> float | None:
        """Return the hit rate since ``before``, in percent. None without queries in between, or after a reset."""
        queries, hits = self.queries - before.queries, self.hits - before.hits
        return 100 * (hits / queries) if queries > 0 and 0 <= hits <= queries else None


@dataclass(frozen=True, kw_only=True)
class Period:
    """The load balancer's figures for one target group in one period of its metrics."""

    requests: int = 0
    """Requests for which the load balancer chose a target."""
    server_errors: int = 0
    """5xx answers of the targets."""
    connection_errors: int = 0
    """Connections to the targets that failed. No target answered, so these are not among the ``server_errors``."""
    balancer_errors: int = 0
    """5xx answers of the load balancer itself, for both colours together: it does not count them by target group."""
    p95_seconds: float | None = None
    """The p95 of the time until the targets began to answer. None without answers."""

    @property
    def failed(self) -> int:
        """The failures of this target group. At the edge of a period they may be more than its requests."""
        return self.server_errors + self.connection_errors


@dataclass(frozen=True, kw_only=True)
class PeriodRequests:
    """Requests by colour in one period of the load balancer's metrics, including our own requests."""

    start: datetime
    end: datetime
    requests: Mapping[Color, int]
