"""The search for the knee: how many requests to keep open next, and what the levels so far add up to. Pure.

The number of open requests doubles from level to level until one is beyond the limits. Then the search goes to the
middle between the highest level within the limits and the lowest beyond them, until both are close together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rollout.model.answers import Answer
from rollout.statistics.demand import Throughput

CLOSE = 1.25
"""The search ends when the lowest level beyond the limits has at most so many times the requests of the knee."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the latencies and the failures of a level must stay within."""

    ttft_p95_seconds: float | None
    inter_token_p95_seconds: float | None
    failed_percent: float


@dataclass(frozen=True, kw_only=True)
class Level:
    """What was measured while a number of requests was open."""

    concurrency: int
    """How many requests were open at any time, on all replicas together."""
    replicas: int
    seconds: float
    ended: int
    failed: int = 0
    tokens: int = 0
    """Generated tokens of the answers that did not fail."""
    ttft_p95_seconds: float | None = None
    inter_token_p95_seconds: float | None = None
    error: str = ""
    """Why one of the requests failed. Empty when none did."""

    @property
    def per_replica(self) -> Throughput:
        """What each replica served in a second."""
        time = self.seconds * self.replicas
        return Throughput(requests_per_second=(self.ended - self.failed) / time, tokens_per_second=self.tokens / time)

    def beyond(self, limits: Limits) -> str:
        """Return which limit the level is beyond. Empty when it is within all of them."""
        failed_percent = 100 * self.failed / self.ended if self.ended else 0.0
        if failed_percent > limits.failed_percent:
            return f"{self.failed} of {self.ended} requests failed ({self.error})"
        for name, value, limit in (
            ("time to first token", self.ttft_p95_seconds, limits.ttft_p95_seconds),
            ("time between tokens", self.inter_token_p95_seconds, limits.inter_token_p95_seconds),
        ):
            if value is not None and limit is not None and value > limit:
                return f"{name} p95 {value:.3g} s (limit {limit:g} s)"
        return ""

    @property
    def text(self) -> str:
        """The level in a few words, for the journal."""
        times = [
            f"{name} {value:.3g} s"
            for name, value in (("first token", self.ttft_p95_seconds), ("between", self.inter_token_p95_seconds))
            if value is not None
        ]
        served = self.per_replica
        return f"{self.concurrency} open: " + ", ".join([f"{served.requests_per_second:.3g}/s", *times])


def level_of(
    answers: Sequence[Answer], waiting_seconds: Sequence[float], *, concurrency: int, replicas: int, seconds: float
) -> Level:
    """Return a level from what ended in it, and from how long open requests have waited for their first token.

    A request that still waits counts with the time so far: else requests that hang would make a level look good. A
    server may send several tokens in one event, so the times between events are divided by the tokens of an event.
    """
    good = [answer for answer in answers if answer.error is None]
    first = [answer.ttft_seconds for answer in good if answer.ttft_seconds is not None]
    longest = max(first, default=0.0)
    between = [
        gap / max(1.0, tokens_of(answer) / (1 + len(answer.inter_token_seconds)))
        for answer in good
        for gap in answer.inter_token_seconds
    ]
    return Level(
        concurrency=concurrency,
        replicas=replicas,
        seconds=seconds,
        ended=len(answers),
        failed=len(answers) - len(good),
        tokens=sum(map(tokens_of, good)),
        ttft_p95_seconds=p95([*first, *(waited for waited in waiting_seconds if waited > longest)]),
        inter_token_p95_seconds=p95(between),
        error=next((answer.error for answer in answers if answer.error is not None), ""),
    )


def tokens_of(answer: Answer) -> int:
    """Return how many tokens an answer has. A server that does not say is taken to send one in each event."""
    if answer.output_tokens is not None:
        return answer.output_tokens
    return 0 if answer.ttft_seconds is None else 1 + len(answer.inter_token_seconds)


def p95(values: Sequence[float]) -> float | None:
    """Return the value that at most 5 % of all are above. None without values."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else None


def next_concurrency(levels: Sequence[Level], limits: Limits, *, first: int, most: int) -> int | None:
    """Return how many requests to keep open in the next level. None when the search is over.

    The first level beyond the limits is measured again: a burst, or a server that is still warming up, can look like
    saturation. Of two levels with the same number, the later one counts.

    Args:
        levels: the levels so far, in the order in which they were measured.
        limits: what a level must stay within.
        first: the number to begin with.
        most: the highest number to try.
    """
    if not levels:
        return min(first, most)
    good, bad = _parted(levels, limits)
    if not bad:
        highest = max(good)
        return None if highest >= most else min(2 * highest, most)
    lowest_bad = min(bad)
    if sum(bool(level.beyond(limits)) for level in levels) == 1:
        return lowest_bad
    best = max((number for number in good if number < lowest_bad), default=0)
    if not best:
        return lowest_bad // 2 or None
    if lowest_bad - best <= 1 or lowest_bad <= CLOSE * best:
        return None
    return (best + lowest_bad) // 2


@dataclass(frozen=True, kw_only=True)
class Search:
    """The levels of one colour, and why there are no more of them."""

    levels: Sequence[Level]
    limits: Limits
    cut: str = ""
    """What ended the search before both sides of the knee were measured. Empty when nothing did."""
    requests: int = 0
    tokens: int = 0
    """All tokens that the search used: prompts and answers."""
    seconds: float = 0.0

    @cached_property
    def knee(self) -> Level | None:
        """The level within the limits at which most requests were answered. None when no level was within them."""
        good, bad = _parted(self.levels, self.limits)
        lowest_bad = min(bad, default=math.inf)
        return max(
            (level for number, level in good.items() if number < lowest_bad),
            key=lambda level: level.per_replica.requests_per_second,
            default=None,
        )

    @cached_property
    def saturated(self) -> Level | None:
        """The lowest level beyond the limits. None when all were within them."""
        _, bad = _parted(self.levels, self.limits)
        return bad[min(bad)] if bad else None

    @property
    def is_complete(self) -> bool:
        """Whether the knee is known: levels on both sides of it were measured, or not even one request is carried."""
        return not self.cut and self.saturated is not None


def _parted(levels: Sequence[Level], limits: Limits) -> tuple[dict[int, Level], dict[int, Level]]:
    """Return the levels within the limits and those beyond them, by their number of open requests."""
    latest = {level.concurrency: level for level in levels}
    good = {number: level for number, level in latest.items() if not level.beyond(limits)}
    return good, {number: level for number, level in latest.items() if number not in good}
