"""What both colours' pods count as failures and the load balancer does not is not held against the candidate."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.gate_settings import ErrorRateSettings
from rollout.gates.disputes import FEWEST, NO_DISPUTE, BothSources, Dispute, settle
from rollout.gates.verdicts import Thresholds, judge_error_rate, require_client_traffic
from rollout.model.verdict import GateVerdict, Verdict
from rollout.statistics.measurements import Sample
from rollout.statistics.sequential import Comparison

BAR = Thresholds(minimum_requests=50, false_alarm_rate=0.001)
LIMITS = ErrorRateSettings()  # 1 %, half a point


def both(
    requests: int = 1000,
    server_errors: int = 0,
    engine_errors: int = 0,
    aborts: int = 0,
    balanced: tuple[int, int] | None = None,
) -> BothSources:
    """Return a colour's counts. ``balanced``: the load balancer's requests and 5xx, by default all and none."""
    counted, errors = balanced or (requests, 0)
    pods = Sample(
        requests=requests,
        failed=min(requests, max(server_errors, engine_errors) + aborts),
        server_errors=server_errors,
        engine_errors=engine_errors,
        aborts=aborts,
    )
    return BothSources(pods=pods, balanced_requests=counted, balanced_errors=errors)


def judged(candidate: BothSources, active: BothSources, compared: float = 0.0) -> GateVerdict:
    mine, other = candidate.pods, active.pods
    dispute = settle(candidate, active)
    counts, others = (mine.requests, mine.failed), (other.requests, other.failed)
    return judge_error_rate("error_rate", counts, others, compared, LIMITS, BAR, dispute)


@pytest.mark.parametrize(
    ("candidate", "active", "dispute"),
    [
        # A version that counts 400 as 5xx serves both colours.
        (both(server_errors=30), both(server_errors=30), Dispute(refuted=30)),
        (both(server_errors=30), both(10_000, server_errors=290), Dispute(refuted=30)),
        # Versions differ: only one of them counts so.
        (both(server_errors=30), both(), NO_DISPUTE),
        (both(), both(server_errors=30), NO_DISPUTE),
        (both(server_errors=30), both(server_errors=FEWEST - 1), NO_DISPUTE),
        # The load balancer has counted the failures, on both colours or on the candidate.
        (both(server_errors=30, balanced=(1000, 30)), both(server_errors=30, balanced=(1000, 30)), NO_DISPUTE),
        (both(server_errors=80, balanced=(1000, 70)), both(server_errors=30), NO_DISPUTE),
        # It has counted some of them: those remain.
        (both(server_errors=80, balanced=(1000, 50)), both(server_errors=30), Dispute(refuted=30)),
        (both(server_errors=100, balanced=(1000, 20)), both(server_errors=80), Dispute(refuted=80)),
        (both(server_errors=100, balanced=(500, 10)), both(server_errors=80), Dispute(refuted=80)),
        # It has not counted enough yet, on one of the colours.
        (both(server_errors=30, balanced=(0, 0)), both(server_errors=30), Dispute(unsettled=30)),
        (both(server_errors=30, balanced=(90, 0)), both(server_errors=30), Dispute(unsettled=30)),
        (both(server_errors=30), both(server_errors=30, balanced=(90, 0)), Dispute(unsettled=30)),
        # Clients that hang up, by a version that counts them. The load balancer counts no abort as an error.
        (both(aborts=30), both(aborts=30), Dispute(refuted=30)),
        (both(aborts=30), both(), NO_DISPUTE),
        (both(aborts=30, balanced=(1000, 9)), both(aborts=30, balanced=(1000, 9)), Dispute(refuted=30)),
        # Each kind is disputed by itself.
        (both(server_errors=30, aborts=30), both(server_errors=30), Dispute(refuted=30)),
        (both(server_errors=30, aborts=20), both(server_errors=30, aborts=20), Dispute(refuted=50)),
        (both(server_errors=30), both(aborts=30), NO_DISPUTE),
        # An error of the engine after the status was sent is one, though the load balancer cannot see it.
        (both(engine_errors=30), both(engine_errors=30), NO_DISPUTE),
        (both(server_errors=30, engine_errors=10), both(server_errors=30), Dispute(refuted=20)),
    ],
)
def test_a_kind_of_failure_is_disputed_on_both_colours_or_not_at_all(
    candidate: BothSources, active: BothSources, dispute: Dispute
) -> None:
    found = settle(candidate, active)
    assert (found.refuted, found.unsettled) == (dispute.refuted, dispute.unsettled)
    assert bool(found.active_refuted_share) == bool(found.refuted)


def test_three_percent_of_400_on_both_colours_do_not_fail_the_candidate_and_the_verdict_says_so() -> None:
    verdict = judged(both(server_errors=30), both(server_errors=30))
    assert verdict.verdict is Verdict.PASS
    assert "the sources contradict each other: 30 of these failures are counted by the pods of both" in verdict.reason
    assert verdict.evidence["refuted"] == 30
    assert judge_error_rate("error_rate", (1000, 30), (1000, 30), 0.0, LIMITS, BAR).verdict is Verdict.FAIL


def test_until_the_load_balancer_has_counted_the_verdict_waits() -> None:
    verdict = judged(both(server_errors=30, balanced=(0, 0)), both(server_errors=30))
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "the load balancer's counts must show" in verdict.reason


@pytest.mark.parametrize("balanced", [(0, 0), (1000, 0)])
def test_more_of_the_disputed_failures_than_on_the_active_colour_fail_at_once(balanced: tuple[int, int]) -> None:
    verdict = judged(both(server_errors=60, balanced=balanced), both(server_errors=30), compared=100.0)
    assert verdict.verdict is Verdict.FAIL
    assert "above the active colour's" in verdict.reason


def test_what_is_left_after_the_dispute_is_held_to_the_limit() -> None:
    verdict = judged(both(server_errors=60, engine_errors=30), both(server_errors=30))
    assert verdict.evidence["refuted"] == 30
    assert verdict.verdict is Verdict.FAIL


def test_with_few_clients_only_undisputed_failures_are_certain() -> None:
    verdict = judged(both(server_errors=60, aborts=0), both(server_errors=30), compared=100.0)
    assert require_client_traffic(verdict, 20, 0, BAR).verdict is Verdict.INCONCLUSIVE


COUNTS = st.integers(0, 300)


@st.composite
def sources(draw: st.DrawFn) -> BothSources:
    requests = draw(st.integers(1, 3000))
    kinds = [min(draw(COUNTS), requests) for _ in range(3)]
    counted = draw(st.integers(0, 3000))
    return both(requests, *kinds, balanced=(counted, min(draw(COUNTS), counted)))


@given(sources(), sources())
def test_a_dispute_never_touches_what_another_metric_shows(candidate: BothSources, active: BothSources) -> None:
    pods, dispute = candidate.pods, settle(candidate, active)
    assert dispute.refuted >= 0
    assert dispute.unsettled >= 0
    assert dispute.refuted + dispute.unsettled <= max(0, pods.server_errors - pods.engine_errors) + pods.aborts


@given(sources(), sources())
def test_without_failures_on_the_active_colour_nothing_changes(candidate: BothSources, active: BothSources) -> None:
    healthy = both(active.pods.requests, min(FEWEST - 1, active.pods.requests), balanced=(active.balanced_requests, 0))
    assert settle(candidate, healthy) == NO_DISPUTE


@given(sources(), sources(), st.integers(0, 300))
def test_more_errors_at_the_load_balancer_never_refute_more(
    candidate: BothSources, active: BothSources, more: int
) -> None:
    errors = min(candidate.balanced_errors + more, candidate.balanced_requests)
    worse = BothSources(pods=candidate.pods, balanced_requests=candidate.balanced_requests, balanced_errors=errors)
    assert settle(worse, active).refuted <= settle(candidate, active).refuted


def test_every_small_case_either_refutes_waits_or_stands() -> None:
    for failed, other_failed, balanced, other_balanced, seen in itertools.product(
        (0, 2, 3, 20), (0, 2, 3, 20), (0, 100, 1000), (0, 100, 1000), (0, 5)
    ):
        candidate = both(server_errors=failed, balanced=(balanced, min(seen, balanced)))
        active = both(server_errors=other_failed, balanced=(other_balanced, 0))
        dispute = settle(candidate, active)
        assert not (dispute.refuted and dispute.unsettled)
        if min(failed, other_failed) < FEWEST:
            assert dispute == NO_DISPUTE
        if dispute.refuted:
            assert min(balanced, other_balanced) * min(failed, other_failed) / 1000 > 2.9  # not by chance


LAG = 2  # looks


def hold(candidate_rate: float, active_rate: float, *, seen: bool, seed: int, disputes: bool = True) -> list[Verdict]:
    """Judge 30 looks of a hold. ``seen``: the load balancer counts the pods' failures, two looks late."""
    generator = np.random.default_rng(seed)
    comparison = Comparison(allowed_increase=LIMITS.increase_limit_points / 100)
    requests, failed = np.array([0, 0]), np.array([0, 0])
    history = [(requests, failed)]
    verdicts: list[Verdict] = []
    for _ in range(30):
        added = np.array([50, 150])
        failing = generator.binomial(added, [candidate_rate, active_rate])
        comparison.add((added[0] - failing[0], failing[0]), (added[1] - failing[1], failing[1]))
        requests, failed = requests + added, failed + failing
        history.append((requests, failed))
        late_requests, late_failed = history[max(0, len(history) - 1 - LAG)]
        mine, other = (
            both(
                int(requests[color]),
                int(failed[color]),
                balanced=(int(late_requests[color]), int(late_failed[color]) if seen else 0),
            )
            for color in (0, 1)
        )
        dispute = settle(mine, other) if disputes else NO_DISPUTE
        verdict = judge_error_rate(
            "error_rate",
            (mine.pods.requests, mine.pods.failed),
            (other.pods.requests, other.pods.failed),
            float(comparison.log_evidence),
            LIMITS,
            BAR,
            dispute,
        )
        verdicts.append(verdict.verdict)
    return verdicts


