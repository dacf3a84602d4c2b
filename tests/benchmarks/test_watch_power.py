"""The benchmark of the watch: its parts, and one case."""

import numpy as np
import pytest

from benchmarks.watch_power import CASES, GOOD_LOOKS, LOOK_REQUESTS, RISE_LOOKS, compare, cut_off, drawn, watches
from rollout.statistics.onset import find_onset


def test_a_cut_off_keeps_the_false_alarm_rate() -> None:
    looks = np.random.default_rng(1).standard_normal((1000, 7))
    assert (looks.max(axis=1) >= cut_off(looks, 0.03)).mean() == pytest.approx(0.03)


def test_ours_is_what_the_watch_computes_after_each_look() -> None:
    hits = drawn(np.random.default_rng(2), np.full(5, 0.01), 1)
    (evidence,) = watches(0.01, 0.02)["ours"](hits)
    counted = [(int(one), LOOK_REQUESTS) for one in hits[0]]
    assert evidence == pytest.approx([find_onset(counted[: n + 1], 0.01).log_evidence for n in range(5)])


def test_a_rise_is_found_after_it_began_and_later_without_a_bet_on_its_time() -> None:
    limit, share = CASES["errors to 5 %"]
    generator = np.random.default_rng(3)
    at_limit = drawn(generator, np.full(30, limit), 20)
    rises = drawn(generator, np.where(np.arange(RISE_LOOKS) < GOOD_LOOKS, limit / 2, share), 20)
    found = compare(limit, share, at_limit, watches(limit, share)["ours"](at_limit), rises)
    assert found["ours"].detected == 1
    assert found["cusum"].median_minutes <= found["ours"].median_minutes < found["no_onset"].median_minutes
