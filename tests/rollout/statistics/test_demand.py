"""The peak of users' requests, without our own checks', and how long their requests are."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rollout.statistics.demand import Rate, Throughput, draw_length, peak_of
from rollout.statistics.measurements import Histogram

START = datetime(2026, 11, 21, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def rate(seconds: float, requests: float, tokens: float | None = None) -> Rate:
    return Rate(at=at(seconds), throughput=Throughput(requests_per_second=requests, tokens_per_second=tokens))


def test_the_peak_has_the_most_requests_and_the_most_tokens() -> None:
    found = peak_of([rate(0, 5, 900), rate(60, 8, 700), rate(120, 2)], [], rate_seconds=60)
    assert found == Throughput(requests_per_second=8, tokens_per_second=900)


def test_rates_that_contain_our_own_checks_do_not_count() -> None:
    rates = [rate(seconds, 100 if 300 <= seconds <= 500 else 10) for seconds in range(0, 1200, 20)]
    found = peak_of(rates, [(at(305), at(440))], rate_seconds=60)
    assert found is not None
    assert found.requests_per_second == 100, "the rate at 300 s ended before the check began"
    found = peak_of(rates, [(at(300), at(440))], rate_seconds=60)
    assert found is not None
    assert found.requests_per_second == 10


def test_without_requests_there_is_no_peak() -> None:
    assert peak_of([], [], rate_seconds=60) is None
    assert peak_of([rate(0, 0, 0)], [], rate_seconds=60) is None
    assert peak_of([rate(10, 5)], [(at(0), at(20))], rate_seconds=60) is None


@given(
    st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 100)), min_size=1, max_size=30),
    st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 300)), max_size=4),
    st.floats(1, 100),
)
def test_leaving_out_times_never_raises_the_peak(
    points: list[tuple[float, float]], spans: list[tuple[float, float]], rate_seconds: float
) -> None:
    rates = [rate(seconds, value) for seconds, value in points]
    checked = [(at(start), at(start + length)) for start, length in spans]
    every, clean = (peak_of(rates, left_out, rate_seconds=rate_seconds) for left_out in ([], checked))
    assert clean is None or (every is not None and clean.requests_per_second <= every.requests_per_second)


@given(st.integers(0, 10_000))
def test_drawn_lengths_are_as_long_as_users(seed: int) -> None:
    users = Histogram(((100.0, 0.0), (200.0, 90.0), (500.0, 100.0), (float("inf"), 100.0)))
    drawn = draw_length(users, random.Random(seed))
    assert drawn is not None
    assert 100 <= drawn <= 500
    assert draw_length(Histogram(), random.Random(seed)) is None


def test_a_length_beyond_the_last_bound_counts_as_the_bound() -> None:
    assert draw_length(Histogram(((100.0, 0.0), (float("inf"), 5.0))), random.Random(1)) == 100
