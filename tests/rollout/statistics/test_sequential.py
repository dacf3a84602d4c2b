"""The sequential tests: exact where they can be computed by hand, and within their false-alarm rate."""

import math
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rollout.statistics import sequential
from rollout.statistics.sequential import (
    FAILURE_ODDS,
    MOST_RESULTS,
    SHIFTS,
    TAILS,
    Comparison,
    alarm_threshold,
    categories,
    evidence_above,
    log_mean_ratio,
    log_ratio,
    turned_successes,
)

Floats = NDArray[np.float64]
RATE = 0.05
RUNS = 400


def counts(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize(
    ("x", "drawn", "bad", "total"), [(3, 10, 5, 1000), (10, 10, 10, 1000), (0, 10, 3, 40), (1, 1, 1, 2)]
)
@pytest.mark.slow
def test_two_categories_are_fishers_noncentral_distribution(x: int, drawn: int, bad: int, total: int) -> None:
    from scipy.stats import hypergeom, nchypergeom_fisher  # slow to import, and needed only here

    scores = np.log([[1, odds] for odds, _ in FAILURE_ODDS])
    got = log_ratio(counts(drawn - x, x), counts(total - bad, bad), scores)
    by_lot = hypergeom.logpmf(x, total, bad, drawn)
    wanted = [nchypergeom_fisher.logpmf(x, total, bad, drawn, odds) - by_lot for odds, _ in FAILURE_ODDS]
    assert got == pytest.approx(wanted, abs=1e-6)


@given(st.lists(st.integers(0, 4), min_size=3, max_size=3), st.data())
@settings(max_examples=60)
def test_many_categories_are_what_counting_all_draws_gives(pooled: list[int], data: st.DataObject) -> None:
    mine = [data.draw(st.integers(0, one)) for one in pooled]
    scores = np.array([[0.0, 0.4, 1.2], [-0.5, 0.0, 3.0]])
    drawn, total = sum(mine), sum(pooled)
    got = log_ratio(counts(*mine), counts(*pooled), scores)
    for row, one in zip(scores, got, strict=True):
        draws = [draw for draw in product(*(range(count + 1) for count in pooled)) if sum(draw) == drawn]
        mean = sum(
            math.prod(comb(count, k) for count, k in zip(pooled, draw, strict=True)) * math.exp(np.dot(draw, row))
            for draw in draws
        ) / comb(total, drawn)
        assert one == pytest.approx(np.dot(mine, row) - math.log(mean), abs=1e-6)


@given(st.integers(0, 300), st.sampled_from([0.001, 0.01, 0.05, 0.5]), st.data())
def test_more_hits_are_more_evidence(trials: int, limit: float, data: st.DataObject) -> None:
    fewer = data.draw(st.integers(0, trials))
    more = data.draw(st.integers(fewer, trials))
    assert evidence_above(fewer, trials, limit) <= evidence_above(more, trials, limit) + 1e-9


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_more_failures_of_the_candidate_and_fewer_of_the_other_are_more_evidence(
    bad: int, worse: int, other: int
) -> None:
    def evidence(mine: int, active: int) -> float:
        comparison = Comparison()
        comparison.add((50 - mine, mine), (50 - active, active))
        return float(comparison.log_evidence)

    more = min(50, bad + worse)
    assert evidence(bad, other) <= evidence(more, other) + 1e-6
    assert evidence(bad, min(50, other + worse)) <= evidence(bad, other) + 1e-6


def test_nothing_seen_says_nothing() -> None:
    assert evidence_above(0, 0, 0.01) == 0
    assert evidence_above(0, 100, 0.01) < 0
    assert Comparison().log_evidence == 0
    comparison = Comparison()
    comparison.add((0, 0, 0), (0, 0, 0))
    comparison.add((0, 0, 0), (5, 0, 3))
    comparison.add((4, 4, 4), (0, 0, 0))
    assert comparison.log_evidence == pytest.approx(0, abs=1e-9)


def test_what_may_never_happen_is_proved_by_one_case() -> None:
    assert evidence_above(1, 1_000_000, 0) == math.inf
    assert evidence_above(0, 1_000_000, 0) == 0
    assert evidence_above(5, 5, 1) == 0


def test_the_bets_are_one_stake() -> None:
    latencies = [weight for _, weight in SHIFTS] + [weight for _, _, weight in TAILS]
    assert sum(latencies) == pytest.approx(1)
    assert sum(weight for _, weight in FAILURE_ODDS) == pytest.approx(1)


def test_several_tests_share_a_rate() -> None:
    assert math.exp(-alarm_threshold(0.01, 1)) == pytest.approx(0.01)
    assert 4 * math.exp(-alarm_threshold(0.01, 4)) == pytest.approx(0.01)


def highest(candidate: Floats, active: Floats, comparison: Comparison) -> Floats:
    """Return the highest evidence of each run after any block. Axes: runs, blocks, categories."""
    most = np.full(len(candidate), -np.inf)
    for block in range(candidate.shape[1]):
        comparison.add(candidate[:, block], active[:, block])
        most = np.maximum(most, comparison.log_evidence)
    return most


@pytest.mark.parametrize("worse", [0.0, -0.02])
@pytest.mark.slow
def test_a_limit_is_rarely_found_broken_by_who_keeps_it(worse: float) -> None:
    generator = np.random.default_rng(1)
    hits = np.cumsum(generator.random((RUNS, 600)) < 0.05 + worse, axis=1)
    looks = np.arange(1, 601, 6)
    alarms = sum(
        any(evidence_above(int(run[n - 1]), int(n), 0.05) >= alarm_threshold(RATE, 1) for n in looks) for run in hits
    )
    assert alarms / RUNS <= RATE


@pytest.mark.parametrize(("mine", "other"), [(10, 10), (10, 90), (30, 4)])
@pytest.mark.parametrize("slow_spells", [False, True])
@pytest.mark.slow
def test_equal_latencies_are_rarely_found_different(mine: int, other: int, slow_spells: bool) -> None:
    generator = np.random.default_rng(mine + other)
    usual, slow = [0.1, 0.3, 0.3, 0.2, 0.06, 0.04], [0.0, 0.05, 0.15, 0.3, 0.3, 0.2]
    blocks: list[tuple[Floats, Floats]] = []
    for _ in range(40):
        # Slow spells of both colours alike are not a difference.
        shares = slow if slow_spells and generator.random() < 0.3 else usual
        blocks.append(
            (
                generator.multinomial(mine, shares, RUNS).astype(np.float64),
                generator.multinomial(other, shares, RUNS).astype(np.float64),
            )
        )
    candidate, active = (np.stack(side, axis=1) for side in zip(*blocks, strict=True))
    assert (highest(candidate, active, Comparison()) >= alarm_threshold(RATE, 1)).mean() <= RATE


def test_equal_error_rates_are_rarely_found_different_and_a_rise_is_found() -> None:
    generator = np.random.default_rng(5)

    def outcomes(requests: int, rate: float) -> Floats:
        failed = generator.binomial(requests, rate, (RUNS, 100)).astype(np.float64)
        return np.stack([requests - failed, failed], axis=-1)

    active = outcomes(40, 0.02)
    assert (highest(outcomes(10, 0.02), active, Comparison()) >= alarm_threshold(RATE, 1)).mean() <= RATE
    assert (highest(outcomes(10, 0.01), active, Comparison()) >= alarm_threshold(RATE, 1)).mean() <= RATE
    assert (highest(outcomes(10, 0.10), active, Comparison()) >= alarm_threshold(RATE, 1)).mean() > 0.9


def test_an_increase_that_is_allowed_is_rarely_found_too_much() -> None:
    generator = np.random.default_rng(6)

    def share_of_alarms(rate: float) -> float:
        alarms = 0
        for _ in range(40):
            comparison = Comparison(allowed_increase=0.02)
            most = 0.0
            for _ in range(30):
                mine, other = int(generator.binomial(30, rate)), int(generator.binomial(60, 0.01))
                comparison.add((30 - mine, mine), (60 - other, other))
                most = max(most, float(comparison.log_evidence))
            alarms += most >= alarm_threshold(RATE, 1)
        return alarms / 40

    assert share_of_alarms(0.0298) <= RATE
    assert share_of_alarms(0.15) == 1


@pytest.mark.parametrize("good", [0, 1, 50, 900, 30_000, 4_000_000])
@pytest.mark.parametrize("increase", [0.002, 0.02, 0.5])
def test_a_block_of_any_size_is_averaged_over_few_numbers_of_failures(good: int, increase: float) -> None:
    turned, chances = turned_successes(good, increase)
    assert len(turned) == len(chances) <= MOST_RESULTS
    assert np.exp(chances).sum() == pytest.approx(1, abs=1e-6)
    assert (np.diff(turned) > 0).all()
    assert 0 <= turned[0] <= turned[-1] <= good
    mean, deviation = good * increase, math.sqrt(good * increase * (1 - increase))
    assert -1e-6 <= np.exp(chances) @ turned - mean <= deviation / 8 + 1e-6


@pytest.mark.parametrize("failed", [0, 8, 40])
def test_the_evidence_of_a_large_block_is_never_more_than_the_mean_over_all_numbers(
    failed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evidence() -> float:
        comparison = Comparison(allowed_increase=0.05)
        comparison.add((1000 - failed, failed), (8000, 10))
        return float(comparison.log_evidence)

    log_mean_ratio.cache_clear()
    few = evidence()
    monkeypatch.setattr(sequential, "MOST_RESULTS", 10**6)
    assert len(turned_successes(8000, 0.05)[0]) > 256
    log_mean_ratio.cache_clear()
    every = evidence()
    log_mean_ratio.cache_clear()
    assert few <= every + 1e-9


@pytest.mark.slow
def test_slower_latencies_are_found() -> None:
    generator = np.random.default_rng(7)
    usual, slower = [0.1, 0.3, 0.3, 0.2, 0.06, 0.04], [0.05, 0.2, 0.3, 0.25, 0.12, 0.08]
    active = generator.multinomial(30, usual, (RUNS, 60)).astype(np.float64)
    candidate = generator.multinomial(10, slower, (RUNS, 60)).astype(np.float64)
    assert (highest(candidate, active, Comparison()) >= alarm_threshold(RATE, 1)).mean() > 0.9


@given(
    st.lists(st.floats(0.001, 20), min_size=1, max_size=60),
    st.floats(1, 5),
    st.sampled_from([(0.01, 0.1, 0.5, 1.0, 5.0, 20.0, math.inf), (0.25, 0.5, 2.5, math.inf)]),
)
def test_a_latency_is_never_sorted_worse_than_it_may_be(
    values: list[float], ratio: float, bounds: tuple[float, ...]
) -> None:
    edges = [0.05, 0.1, 0.5, 1.0, 2.5]
    counted = [0] * len(bounds)
    for value in values:
        counted[next(i for i, bound in enumerate(bounds) if value <= bound)] += 1
    sorted_in = categories(bounds, counted, [edge * ratio for edge in edges])
    assert sum(sorted_in) == len(values)
    true = [sum(value / ratio > edge * (1 - 1e-9) for edge in edges) for value in values]
    for category in range(len(edges) + 1):
        assert sum(sorted_in[category:]) <= sum(one >= category for one in true)
