"""The search finds the knee of any server whose latency rises with the open requests, in a few levels."""

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.checks.load.search import CLOSE, Level, Limits, Search, level_of, next_concurrency, p95
from rollout.model.answers import Answer

LIMITS = Limits(ttft_p95_seconds=1.0, inter_token_p95_seconds=0.2, failed_percent=1.0)


def level(concurrency: int, ttft_seconds: float = 0.1, *, requests_per_second: float = 10.0, failed: int = 0) -> Level:
    return Level(
        concurrency=concurrency,
        replicas=2,
        seconds=10,
        ended=round(10 * requests_per_second),
        failed=failed,
        tokens=round(1000 * requests_per_second),
        ttft_p95_seconds=ttft_seconds,
        inter_token_p95_seconds=0.01,
        error="status 500" if failed else "",
    )


def searched(server: Callable[[int], Level], *, first: int = 1, most: int = 512) -> list[Level]:
    levels: list[Level] = []
    while (number := next_concurrency(levels, LIMITS, first=first, most=most)) is not None:
        levels.append(server(number))
        assert len(levels) < 40
    return levels


def saturating_at(carried: int) -> Callable[[int], Level]:
    """A server whose throughput rises up to ``carried`` open requests, and whose latency does so beyond them."""
    return lambda open_requests: level(
        open_requests,
        0.1 if open_requests <= carried else 1.5 * open_requests / carried,
        requests_per_second=min(open_requests, carried),
    )


def numbers(levels: Sequence[Level]) -> list[int]:
    return [one.concurrency for one in levels]


def test_it_doubles_repeats_the_first_level_beyond_the_limits_and_goes_to_the_middle() -> None:
    assert numbers(searched(saturating_at(13), first=2)) == [2, 4, 8, 16, 16, 12, 14]


def test_a_burst_at_one_level_does_not_end_the_search() -> None:
    measured: list[int] = []

    def server(open_requests: int) -> Level:
        measured.append(open_requests)
        return level(open_requests, 5.0 if measured == [1, 2] or open_requests > 30 else 0.1)

    assert numbers(searched(server))[:5] == [1, 2, 2, 4, 8]


def test_a_server_that_carries_not_even_the_first_level_is_asked_for_less() -> None:
    levels = searched(saturating_at(1), first=8)
    assert numbers(levels) == [8, 8, 4, 2, 1]
    found = Search(levels=levels, limits=LIMITS)
    assert found.knee is not None
    assert found.knee.concurrency == 1


def test_a_server_that_carries_nothing_has_no_knee() -> None:
    levels = searched(lambda number: level(number, 9.0))
    found = Search(levels=levels, limits=LIMITS)
    assert (found.knee, found.is_complete, numbers(levels)) == (None, True, [1, 1])


def test_without_a_level_beyond_the_limits_the_knee_is_not_known() -> None:
    levels = searched(saturating_at(10_000), most=100)
    assert numbers(levels)[-1] == 100
    found = Search(levels=levels, limits=LIMITS)
    assert not found.is_complete
    assert found.knee is not None
    assert found.knee.concurrency == 100


@given(st.integers(1, 2000), st.integers(1, 16), st.integers(16, 800))
def test_the_knee_is_close_below_what_the_server_carries(carried: int, first: int, most: int) -> None:
    levels = searched(saturating_at(carried), first=first, most=most)
    assert max(numbers(levels)) <= most
    assert len(levels) <= 2 * math.log2(most) + 4
    found = Search(levels=levels, limits=LIMITS)
    assert found.knee is not None
    assert found.knee.concurrency <= carried
    if most <= carried:
        assert found.knee.concurrency == most
        assert not found.is_complete
    else:
        assert found.is_complete
        assert carried <= max(found.knee.concurrency + 1, CLOSE * found.knee.concurrency)


@given(st.lists(st.tuples(st.integers(1, 64), st.booleans()), min_size=1, max_size=12))
def test_any_past_leads_to_a_number_in_range_or_to_the_end(past: list[tuple[int, bool]]) -> None:
    levels = [level(number, 0.1 if good else 9.0) for number, good in past]
    number = next_concurrency(levels, LIMITS, first=1, most=64)
    assert number is None or 1 <= number <= 64


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (level(1, 1.01), "time to first token p95 1.01 s (limit 1 s)"),
        (level(1, 1.0), ""),
        (level(1, failed=2), "2 of 100 requests failed (status 500)"),
        (level(1, failed=1), ""),
    ],
)
def test_a_level_says_which_limit_it_is_beyond(changed: Level, words: str) -> None:
    assert changed.beyond(LIMITS) == words


def answer(
    *, gaps: Sequence[float] = (), tokens: int | None = None, ttft: float = 0.1, error: str | None = None
) -> Answer:
    return Answer(
        status=200,
        ttft_seconds=ttft,
        inter_token_seconds=tuple(gaps),
        prompt_tokens=7,
        output_tokens=tokens,
        error=error,
    )


def test_times_between_events_are_divided_by_the_tokens_of_an_event() -> None:
    one = level_of([answer(gaps=[0.4] * 9, tokens=40)], [], concurrency=1, replicas=1, seconds=4)
    assert one.inter_token_p95_seconds == pytest.approx(0.1)
    assert one.per_replica.tokens_per_second == 10
    silent = level_of([answer(gaps=[0.4] * 9)], [], concurrency=1, replicas=1, seconds=4)
    assert (silent.inter_token_p95_seconds, silent.tokens) == (0.4, 10)


def test_requests_that_hang_count_with_the_time_so_far() -> None:
    answers = [answer(ttft=0.1)] * 10
    assert level_of(answers, [], concurrency=20, replicas=1, seconds=4).ttft_p95_seconds == 0.1
    assert level_of(answers, [3.0] * 10, concurrency=20, replicas=1, seconds=4).ttft_p95_seconds == 3.0
    assert level_of([], [3.0], concurrency=20, replicas=1, seconds=4).ttft_p95_seconds == 3.0


def test_failed_requests_are_no_throughput() -> None:
    found = level_of([answer(tokens=5), answer(error="refused")], [], concurrency=2, replicas=1, seconds=1)
    assert (found.per_replica.requests_per_second, found.tokens, found.error) == (1, 5, "refused")


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_at_most_a_twentieth_is_above_the_p95(values: list[float]) -> None:
    found = p95(values)
    assert found in values
    assert sum(value > found for value in values) <= len(values) / 20
    assert p95([]) is None
