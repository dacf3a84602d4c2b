"""What the gates say to which figures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.rollout_settings import GateSettings
from rollout.measurements import Histogram
from rollout.verdicts import (
    GateVerdict,
    TargetHealth,
    Verdict,
    combine,
    exceeds_surely,
    judge_error_rate,
    judge_targets,
    judge_ttft,
    rest_on_clients,
)

LIMITS = GateSettings()  # 50 requests, 1 %, 2 s, 1.5 times


def errors(requests: int, failed: int) -> Verdict:
    return judge_error_rate("error_rate", (requests, failed), LIMITS).verdict


def latencies(fast: int, slow: int) -> Histogram:
    """So many between 0.1 and 0.25 s, so many between 2.5 and 5 s."""
    return Histogram(
        ((0.1, 0.0), (0.25, float(fast)), (2.5, float(fast)), (5.0, float(fast + slow)), (math.inf, fast + slow))
    )


def test_no_data_is_never_a_pass() -> None:
    assert judge_error_rate("error_rate", None, LIMITS).verdict is Verdict.INCONCLUSIVE
    assert judge_ttft(None, 0.2, LIMITS).verdict is Verdict.INCONCLUSIVE
    assert judge_ttft(Histogram(), 0.2, LIMITS).verdict is Verdict.INCONCLUSIVE
    assert combine(())[0] is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("requests", "failed", "verdict"),
    [
        (0, 0, Verdict.INCONCLUSIVE),
        (49, 0, Verdict.INCONCLUSIVE),
        (50, 0, Verdict.PASS),
        (1000, 10, Verdict.PASS),
        (1000, 11, Verdict.INCONCLUSIVE),
        (1000, 30, Verdict.FAIL),
        (50, 1, Verdict.INCONCLUSIVE),
        (50, 10, Verdict.FAIL),
        (10, 4, Verdict.INCONCLUSIVE),
        (3, 1, Verdict.INCONCLUSIVE),
    ],
)
def test_the_error_rate_is_judged_by_limit_and_certainty(requests: int, failed: int, verdict: Verdict) -> None:
    assert errors(requests, failed) is verdict


@given(st.integers(0, 500), st.data())
def test_more_failures_never_make_a_verdict_better(requests: int, data: st.DataObject) -> None:
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]
    fewer = data.draw(st.integers(0, requests))
    more = data.draw(st.integers(fewer, requests))
    if requests >= LIMITS.minimum_requests:
        assert order.index(errors(requests, fewer)) <= order.index(errors(requests, more))


@given(st.integers(0, 49), st.data())
def test_below_the_minimum_there_is_no_verdict(requests: int, data: st.DataObject) -> None:
    assert errors(requests, data.draw(st.integers(0, requests))) is Verdict.INCONCLUSIVE


def test_a_limit_of_zero_fails_with_the_first_error() -> None:
    limits = GateSettings(error_rate_limit_percent=0)
    assert judge_error_rate("error_rate", (50, 1), limits).verdict is Verdict.FAIL


def test_a_good_candidate_is_rarely_failed_by_chance() -> None:
    assert not exceeds_surely(4, 100, 0.01)
    assert exceeds_surely(7, 100, 0.01)


@pytest.mark.parametrize(
    ("fast", "slow", "baseline", "verdict"),
    [
        (100, 0, 0.2, Verdict.PASS),
        (100, 0, 0.1, Verdict.INCONCLUSIVE),  # p95 0.243 s is over 0.15 s, but the bucket begins below it
        (80, 20, 0.2, Verdict.FAIL),
        (94, 6, 0.2, Verdict.INCONCLUSIVE),
        (40, 0, 0.2, Verdict.INCONCLUSIVE),
        (10, 30, 0.2, Verdict.INCONCLUSIVE),  # below the minimum even that many may be cold caches
        (100, 0, None, Verdict.INCONCLUSIVE),
        (0, 100, None, Verdict.FAIL),
        (0, 100, 60.0, Verdict.FAIL),  # the absolute limit holds whatever the other colour does
    ],
)
def test_latency_is_judged_absolutely_and_by_comparison(
    fast: int, slow: int, baseline: float | None, verdict: Verdict
) -> None:
    assert judge_ttft(latencies(fast, slow), baseline, LIMITS).verdict is verdict


@pytest.mark.parametrize(
    ("healthy", "total", "verdict"),
    [(2, 2, Verdict.PASS), (1, 2, Verdict.INCONCLUSIVE), (2, 3, Verdict.INCONCLUSIVE), (0, 2, Verdict.FAIL)],
)
def test_targets_pass_only_all_together(healthy: int, total: int, verdict: Verdict) -> None:
    assert judge_targets(TargetHealth(healthy=healthy, total=total), 2).verdict is verdict


@given(st.lists(st.sampled_from(Verdict), min_size=1))
def test_one_failure_fails_and_only_a_unanimous_pass_passes(verdicts: list[Verdict]) -> None:
    combined, reason = combine([GateVerdict(gate="g", verdict=verdict, reason=verdict) for verdict in verdicts])
    assert (combined is Verdict.FAIL) == (Verdict.FAIL in verdicts)
    assert (combined is Verdict.PASS) == (set(verdicts) == {Verdict.PASS})
    assert combined in reason


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
def test_a_verdict_of_the_pods_waits_for_enough_clients(verdict: Verdict) -> None:
    # Ten probes and no client may well have made the pods' histogram look full.
    judged = GateVerdict(gate="ttft_p95", verdict=verdict, reason="p95", evidence={"requests": 60})
    withheld = rest_on_clients(judged, 49, LIMITS)
    assert withheld.verdict is Verdict.INCONCLUSIVE
    assert withheld.evidence == {"requests": 60, "client_requests": 49}
    assert rest_on_clients(judged, 50, LIMITS) is judged
