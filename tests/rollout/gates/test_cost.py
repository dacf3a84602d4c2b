"""What a million output tokens costs, and the gate on its increase."""

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from components.config.sections.gate_settings import CostSettings
from rollout.gates.cost import Answers, Prices, answers, costs, judge_cost
from rollout.gates.verdicts import Thresholds
from rollout.model.verdict import GateVerdict, Verdict
from rollout.statistics.means import FEWEST, Mean
from rollout.statistics.measurements import Counters

HOUR = timedelta(hours=1)
LIMIT = CostSettings(max_cost_increase_percent=20)
BAR = Thresholds(minimum_requests=50, false_alarm_rate=0.001)
BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, math.inf)


def generated(count: int, tokens: float, deviation: float = 100) -> Answers:
    mean = Mean(count=count, mean=tokens, variance=deviation**2) if count else None
    return Answers(output_tokens=round(count * tokens), per_request=mean)


def price(full: float, served: float | None = None) -> Prices:
    return Prices(at_full_size=full, as_served=full if served is None else served)


def judged(
    mine: Answers | None,
    other: Answers | None,
    prices: tuple[Prices, Prices] | None = None,
    limits: CostSettings = LIMIT,
) -> GateVerdict:
    return judge_cost(mine, other, prices or (price(10), price(10)), 100_000, HOUR, limits, BAR)


def test_a_pool_at_one_percent_is_dear_as_served_and_costs_the_same_at_full_traffic() -> None:
    """10 USD an hour each; 1,000 and 99,000 requests of 200 tokens."""
    mine, other = (costs(price(10), generated(count, 200), 100_000, HOUR) for count in (1000, 99_000))
    assert mine.per_million_tokens_as_served == pytest.approx(50.0)
    assert other.per_million_tokens_as_served == pytest.approx(10 / 19.8)
    # All 100,000 requests with 200 tokens each are 20 million tokens.
    assert mine.per_million_tokens == other.per_million_tokens == pytest.approx(0.5)
    assert mine.per_thousand_requests == other.per_thousand_requests == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("mine", "other", "prices", "verdict"),
    [
        (generated(5000, 200), generated(50_000, 200), (10, 10), Verdict.PASS),
        (generated(5000, 200), generated(50_000, 200), (15, 10), Verdict.FAIL),  # half as many replicas more
        (generated(5000, 200), generated(50_000, 200), (5, 10), Verdict.PASS),
        (generated(5000, 100), generated(50_000, 200), (10, 10), Verdict.FAIL),  # answers are half as long
        (generated(5000, 400), generated(50_000, 200), (10, 10), Verdict.PASS),
        (generated(5000, 100), generated(50_000, 200), (5, 10), Verdict.PASS),  # so are its costs
        (generated(200, 150), generated(50_000, 200), (10, 10), Verdict.INCONCLUSIVE),  # chance may explain it
        (generated(FEWEST - 1, 100), generated(50_000, 200), (99, 10), Verdict.INCONCLUSIVE),
        (generated(5000, 200), generated(FEWEST - 1, 200), (99, 10), Verdict.INCONCLUSIVE),
        (None, generated(5000, 200), (10, 10), Verdict.INCONCLUSIVE),
        (generated(0, 0), generated(5000, 200), (10, 10), Verdict.INCONCLUSIVE),
    ],
)
def test_the_cost_at_full_traffic_is_compared(
    mine: Answers | None, other: Answers, prices: tuple[float, float], verdict: Verdict
) -> None:
    # As served, the candidate may be as dear as it likes.
    found = judged(mine, other, (price(prices[0], 1000), price(prices[1])))
    assert found.verdict is verdict
    assert not found.dry_run


