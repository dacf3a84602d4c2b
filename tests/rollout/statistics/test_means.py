"""Bounds for a mean: they hold however often one looks, and get narrow enough to be of use."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rollout.statistics.means import FEWEST, Mean, mean_of
from rollout.statistics.measurements import Histogram

Floats = NDArray[np.float64]
BOUNDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, math.inf)
Lengths = Callable[[np.random.Generator, tuple[int, ...]], Floats]


def histogram(values: Floats) -> Histogram:
    return Histogram(tuple((bound, float((values <= bound).sum())) for bound in BOUNDS))


@given(st.lists(st.integers(2, 12_000), min_size=1, max_size=200))
def test_the_mean_is_exact_and_the_variance_at_least_the_true_one(tokens: list[int]) -> None:
    values = np.array(tokens, dtype=float)
    found = mean_of(histogram(values), float(values.sum()))
    assert found is not None
    assert found.mean == pytest.approx(values.mean())
    assert found.variance >= values.var() * (1 - 1e-9)


def test_nothing_is_said_without_values_or_with_too_few() -> None:
    assert mean_of(Histogram(), 0.0) is None
    few = Mean(count=FEWEST - 1, mean=100, variance=1)
    assert (few.lowest(0.01), few.highest(0.01)) == (0.0, math.inf)
    assert math.isfinite(Mean(count=FEWEST, mean=100, variance=1).highest(0.01))


def test_bounds_get_narrower_with_more_values_and_wider_with_less_chance() -> None:
    def margin(count: int, chance: float) -> float:
        return Mean(count=count, mean=300, variance=300**2).highest(chance) - 300

    assert [round(margin(count, 0.0005) / 300, 2) for count in (100, 500, 2000, 10_000)] == [0.44, 0.19, 0.1, 0.04]
    assert margin(500, 0.05) < margin(500, 0.0005)


def exponential(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return np.ceil(generator.exponential(300, shape)) + 1


def long_tailed(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return np.ceil(np.minimum(generator.lognormal(5, 1, shape), 4000)) + 1


def two_kinds(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Short classifications, and now and then an essay."""
    return np.where(generator.random(shape) < 0.1, 1500.0, 5.0)


@pytest.mark.parametrize("lengths", [exponential, long_tailed, two_kinds])
@pytest.mark.slow
def test_looking_again_and_again_the_true_mean_is_beyond_a_bound_at_most_as_often_as_asked(lengths: Lengths) -> None:
    """Forty looks from the fewest values on. The true mean is of a much larger sample."""
    generator, chance, runs, most = np.random.default_rng(5), 0.05, 300, 4000
    truth = float(lengths(generator, (1_000_000,)).mean())
    values = lengths(generator, (runs, most))
    beyond = np.zeros(2)
    for run in values:
        looks = [
            found
            for count in np.geomspace(FEWEST, most, 40).astype(int)
            if (found := mean_of(histogram(run[:count]), float(run[:count].sum()))) is not None
        ]
        beyond += [
            any(one.highest(chance) < truth for one in looks),
            any(one.lowest(chance) > truth for one in looks),
        ]
    assert (beyond / runs <= chance).all()
