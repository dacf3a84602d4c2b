"""Counter growth and histogram quantiles."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.statistics.measurements import (
    Counters,
    Histogram,
    bucket_label,
    growth,
    histogram,
    histogram_growth,
    sample,
)


def test_a_counter_absent_at_the_start_began_at_zero() -> None:
    assert growth({}, {("pod", "2xx"): 5.0}) == {("pod", "2xx"): 5.0}


def test_a_counter_that_fell_was_reset() -> None:
    assert growth({("pod", "2xx"): 90.0}, {("pod", "2xx"): 7.0}) == {("pod", "2xx"): 7.0}


def test_a_pod_that_is_gone_counts_nothing() -> None:
    assert growth({("gone", "2xx"): 90.0}, {("pod", "2xx"): 7.0}) == {("pod", "2xx"): 7.0}


@given(st.dictionaries(st.tuples(st.sampled_from("abc"), st.just("x")), st.floats(0, 1e6)), st.data())
def test_growth_is_never_negative(start: dict[tuple[str, str], float], data: st.DataObject) -> None:
    end = data.draw(st.dictionaries(st.tuples(st.sampled_from("abc"), st.just("x")), st.floats(0, 1e6)))
    assert all(value >= 0 for value in growth(start, end).values())


def test_pods_add_up_to_one_histogram() -> None:
    buckets = {("a", "0.1"): 1.0, ("b", "0.1"): 2.0, ("a", "+Inf"): 4.0, ("b", "+Inf"): 4.0}
    assert histogram(buckets) == Histogram(((0.1, 3.0), (math.inf, 8.0)))


@pytest.mark.parametrize(
    ("spelling", "label"),
    [("1", "1"), ("1.0", "1"), ("1e0", "1"), ("0.30", "0.3"), ("+Inf", "+Inf"), ("inf", "+Inf"), ("2560.0", "2560")],
)
def test_a_bound_has_one_spelling(spelling: str, label: str) -> None:
    assert bucket_label(spelling) == label


@pytest.mark.parametrize("spelling", ["", "NaN", "one"])
def test_what_is_no_number_is_no_bound(spelling: str) -> None:
    assert bucket_label(spelling) is None


@pytest.mark.parametrize(
    "buckets",
    [
        {("a", "1"): 50.0, ("a", "+Inf"): 10.0},
        {("a", "1"): 0.0, ("a", "2.5"): 9.0, ("a", "5"): 8.0, ("a", "+Inf"): 10.0},
        {("a", "1"): 10.0},
        {},
    ],
    ids=["below the count", "in between", "without a last bound", "empty"],
)
def test_counts_that_fall_are_no_data(buckets: dict[tuple[str, str], float]) -> None:
    assert histogram(buckets) == Histogram()


def test_only_bounds_that_all_pods_have_are_added_up() -> None:
    fast = {("a", "0.5"): 10.0, ("a", "1"): 10.0, ("a", "+Inf"): 10.0}
    slow = {("b", "0.7"): 0.0, ("b", "1"): 0.0, ("b", "+Inf"): 90.0}
    assert histogram({**fast, **slow}) == Histogram(((1.0, 10.0), (math.inf, 100.0)))


def test_the_buckets_of_a_pod_are_reset_together() -> None:
    start = {("a", "1"): 10.0, ("a", "+Inf"): 100.0, ("b", "1"): 5.0, ("b", "+Inf"): 5.0}
    end = {("a", "1"): 20.0, ("a", "+Inf"): 30.0, ("b", "1"): 6.0, ("b", "+Inf"): 8.0}
    assert histogram_growth(start, end) == Histogram(((1.0, 21.0), (math.inf, 33.0)))


def test_growth_that_falls_was_a_reset_although_no_bucket_fell() -> None:
    assert histogram_growth(
        {("a", "1"): 0.0, ("a", "+Inf"): 100.0}, {("a", "1"): 150.0, ("a", "+Inf"): 160.0}
    ) == Histogram(((1.0, 150.0), (math.inf, 160.0)))


LATENCIES = st.lists(st.floats(0.001, 20), max_size=30)


@given(st.dictionaries(st.sampled_from("abc"), st.tuples(LATENCIES, LATENCIES), min_size=1))
def test_the_growth_is_what_was_observed_in_between(observed: dict[str, tuple[list[float], list[float]]]) -> None:
    bounds = {"0.1": 0.1, "1": 1.0, "5": 5.0, "+Inf": math.inf}

    def series(ends: int) -> dict[tuple[str, str], float]:
        seen = {pod: [one for part in parts[:ends] for one in part] for pod, parts in observed.items()}
        return {
            (pod, label): float(sum(one <= bound for one in values))
            for pod, values in seen.items()
            for label, bound in bounds.items()
        }

    between = [one for _, later in observed.values() for one in later]
    expected = tuple((bound, float(sum(one <= bound for one in between))) for bound in bounds.values())
    assert histogram_growth(series(1), series(2)) == Histogram(expected)


@pytest.mark.parametrize(
    ("q", "expected"), [(0.5, 0.1), (0.75, 0.175), (0.95, 0.235), (1.0, 0.25)], ids=["median", "p75", "p95", "max"]
)
def test_a_quantile_is_interpolated_inside_its_bucket(q: float, expected: float) -> None:
    assert Histogram(((0.1, 50.0), (0.25, 100.0), (math.inf, 100.0))).quantile(q) == pytest.approx(expected)


def test_a_quantile_beyond_the_last_bound_is_infinite() -> None:
    assert Histogram(((0.1, 50.0), (math.inf, 100.0))).quantile(0.95) == math.inf


def test_an_empty_histogram_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram(((0.1, 0.0), (math.inf, 0.0))).quantile(0.5) is None


def test_only_whole_buckets_count_as_surely_above() -> None:
    buckets = Histogram(((0.1, 10.0), (0.25, 60.0), (math.inf, 100.0)))
    assert buckets.surely_above(0.1) == 90
    assert buckets.surely_above(0.2) == 40
    assert buckets.surely_above(9.0) == 0


@given(
    st.lists(st.floats(0.001, 20), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.9, 0.95]),
)
def test_the_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], q: float) -> None:
    bounds = [0.01, 0.1, 0.5, 1.0, 5.0, 20.0, math.inf]
    counts = tuple((bound, float(sum(value <= bound for value in values))) for bound in bounds)
    true = sorted(values)[math.ceil(q * len(values)) - 1]
    upper = next(bound for bound in bounds if true <= bound)
    lower = max((bound for bound in bounds if bound < upper), default=0.0)
    estimated = Histogram(counts).quantile(q)
    assert estimated is not None
    assert lower <= estimated <= upper * (1 + 1e-9)


def test_nothing_at_the_end_is_no_sample() -> None:
    assert sample(Counters(responses={("a", "2xx"): 9.0}), Counters()) is None


def test_failures_are_server_errors_or_engine_errors_and_aborts() -> None:
    end = Counters(
        responses={("a", "2xx"): 90.0, ("a", "4xx"): 5.0, ("a", "503"): 3.0, ("a", "5xx"): 2.0},
        finished={("a", "stop"): 80.0, ("a", "error"): 4.0, ("a", "abort"): 7.0},
    )
    seen = sample(Counters(), end)
    assert seen is not None
    assert (seen.requests, seen.failed) == (100, 5 + 7)


@pytest.mark.parametrize(
    ("answered", "statuses", "finished", "abandoned"),
    [
        (100, {"2xx": 100}, {"stop": 60, "length": 30, "repetition": 1}, 9),
        (100, {"2xx": 100}, {"stop": 100}, 0),
        # A version that counts a client that hangs up as aborted gives the same figure.
        (100, {"2xx": 100}, {"stop": 91, "abort": 9}, 9),
        # An engine error is a 5xx, or the end of a stream with status 200.
        (90, {"2xx": 90, "5xx": 10}, {"stop": 90, "error": 10}, 0),
        (100, {"2xx": 100}, {"stop": 90, "error": 10}, 0),
        # Requests for several answers have more generations than exchanges.
        (50, {"2xx": 50}, {"stop": 80}, 0),
        (None, {"2xx": 50}, {"stop": 50}, None),
        (50, {"2xx": 50}, {}, None),
    ],
)
def test_abandoned_are_the_exchanges_that_ended_before_their_generation(
    answered: int | None, statuses: dict[str, int], finished: dict[str, int], abandoned: int | None
) -> None:
    end = Counters(
        responses={("a", status): float(count) for status, count in statuses.items()},
        answered={} if answered is None else {("a", ""): float(answered)},
        finished={("a", reason): float(count) for reason, count in finished.items()},
    )
    seen = sample(Counters(), end)
    assert seen is not None
    assert seen.abandoned == abandoned


def test_requests_that_are_still_answered_have_begun() -> None:
    end = Counters(
        responses={("a", "2xx"): 5.0},
        answered={("a", ""): 5.0},
        finished={("a", "stop"): 3.0},
        ttft_buckets={("a", "+Inf"): 40.0},
    )
    seen = sample(Counters(), end)
    assert seen is not None
    assert (seen.begun, seen.abandoned) == (42, 2)


def test_tokens_count_as_many_observations_as_requests_finished() -> None:
    end = Counters(
        responses={("a", "2xx"): 9.0},
        finished={("a", "stop"): 6.0, ("a", "abort"): 2.0},
        inter_token_buckets={("a", "0.05"): 600.0, ("a", "0.1"): 750.0, ("a", "+Inf"): 800.0},
    )
    seen = sample(Counters(), end)
    assert seen is not None
    assert seen.inter_token == Histogram(((0.05, 6.0), (0.1, 7.5), (math.inf, 8.0)))
    assert seen.inter_token.counts == (6, 2, 0)


def test_a_histogram_is_never_scaled_up() -> None:
    few = Histogram(((0.05, 2.0), (math.inf, 3.0)))
    assert few.scaled(10) is few
    assert Histogram().scaled(10) == Histogram()


def test_waiting_requests_are_reported_per_replica() -> None:
    assert Counters(waiting={("a", ""): 3.0, ("b", ""): 0.0}).waiting_per_replica == 1.5
    assert Counters().waiting_per_replica is None
