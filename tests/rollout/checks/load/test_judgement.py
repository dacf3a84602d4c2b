"""The verdict: a pass when all of the range of what a candidate carries is good, a failure when none of it is."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.check_settings import LoadSettings
from rollout.checks.load.judgement import Capacity, judge_load, percent_of
from rollout.checks.load.search import Level, Limits, Search
from rollout.model.verdict import GateVerdict, Verdict
from rollout.statistics.demand import Throughput

LIMITS = Limits(ttft_p95_seconds=1.0, inter_token_p95_seconds=None, failed_percent=1.0)
PEAK = Throughput(requests_per_second=40, tokens_per_second=4000)


def level(concurrency: int, requests_per_second: float, *, slow: bool = False, tokens: int = 100) -> Level:
    """A level of two replicas."""
    ended = round(100 * requests_per_second)
    return Level(
        concurrency=concurrency,
        replicas=2,
        seconds=100,
        ended=ended,
        tokens=tokens * ended,
        ttft_p95_seconds=3.0 if slow else 0.2,
    )


def capacity(*levels: Level, cut: str = "", users: float = 0.0) -> Capacity:
    served = Throughput(requests_per_second=users, tokens_per_second=100 * users)
    return Capacity(search=Search(levels=levels, limits=LIMITS, cut=cut), users=served)


def judged(
    candidate: Capacity, active: Capacity | None = None, *, peak: Throughput | None = PEAK, **settings: Any
) -> GateVerdict:
    checked = LoadSettings.model_validate({"send_to_active_color": active is not None, **settings})
    return judge_load(candidate, active, peak, checked, full_replicas=4, prompts="recorded")


SATURATES = (level(8, 12), level(16, 13, slow=True))


def test_a_candidate_that_carries_too_little_of_the_peak_fails_and_says_what_it_carries() -> None:
    verdict = judged(capacity(*SATURATES))
    assert verdict.verdict is Verdict.FAIL
    assert verdict.reason == (
        "6 requests/s and 600 tokens/s for each replica, with 8 open requests on 2 replicas; with 16, time to first "
        "token p95 3 s (limit 1 s); carries 60 % of the peak of 40 requests/s with 4 replicas (required 120 %)"
    )
    assert verdict.evidence["percent_of_peak"] == 60
    assert verdict.evidence["requests_per_second_per_replica"] == 6
    assert verdict.evidence["levels"] == "8 open: 6/s, first token 0.2 s; 16 open: 6.5/s, first token 3 s"


def test_a_candidate_that_carries_enough_passes_at_its_full_size() -> None:
    assert judged(capacity(level(8, 24), level(16, 25, slow=True))).verdict is Verdict.PASS
    assert judged(capacity(level(8, 23.9), level(16, 25, slow=True))).verdict is Verdict.FAIL


def test_a_cut_search_passes_only_with_enough_and_fails_only_without_hope() -> None:
    assert judged(capacity(level(8, 24), cut="max_seconds (900)")).verdict is Verdict.PASS
    open_end = judged(capacity(level(8, 12), cut="max_seconds (900)"))
    assert open_end.verdict is Verdict.INCONCLUSIVE
    assert "carries at least 60 % of the peak" in open_end.reason
    assert open_end.reason.endswith("the search was cut by max_seconds (900)")
    assert judged(capacity(*SATURATES, cut="max_seconds (900)")).verdict is Verdict.FAIL
    between = judged(capacity(level(8, 12), level(32, 30, slow=True), cut="max_total_tokens (5)"))
    assert between.verdict is Verdict.INCONCLUSIVE
    assert "carries 60 to 150 % of the peak" in between.reason


def test_a_candidate_without_any_level_within_the_limits_carries_nothing() -> None:
    verdict = judged(capacity(level(1, 5, slow=True)))
    assert verdict.verdict is Verdict.FAIL
    assert verdict.reason.startswith("no load is within the limits: with 1 open requests, time to first token")
    assert verdict.evidence["percent_of_peak"] == 0


def test_without_a_peak_nothing_is_known() -> None:
    verdict = judged(capacity(*SATURATES), peak=None)
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "no requests of users" in verdict.reason


def test_short_answers_do_not_make_a_candidate_look_good() -> None:
    short = capacity(level(8, 60, tokens=10), level(16, 60, slow=True, tokens=10))
    assert judged(short).evidence["percent_of_peak"] == 30


def test_a_dry_run_says_that_it_is_one() -> None:
    assert judged(capacity(*SATURATES), dry_run=True).dry_run


ACTIVE = capacity(level(8, 16), level(16, 16, slow=True), users=2)
"""Carries 10 requests/s for each replica, with what its users got meanwhile."""


@pytest.mark.parametrize(
    ("carried", "cut", "verdict", "words"),
    [
        (18, "", Verdict.PASS, "10 % less for each replica than the active colour (limit 10 %)"),
        (17.6, "", Verdict.FAIL, "12 % less"),
        (18, "max_seconds (9)", Verdict.PASS, "at most 10 % less"),
        (12, "max_seconds (9)", Verdict.INCONCLUSIVE, "at most 40 % less"),
    ],
)
def test_a_drop_below_the_active_colour_is_judged(carried: float, cut: str, verdict: Verdict, words: str) -> None:
    levels = [level(8, carried)] if cut else [level(8, carried), level(16, carried, slow=True)]
    found = judged(capacity(*levels, cut=cut), ACTIVE, required_percent_of_peak=None, max_throughput_drop_percent=10.0)
    assert found.verdict is verdict
    assert words in found.reason
    assert "of the peak" in found.reason, "reported without deciding"


def test_an_active_colour_whose_knee_is_not_known_cannot_pass_a_candidate() -> None:
    unknown = capacity(level(8, 16), cut="max_concurrency (8)", users=2)
    settings: dict[str, Any] = {"required_percent_of_peak": None, "max_throughput_drop_percent": 10.0}
    assert judged(capacity(*SATURATES), unknown, **settings).verdict is Verdict.FAIL
    good = judged(capacity(level(8, 30), level(16, 30, slow=True)), unknown, **settings)
    assert good.verdict is Verdict.INCONCLUSIVE
    assert good.evidence["throughput_drop_percent"] is None


RATES = st.floats(0.1, 1000)


@given(RATES, RATES, st.integers(1, 50), st.floats(1, 1000))
def test_the_share_is_proportional_to_replicas_and_never_above_either_figure(
    requests: float, tokens: float, replicas: int, factor: float
) -> None:
    carried = Throughput(requests_per_second=requests, tokens_per_second=tokens)
    share = percent_of(carried, replicas, PEAK)
    assert share == pytest.approx(replicas * percent_of(carried, 1, PEAK))
    assert share <= 100 * replicas * requests / 40 * 1.000001
    assert share <= 100 * replicas * tokens / 4000 * 1.000001
    more = Throughput(requests_per_second=factor * requests, tokens_per_second=factor * tokens)
    assert percent_of(more, replicas, PEAK) == pytest.approx(factor * share)


@given(RATES, st.floats(1, 3), st.booleans(), st.sampled_from(["", "max_seconds (9)"]), st.floats(1, 500))
def test_a_verdict_holds_for_every_capacity_in_the_range(
    knee: float, rise: float, saturates: bool, cut: str, required: float
) -> None:
    levels = [level(8, knee), *([level(16, knee * rise, slow=True)] if saturates else [])]
    one = capacity(*levels, cut=cut or ("" if saturates else "max_concurrency (8)"))
    low, high = percent_of(one.lowest, 4, PEAK), percent_of(one.highest, 4, PEAK)
    assert low <= high
    verdict = judged(one, required_percent_of_peak=required).verdict
    assert (verdict is Verdict.PASS) == (low >= required)
    assert (verdict is Verdict.FAIL) == (high < required)
    assert saturates or math.isinf(high)
