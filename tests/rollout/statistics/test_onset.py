"""Evidence that a share rose at some time: valid for any number of looks, and soon there when it did."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.statistics.onset import find_onset, log_bets
from rollout.statistics.sequential import evidence_above

LOOKS_OF_A_DAY = 24 * 6
"""One every ten minutes."""
WATCHES = 120

looks = st.lists(
    st.integers(0, 500).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))), max_size=8
)


@given(looks, st.floats(0.001, 0.5))
def test_the_evidence_is_the_mixture_of_one_bet_for_each_look(counted: list[tuple[int, int]], limit: float) -> None:
    weighted = [-math.log(len(counted) + 1)]
    for place in range(len(counted)):
        hits, trials = (sum(one[which] for one in counted[place:]) for which in (0, 1))
        weighted.append(evidence_above(hits, trials, limit) - math.log((place + 1) * (place + 2)))
    assert find_onset(counted, limit).log_evidence == pytest.approx(np.logaddexp.reduce(weighted), abs=1e-6)


def test_without_looks_there_is_no_evidence() -> None:
    assert find_onset([], 0.01).log_evidence == 0


def test_nothing_may_fail_where_the_limit_is_zero() -> None:
    assert find_onset([(0, 100), (0, 100)], 0).log_evidence < 1
    assert find_onset([(0, 100), (1, 100)], 0).log_evidence == math.inf


def _watches(share: float, requests: int, looks: int = LOOKS_OF_A_DAY) -> np.ndarray:
    return np.random.default_rng(7).binomial(requests, share, size=(WATCHES, looks)).astype(float)


@pytest.mark.slow
def test_a_day_of_looks_at_a_release_at_its_limit_raises_no_more_alarms_than_one_look() -> None:
    rate, limit, requests = 0.05, 0.02, 60
    hits = _watches(limit, requests)
    trials = np.full_like(hits, requests)
    alarmed = np.zeros(WATCHES, dtype=bool)
    for seen in range(1, LOOKS_OF_A_DAY + 1):
        bets = log_bets(hits[:, :seen], trials[:, :seen], limit)
        alarmed |= np.logaddexp.reduce(bets, axis=-1) >= math.log(1 / rate)
    # Three standard deviations above the rate.
    assert alarmed.mean() <= rate + 3 * math.sqrt(rate * (1 - rate) / WATCHES)


def _looks_until_alarm(hits: np.ndarray, requests: int, limit: float, rate: float) -> float:
    """Return after how many looks half of the watches have raised the alarm."""
    trials = np.full_like(hits, requests)
    for seen in range(1, hits.shape[-1] + 1):
        bets = log_bets(hits[:, :seen], trials[:, :seen], limit)
        if (np.logaddexp.reduce(bets, axis=-1) >= math.log(1 / rate)).mean() >= 0.5:
            return seen
    return math.inf


def test_looks_every_ten_minutes_find_what_looks_every_minute_find() -> None:
    rate, limit, minutes = 0.001, 0.01, 120
    hits = _watches(0.03, 30, minutes)  # 30 requests a minute, of which three times the allowed share fails
    rare = hits.reshape(WATCHES, minutes // 10, 10).sum(axis=-1)
    often_minutes = _looks_until_alarm(hits, 30, limit, rate)
    rare_minutes = 10 * _looks_until_alarm(rare, 300, limit, rate)
    assert often_minutes <= 30
    assert rare_minutes <= math.ceil(often_minutes / 10) * 10


def test_a_release_that_fails_after_two_good_hours_is_found_within_forty_minutes() -> None:
    rate, limit, requests, good = 0.001, 0.01, 300, 12
    hits = np.concatenate([_watches(0.002, requests, good), _watches(0.03, requests, 6)], axis=-1)
    found = _looks_until_alarm(hits, requests, limit, rate)
    assert good < found <= good + 4
    onset = find_onset([(int(one), requests) for one in hits[0]], limit)
    assert abs(onset.look - good) <= 1
    # All hours together would still look well.
    until = int(found)
    assert hits[:, :until].mean() / requests < limit
