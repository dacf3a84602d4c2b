"""The gate benchmark: its parts, and a small full run."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.gate_power import (
    BLOCK_ACTIVE,
    BLOCK_CANDIDATE,
    TTFT_BUCKETS,
    calibrated,
    counted,
    draw_recorded,
    least_mean_requests,
    p95,
)
from rollout.statistics.measurements import Histogram


def test_values_are_counted_by_bucket() -> None:
    counts = counted(np.array([[[0.0005, 0.03, 0.03, 9000.0]]]), TTFT_BUCKETS)
    assert counts.shape == (1, 1, len(TTFT_BUCKETS) + 1)
    assert np.flatnonzero(counts[0, 0]).tolist() == [0, 4, len(TTFT_BUCKETS)]
    assert counts.sum() == 4


def test_the_p95_equals_the_gates_p95() -> None:
    values = np.random.default_rng(1).lognormal(-2, 1, (3, 2, 200))
    counts = counted(values, TTFT_BUCKETS)
    for histogram, estimate in zip(counts.reshape(6, -1), p95(counts).ravel(), strict=True):
        cumulated = np.cumsum(histogram)
        bounds = [*TTFT_BUCKETS, float("inf")]
        assert estimate == pytest.approx(Histogram(tuple(zip(bounds, cumulated, strict=True))).quantile(0.95))


def test_a_cut_off_keeps_the_false_alarm_rate() -> None:
    looks = np.random.default_rng(1).standard_normal((1000, 7))
    cut_off = calibrated((looks, np.arange(7)), 0.03)
    assert (looks.max(axis=1) >= cut_off).mean() == pytest.approx(0.03)


def test_all_recorded_requests_are_dealt() -> None:
    candidate, active = draw_recorded(np.random.default_rng(1), 2)
    assert (candidate.shape[-1], active.shape[-1]) == (BLOCK_CANDIDATE, BLOCK_ACTIVE)
    again, _ = draw_recorded(np.random.default_rng(1), 2)
    assert (candidate == again).all()
    assert 0.02 < np.median(active) < 0.1


def test_the_least_mean_is_less_for_a_test_that_errs_more_often() -> None:
    assert 600 < least_mean_requests(0.05, 1.0) < 800
    assert least_mean_requests(0.05, 0.9) < least_mean_requests(0.05, 1.0) < least_mean_requests(0.01, 1.0)
    assert least_mean_requests(0.05, 0.05) == 0


@pytest.mark.slow
def test_the_last_line_contains_the_figures() -> None:
    command = [sys.executable, "-m", "benchmarks.gate_power", "--runs", "20"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(output.splitlines()[-1])
    gates = {"ours", "threshold", "mann_whitney"}
    medians = result["median_requests_to_detect"]
    for case in ("p95_regression_20", "error_rise_1pt"):
        assert gates <= set(medians[case])
        assert gates <= set(result["false_alarm_rate"][case])
        assert 0 < medians[case]["ours"] <= 4000
        assert 0 < result["mean_requests_to_detect"][case]["ours"] <= 4000
    assert set(result["false_alarm_rate_where_5_percent_fail"]) >= gates
    for watches in result["watch"].values():
        assert set(watches) == {"ours", "no_onset", "threshold", "cusum"}