def test_a_hold_on_a_version_that_counts_400_as_5xx_ends_in_a_pass() -> None:
    holds = [hold(0.03, 0.03, seen=False, seed=seed) for seed in range(20)]
    assert not any(Verdict.FAIL in verdicts for verdicts in holds)
    assert sum(Verdict.PASS in verdicts[10:] for verdicts in holds) == 20
    former = [hold(0.03, 0.03, seen=False, seed=seed, disputes=False) for seed in range(20)]
    assert sum(Verdict.FAIL in verdicts for verdicts in former) > 15


def test_a_candidate_that_fails_is_caught_at_the_same_look_as_without_disputes() -> None:
    for rate, active in ((0.05, 0.0), (0.05, 0.002), (0.5, 0.01), (1.0, 0.03)):
        for seed in range(5):
            assert hold(rate, active, seen=True, seed=seed) == hold(rate, active, seen=True, seed=seed, disputes=False)


def test_two_colours_that_fail_alike_are_caught_when_the_load_balancer_has_counted_it() -> None:
    for seed in range(10):
        verdicts, former = (hold(0.05, 0.05, seen=True, seed=seed, disputes=on) for on in (True, False))
        assert verdicts.index(Verdict.FAIL) <= former.index(Verdict.FAIL) + LAG + 2
