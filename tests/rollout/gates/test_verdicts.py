"""The verdicts of the gates on given figures."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.gate_settings import (
    ErrorRateSettings,
    LatencySettings,
    QueueDepthSettings,
    TargetGroupLatencySettings,
    TtftSettings,
)
from rollout.gates.verdicts import (
    ERROR_TESTS,
    LATENCY_TESTS,
    BalancerErrors,
    Queue,
    Thresholds,
    combine,
    judge_balancer_errors,
    judge_error_rate,
    judge_latency,
    judge_queue,
    judge_response_times,
    judge_targets,
    names_gate,
    require_client_traffic,
)
from rollout.model.verdict import GateVerdict, TargetHealth, Verdict
from rollout.statistics.measurements import Histogram, Period
from rollout.statistics.sequential import alarm_threshold

BAR = Thresholds(minimum_requests=50, false_alarm_rate=0.001)
ERRORS = ErrorRateSettings()  # 1 %, half a point
TTFT = TtftSettings()  # 2 s, 1.5 times
CERTAIN = alarm_threshold(0.001, LATENCY_TESTS)


def errors(
    requests: int,
    failed: int,
    active: tuple[int, int] | None = None,
    compared: float = 0.0,
    limits: ErrorRateSettings = ERRORS,
) -> GateVerdict:
    return judge_error_rate("error_rate", (requests, failed), active, compared, limits, BAR)


def latencies(fast: int, slow: int) -> Histogram:
    """Return a histogram with this many between 0.1 and 0.25 s, and this many between 2.5 and 5 s."""
    return Histogram(
        ((0.1, 0.0), (0.25, float(fast)), (2.5, float(fast)), (5.0, float(fast + slow)), (math.inf, fast + slow))
    )


def ttft(
    candidate: Histogram | None,
    active: Histogram | None = None,
    compared: float = 0.0,
    known: float | None = None,
    limits: LatencySettings = TTFT,
) -> GateVerdict:
    return judge_latency("ttft_p95", candidate, active, compared, known, limits, BAR)


def test_no_data_is_never_a_pass() -> None:
    assert judge_error_rate("error_rate", None, None, 0.0, ERRORS, BAR).verdict is Verdict.INCONCLUSIVE
    assert ttft(None).verdict is Verdict.INCONCLUSIVE
    assert ttft(Histogram(), latencies(90, 0)).verdict is Verdict.INCONCLUSIVE
    assert response_times([], []).verdict is Verdict.INCONCLUSIVE
    assert judge_queue("queue_depth", None, QueueDepthSettings()).verdict is Verdict.INCONCLUSIVE
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
        (10, 10, Verdict.FAIL),  # no minimum is needed to see that nothing works
        (5, 5, Verdict.FAIL),
        (4, 4, Verdict.INCONCLUSIVE),  # one hiccup may fail this many
        (40, 2, Verdict.INCONCLUSIVE),
        (3, 1, Verdict.INCONCLUSIVE),
    ],
)
def test_the_error_rate_is_judged_by_limit_and_certainty(requests: int, failed: int, verdict: Verdict) -> None:
    assert errors(requests, failed).verdict is verdict


@given(st.integers(0, 500), st.data())
def test_more_failures_never_make_a_verdict_better(requests: int, data: st.DataObject) -> None:
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]
    fewer = data.draw(st.integers(0, requests))
    more = data.draw(st.integers(fewer, requests))
    assert order.index(errors(requests, fewer).verdict) <= order.index(errors(requests, more).verdict)


@given(st.integers(0, 49), st.data())
def test_below_the_minimum_nothing_passes(requests: int, data: st.DataObject) -> None:
    failed = data.draw(st.integers(0, requests))
    assert errors(requests, failed, (10_000, failed)).verdict is not Verdict.PASS


def test_a_limit_of_zero_fails_with_the_first_error() -> None:
    limits = ErrorRateSettings(limit_percent=0)
    assert errors(50, 1, limits=limits).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("failed", "active", "compared", "verdict"),
    [
        (5, (1000, 5), 0.0, Verdict.PASS),
        (9, (1000, 0), 0.0, Verdict.INCONCLUSIVE),  # 0.9 points more than on the active colour, half a point is allowed
        (9, (1000, 0), alarm_threshold(0.001, ERROR_TESTS), Verdict.FAIL),
        (9, (49, 0), 0.0, Verdict.PASS),  # the active colour has seen too little to compare with
        (9, None, 0.0, Verdict.PASS),
    ],
)
def test_the_error_rate_is_held_against_the_active_colours(
    failed: int, active: tuple[int, int] | None, compared: float, verdict: Verdict
) -> None:
    judged = errors(1000, failed, active, compared)
    assert judged.verdict is verdict
    assert judged.evidence.get("active_requests") == (None if active is None else active[0])


@pytest.mark.parametrize(
    ("fast", "slow", "known", "verdict"),
    [
        (100, 0, 0.2, Verdict.PASS),
        (100, 0, 0.1, Verdict.INCONCLUSIVE),  # p95 0.243 s is over 0.15 s, but the bucket begins below it
        (70, 30, 0.2, Verdict.FAIL),
        (94, 6, 0.2, Verdict.INCONCLUSIVE),
        (40, 0, 0.2, Verdict.INCONCLUSIVE),
        (10, 30, 0.2, Verdict.INCONCLUSIVE),  # below the minimum even that many may be cold caches
        (100, 0, None, Verdict.INCONCLUSIVE),
        (0, 100, None, Verdict.FAIL),
        (0, 100, 60.0, Verdict.FAIL),  # the absolute limit holds whatever the other colour does
    ],
)
def test_latency_is_judged_absolutely_and_by_what_is_known(
    fast: int, slow: int, known: float | None, verdict: Verdict
) -> None:
    assert ttft(latencies(fast, slow), known=known).verdict is verdict


@pytest.mark.parametrize(
    ("fast", "active", "compared", "verdict"),
    [
        (100, latencies(1000, 0), 0.0, Verdict.PASS),
        (100, latencies(1000, 0), CERTAIN - 0.1, Verdict.PASS),
        (100, latencies(1000, 0), CERTAIN, Verdict.FAIL),
        (40, latencies(1000, 0), CERTAIN, Verdict.INCONCLUSIVE),
        (100, latencies(49, 0), 0.0, Verdict.INCONCLUSIVE),  # too little of the active colour, and nothing from before
    ],
)
def test_latency_is_compared_over_the_same_window(
    fast: int, active: Histogram, compared: float, verdict: Verdict
) -> None:
    assert ttft(latencies(fast, 0), active, compared).verdict is verdict


def test_the_window_of_now_counts_more_than_what_was_before() -> None:
    judged = ttft(latencies(100, 0), latencies(1000, 0), known=0.01)
    assert judged.verdict is Verdict.PASS
    assert judged.evidence["known_p95_seconds"] == 0.01
    assert judged.evidence["active_p95_seconds"] == pytest.approx(0.2425)


def test_a_p95_beyond_all_buckets_can_be_written_down() -> None:
    judged = ttft(Histogram(((0.1, 0.0), (math.inf, 100.0))), known=0.05)
    assert judged.verdict is Verdict.FAIL
    assert judged.evidence["p95_seconds"] is None
    assert all(not isinstance(value, float) or math.isfinite(value) for value in judged.evidence.values())


def balancer(
    seen: tuple[int, int],
    before: tuple[int, int] = (60_000, 0),
    percent: float = 25,
    of_targets: Verdict = Verdict.PASS,
    limits: ErrorRateSettings = ERRORS,
) -> GateVerdict:
    """Judge requests and 5xx answers of the load balancer itself, now and before."""
    known = GateVerdict(gate="target_group_errors", verdict=of_targets, reason="as the targets say", dry_run=True)
    now, then = (BalancerErrors(requests=requests, errors=errors) for requests, errors in (seen, before))
    return judge_balancer_errors(known, now, then, percent, limits, BAR)


@pytest.mark.parametrize(
    ("seen", "before", "percent", "verdict"),
    [
        ((1000, 0), (60_000, 0), 25, Verdict.PASS),
        ((1000, 2), (60_000, 0), 25, Verdict.PASS),  # the limit allows the candidate two to three
        ((1000, 12), (60_000, 0), 25, Verdict.INCONCLUSIVE),
        ((1000, 25), (60_000, 0), 25, Verdict.FAIL),
        ((1000, 40), (60_000, 0), 100, Verdict.FAIL),
        ((1000, 12), (60_000, 0), 100, Verdict.PASS),  # one percent is ten
        ((10_000, 20), (60_000, 0), 1, Verdict.FAIL),  # a fifth of the candidate's requests
        ((10_000, 20), (60_000, 120), 1, Verdict.PASS),  # as usual
        ((10_000, 20), (0, 0), 1, Verdict.PASS),  # nobody knows what is usual
        ((10_000, 20), (60, 0), 1, Verdict.PASS),
        ((4, 4), (60_000, 0), 1, Verdict.INCONCLUSIVE),  # one hiccup
        ((5, 5), (60_000, 0), 1, Verdict.FAIL),  # nobody is answered
        ((0, 0), (60_000, 0), 25, Verdict.PASS),
    ],
)
def test_the_load_balancers_own_errors_fail_a_candidate_when_nothing_else_explains_them(
    seen: tuple[int, int], before: tuple[int, int], percent: float, verdict: Verdict
) -> None:
    judged = balancer(seen, before, percent)
    assert judged.verdict is verdict
    assert judged.dry_run
    assert (judged.reason == "as the targets say") == (verdict is Verdict.PASS)
    assert (judged.evidence["balancer_requests"], judged.evidence["balancer_failed"]) == seen


@pytest.mark.parametrize("seen", [(1000, 0), (1000, 12)])
@pytest.mark.parametrize("of_targets", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_the_load_balancers_own_errors_make_no_verdict_better(seen: tuple[int, int], of_targets: Verdict) -> None:
    judged = balancer(seen, of_targets=of_targets)
    assert (judged.verdict, judged.reason) == (of_targets, "as the targets say")


def test_without_data_of_the_targets_the_load_balancers_own_errors_can_still_fail() -> None:
    assert balancer((1000, 250), of_targets=Verdict.INCONCLUSIVE).verdict is Verdict.FAIL


def test_usual_errors_of_the_load_balancer_fail_a_good_candidate_no_more_often_than_stated() -> None:
    # The usual share is estimated from as few requests as one hold has, and the gate looks thirty times.
    random = np.random.default_rng(1)
    bar, runs, failed = Thresholds(minimum_requests=50, false_alarm_rate=0.2), 200, 0
    for _ in range(runs):
        then = BalancerErrors(requests=5000, errors=int(random.binomial(5000, 0.01)))
        seen = np.cumsum(random.binomial(100, 0.01 + 0.01 * 0.25, size=30))  # the candidate is at its limit
        known = GateVerdict(gate="g", verdict=Verdict.PASS, reason="")
        failed += any(
            judge_balancer_errors(
                known, BalancerErrors(requests=100 * (look + 1), errors=int(errors)), then, 25, ERRORS, bar
            ).verdict
            is Verdict.FAIL
            for look, errors in enumerate(seen)
        )
    assert failed / runs <= 0.2


def periods(count: int, p95_seconds: float | None, requests: int = 100) -> list[Period]:
    return [Period(requests=requests, p95_seconds=p95_seconds)] * count


def response_times(candidate: Sequence[Period], active: Sequence[Period], known: float | None = None) -> GateVerdict:
    limits = TargetGroupLatencySettings(limit_seconds=1, ratio_limit=2)
    return judge_response_times("target_group_latency", candidate, active, known, limits, BAR)


@pytest.mark.parametrize(
    ("candidate", "active", "known", "verdict"),
    [
        (periods(5, 0.3), periods(5, 0.2), None, Verdict.PASS),
        (periods(5, 0.5), periods(5, 0.2), None, Verdict.INCONCLUSIVE),
        (periods(30, 0.5), periods(30, 0.2), None, Verdict.FAIL),
        (periods(30, 0.5), periods(30, None, 0), None, Verdict.INCONCLUSIVE),  # nothing to compare with
        (periods(30, 0.5), periods(30, None, 0), 0.3, Verdict.PASS),
        (periods(30, 0.5), periods(30, None, 0), 0.2, Verdict.FAIL),
        (periods(30, 0.5), periods(30, 0.2, 3), 0.3, Verdict.PASS),  # three requests have no p95 to speak of
        (periods(5, 1.5), periods(5, 1.5), None, Verdict.INCONCLUSIVE),
        (periods(30, 1.5), periods(30, 1.5), None, Verdict.FAIL),
        (periods(4, 0.3, 10), periods(4, 0.3), None, Verdict.INCONCLUSIVE),  # 40 requests
    ],
)
def test_response_times_are_judged_period_by_period(
    candidate: list[Period], active: list[Period], known: float | None, verdict: Verdict
) -> None:
    assert response_times(candidate, active, known).verdict is verdict


@pytest.mark.parametrize(
    ("candidate", "active", "seconds", "verdict"),
    [
        (3.0, 0.0, 60, Verdict.PASS),
        (6.0, 0.0, 60, Verdict.FAIL),
        (6.0, 0.0, 20, Verdict.INCONCLUSIVE),
        (6.0, 2.0, 60, Verdict.PASS),
        (6.0, None, 60, Verdict.PASS),
        (11.0, 20.0, 60, Verdict.FAIL),
    ],
)
def test_a_queue_fails_when_it_has_been_too_long_for_a_while(
    candidate: float, active: float | None, seconds: float, verdict: Verdict
) -> None:
    queue = Queue(candidate=candidate, active=active, readings=5, seconds=seconds)
    assert judge_queue("queue_depth", queue, QueueDepthSettings()).verdict is verdict  # 10, and 5 more


@pytest.mark.parametrize(
    ("healthy", "total", "verdict"),
    [(2, 2, Verdict.PASS), (1, 2, Verdict.INCONCLUSIVE), (2, 3, Verdict.INCONCLUSIVE), (0, 2, Verdict.FAIL)],
)
def test_targets_pass_only_all_together(healthy: int, total: int, verdict: Verdict) -> None:
    assert judge_targets(TargetHealth(healthy=healthy, total=total), 2).verdict is verdict


@given(st.lists(st.sampled_from(Verdict), min_size=1), st.lists(st.sampled_from(Verdict)))
def test_one_failure_fails_and_only_a_unanimous_pass_passes(verdicts: list[Verdict], watched: list[Verdict]) -> None:
    judged = [GateVerdict(gate="g", verdict=verdict, reason=verdict) for verdict in verdicts]
    dry = [GateVerdict(gate="dry", verdict=verdict, reason=verdict, dry_run=True) for verdict in watched]
    combined, reason = combine([*dry, *judged])
    assert (combined is Verdict.FAIL) == (Verdict.FAIL in verdicts)
    assert (combined is Verdict.PASS) == (set(verdicts) == {Verdict.PASS})
    assert combined in reason
    assert "dry" not in reason
    assert combine(dry)[0] is Verdict.INCONCLUSIVE


def test_gates_with_the_same_reason_are_named_together() -> None:
    def silent(gate: str, source: str) -> GateVerdict:
        return GateVerdict(gate=gate, verdict=Verdict.INCONCLUSIVE, reason=f"no answer: {source}")

    asked = [silent("error_rate", "Prometheus"), silent("target_group_errors", "AWS"), silent("ttft_p95", "Prometheus")]
    _, reason = combine(asked)
    assert reason == "error_rate, ttft_p95: no answer: Prometheus; target_group_errors: no answer: AWS"


NAMED = ("error_rate", "ttft_p95", "target_group_errors")


@pytest.mark.parametrize(
    ("reason", "gates"),
    [
        ("error_rate: 3 of 8 requests failed", {"error_rate"}),
        ("error_rate, ttft_p95: no answer: Prometheus; target_group_errors: no data", set(NAMED)),
        ("no verdict after 90 s: error_rate: no data; ttft_p95, target_group_errors: no answer", set(NAMED)),
        ("targets: 1 of 2 targets healthy (error_rate was well)", set[str]()),
    ],
)
def test_a_reason_names_its_gates_alone_and_together(reason: str, gates: set[str]) -> None:
    assert {gate for gate in NAMED if names_gate(reason, gate)} == gates


def test_a_dry_run_is_marked_in_every_verdict() -> None:
    limits: dict[str, Any] = {"dry_run": True}
    assert errors(50, 10, limits=ErrorRateSettings(**limits)).dry_run
    assert ttft(None, limits=TtftSettings(**limits)).dry_run
    assert judge_queue("queue_depth", None, QueueDepthSettings(**limits)).dry_run
    assert not errors(50, 10).dry_run


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
def test_a_verdict_of_the_pods_waits_for_enough_requests_at_the_load_balancer(verdict: Verdict) -> None:
    # Ten readiness probes without any client may have made the pods' histogram look full.
    judged = GateVerdict(gate="ttft_p95", verdict=verdict, reason="p95", evidence={"requests": 60})
    withheld = require_client_traffic(judged, 39, 10, BAR)
    assert withheld.verdict is Verdict.INCONCLUSIVE
    assert withheld.evidence == {"requests": 60, "client_requests": 39, "probe_requests": 10}
    assert require_client_traffic(judged, 40, 10, BAR).verdict is verdict


@pytest.mark.parametrize(
    ("requests", "failed", "clients", "verdict"),
    [
        (20, 20, 20, Verdict.FAIL),
        (20, 20, 12, Verdict.FAIL),  # even if eight of them were readiness probes, all twelve others failed
        (20, 20, 0, Verdict.INCONCLUSIVE),
        (20, 10, 8, Verdict.INCONCLUSIVE),
    ],
)
def test_failures_below_the_minimum_count_when_probes_cannot_explain_them(
    requests: int, failed: int, clients: int, verdict: Verdict
) -> None:
    assert require_client_traffic(errors(requests, failed), clients, 0, BAR).verdict is verdict