def test_the_evidence_has_both_costs_and_how_sure_the_increase_is() -> None:
    found = judged(generated(5000, 200), generated(50_000, 200), (price(15, 15), price(10)))
    evidence = found.evidence
    assert evidence["usd_per_million_tokens_as_served"] == pytest.approx(15.0)
    assert evidence["usd_per_million_tokens"] == pytest.approx(0.75)
    assert evidence["active_usd_per_million_tokens"] == pytest.approx(0.5)
    assert evidence["usd_per_thousand_requests"] == pytest.approx(0.15)
    least, most = evidence["least_increase_percent"], evidence["most_increase_percent"]
    assert isinstance(least, float)
    assert isinstance(most, float)
    assert 20 < least < 50 < most
    assert found.reason == (
        "0.75 USD per million output tokens at full traffic, 0.50 USD on the active colour: +50.0 % "
        f"(at least {least:+.1f} %, limit 20 %): above it, chance is ruled out"
    )


def test_without_a_limit_costs_are_shown_and_decide_nothing() -> None:
    found = judged(generated(5000, 100), generated(50_000, 200), limits=CostSettings())
    assert (found.verdict, found.dry_run) == (Verdict.PASS, True)
    assert "+100.0 %" in found.reason
    assert "no limit" in found.reason


def test_without_a_price_nothing_passes() -> None:
    found = judge_cost(generated(5000, 200), generated(5000, 200), None, 10_000, HOUR, LIMIT, BAR)
    assert (found.verdict, found.dry_run) == (Verdict.INCONCLUSIVE, False)
    assert "set node_usd_per_hour" in found.reason


def counters(lengths: dict[int, int], tokens: int) -> Counters:
    """Counters of so many answers of each length."""
    return Counters(
        output_tokens={("pod", ""): float(tokens)},
        answer_tokens_sum={("pod", ""): float(sum(length * count for length, count in lengths.items()))},
        answer_tokens_buckets={
            ("pod", "+Inf" if math.isinf(bound) else str(bound)): float(
                sum(count for length, count in lengths.items() if length <= bound)
            )
            for bound in BOUNDS
        },
    )


def test_our_own_requests_do_not_make_answers_look_short() -> None:
    """20 clients with 300 tokens, 60 readiness probes with one token, 30 probes with 16."""
    start, clients = counters({300: 5}, 1500), {300: 25}
    alone = answers(start, counters(clients, 7500))
    assert alone is not None
    assert alone.per_request is not None
    assert (alone.output_tokens, alone.per_request.count, alone.per_request.mean) == (6000, 20, 300)
    crowded = answers(start, counters({**clients, 1: 60, 16: 30}, 8040), probes=30, probe_tokens=16)
    assert crowded is not None
    assert crowded.per_request is not None
    assert crowded.per_request.count == 20
    assert 300 <= crowded.per_request.mean <= 310  # if anything, the candidate looks cheaper
    unprobed = answers(start, counters({**clients, 1: 60}, 7560))
    assert unprobed is not None
    assert unprobed.per_request == alone.per_request


def test_a_server_that_does_not_publish_tokens_has_no_data() -> None:
    assert answers(Counters(), Counters()) is None
    assert answers(Counters(), replace(counters({300: 1}, 300), output_tokens={})) is None


@pytest.mark.slow
def test_a_good_candidate_is_failed_at_most_as_often_as_the_rate_says() -> None:
    """Its true increase is the limit itself, and one looks twenty times. Lengths have a long tail."""
    generator, rate, runs, looks = np.random.default_rng(11), 0.1, 150, 20
    bar, alarms = replace(BAR, false_alarm_rate=rate), 0
    for _ in range(runs):
        mine, other = (np.ceil(generator.lognormal(5, 1, 200 * looks)) + 1 for _ in range(2))
        for look in range(1, looks + 1):
            ours, theirs = (answers(Counters(), _counted(one[: 200 * look])) for one in (mine, other))
            verdict = judge_cost(ours, theirs, (price(12), price(10)), 10_000, HOUR, LIMIT, bar)
            if verdict.verdict is Verdict.FAIL:
                alarms += 1
                break
    assert alarms <= rate * runs


def _counted(lengths: NDArray[np.float64]) -> Counters:
    return Counters(
        output_tokens={("pod", ""): float(lengths.sum())},
        answer_tokens_sum={("pod", ""): float(lengths.sum())},
        answer_tokens_buckets={("pod", str(bound)): float((lengths <= bound).sum()) for bound in BOUNDS},
    )
