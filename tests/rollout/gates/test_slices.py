"""Slices of a gate: each value of a label is judged by itself, and all tests together keep the false-alarm rate."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import count, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config.sections.gate_settings import PodErrorRateSettings, TtftSettings
from components.config.sections.rollout_settings import GateSettings
from components.domain.naming import Color
from rollout.gates.disputes import NO_DISPUTE, Dispute
from rollout.gates.slices import MOST, Between, GateSlices, Places, share
from rollout.model.verdict import GateVerdict, SliceVerdict, Verdict
from rollout.statistics.measurements import Counters
from rollout.statistics.sequential import alarm_threshold, evidence_above_each

LIMITS = GateSettings(error_rate=PodErrorRateSettings(by="model_name"), ttft_p95=TtftSettings(by="model_name"))
COLORS = Between(candidate="green", active="blue")
Counted = dict[str, tuple[int, int]]
"""Requests and failed requests, by value."""
PASSED = GateVerdict(gate="error_rate", verdict=Verdict.PASS, reason="all is well")


def counters(counted: Counted, slow: Counted | None = None) -> Counters:
    """What a colour has counted: requests and failures, and of the timed ones how many took up to 2 s."""

    def one(requests: int, failed: int, timed: tuple[int, int]) -> Counters:
        return Counters(
            responses={("pod", "2xx"): requests - failed, ("pod", "5xx"): failed},
            ttft_buckets={
                ("pod", "0.5"): timed[0] - timed[1],
                ("pod", "1"): timed[0] - timed[1],
                ("pod", "2"): timed[0],
                ("pod", "+Inf"): timed[0],
            },
        )

    slices = {value: one(*of, (slow or {}).get(value, (0, 0))) for value, of in counted.items()}
    total = [sum(of[place] for of in counted.values()) for place in (0, 1)]
    return Counters(
        responses={("pod", "2xx"): total[0] - total[1], ("pod", "5xx"): total[1]}, slices={"model_name": slices}
    )


def window(before: Counted, *, gate: str = "error_rate", slow: Counted | None = None) -> GateSlices:
    """A window that opens after the active colour has counted this much in the time before."""
    start: dict[Color, Counters] = {"blue": counters(before, slow), "green": Counters()}
    return GateSlices(gate, "model_name", COLORS, LIMITS, {"blue": Counters(), "green": Counters()}, start)


def judged(
    slices: GateSlices, mine: Counted, active: Counted, whole: GateVerdict = PASSED, dispute: Dispute = NO_DISPUTE
) -> GateVerdict:
    now: dict[Color, Counters] = {"green": counters(mine), "blue": counters(active)}
    return slices.judge(whole, now, dispute, lambda verdict: verdict)


def of(verdict: GateVerdict, value: str) -> SliceVerdict:
    (found,) = [one for one in verdict.slices if one.value == value]
    return found


BOTH = {"base": (1000, 0), "lora": (200, 0)}


def test_one_bad_value_fails_the_gate_by_name_although_the_whole_is_well() -> None:
    found = judged(window(BOTH), {"base": (10_000, 0), "lora": (200, 40)}, {"base": (11_000, 0), "lora": (400, 0)})
    assert found.verdict is Verdict.FAIL
    assert found.reason.startswith('model_name "lora": 40 of 200 requests failed (20.00 %, limit 1 %)')
    assert of(found, "base").verdict is Verdict.PASS


def test_when_all_are_well_the_whole_decides_and_says_how_many_have_a_verdict() -> None:
    found = judged(window(BOTH), {"base": (900, 0), "lora": (90, 0)}, {"base": (1900, 0), "lora": (290, 0)})
    assert found.verdict is Verdict.PASS
    assert found.reason == "all is well; by model_name: 2 of 2 values judged"
    assert [one.value for one in found.slices] == ["base", "lora"]


@pytest.mark.parametrize("whole", list(Verdict))
def test_values_without_enough_requests_decide_nothing(whole: Verdict) -> None:
    verdict = GateVerdict(gate="error_rate", verdict=whole, reason="the whole")
    found = judged(window(BOTH), {"base": (49, 49), "lora": (9, 9)}, BOTH, verdict)
    assert found.verdict is whole
    assert found.reason == "the whole; by model_name: no value has enough requests"
    assert [(one.verdict, one.decides) for one in found.slices] == [(Verdict.INCONCLUSIVE, False)] * 2
    assert "requests" in found.slices[0].reason


def test_without_any_value_the_whole_decides() -> None:
    found = judged(window({}), {}, {})
    assert (found.verdict, found.slices) == (Verdict.PASS, ())
    assert found.reason == "all is well; by model_name: no request with a model_name"


def test_a_value_beyond_its_limit_by_chance_does_not_hold_the_gate_back() -> None:
    """2 of 100 with a limit of 1 % says nothing; of many values, some always are above it."""
    found = judged(window(BOTH), {"base": (900, 0), "lora": (100, 2)}, {"base": (1900, 0), "lora": (300, 0)})
    assert found.verdict is Verdict.PASS
    assert (of(found, "lora").verdict, of(found, "lora").decides) == (Verdict.INCONCLUSIVE, False)


def test_a_value_that_chance_hardly_explains_holds_the_gate_back() -> None:
    """Until more requests decide. The whole fails at once when it fails."""
    mine, active = {"base": (900, 0), "lora": (100, 8)}, {"base": (1900, 0), "lora": (201, 0)}
    found = judged(window(BOTH), mine, active)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith('model_name "lora": 8 of 100')
    failed = judged(window(BOTH), mine, active, GateVerdict(gate="error_rate", verdict=Verdict.FAIL, reason="bad"))
    assert failed.reason.startswith("bad; by model_name")


def test_a_new_value_of_the_candidate_gets_the_next_place() -> None:
    found = judged(window(BOTH), {"new": (100, 0), "lora": (100, 0)}, BOTH)
    assert [one.value for one in found.slices] == ["base", "lora", "new"]


def test_the_largest_twenty_are_judged_and_how_many_are_left_out_is_said() -> None:
    sizes: Counted = {f"m{number:02}": (100 + number, 0) for number in range(MOST + 3)}
    found = judged(window(sizes), sizes, sizes)
    assert [one.value for one in found.slices] == sorted(sizes, reverse=True)[:MOST]
    assert found.reason.endswith("20 of 20 values judged, 3 smaller ones are left out")


def test_a_slow_model_is_compared_with_itself_and_at_the_last_step_with_before() -> None:
    """The active colour has no requests in this window. Its hour before says that this model answers at once."""
    before: Counted = {"base": (1000, 0), "lora": (300, 0)}
    slices = window(before, gate="ttft_p95", slow=before)
    now: dict[Color, Counters] = {
        "green": counters(before, {"base": (1000, 0), "lora": (600, 300)}),
        "blue": counters(before, before),
    }
    found = slices.judge(
        GateVerdict(gate="ttft_p95", verdict=Verdict.PASS, reason="all is well"),
        now,
        NO_DISPUTE,
        lambda verdict: verdict,
    )
    assert found.verdict is Verdict.FAIL
    assert found.reason.startswith('model_name "lora": p95')
    assert of(found, "base").verdict is Verdict.PASS


def test_failures_that_the_load_balancer_refutes_fail_no_slice() -> None:
    mine, active = {"base": (900, 0), "lora": (100, 30)}, {"base": (1900, 0), "lora": (201, 0)}
    assert judged(window(BOTH), mine, active).verdict is Verdict.FAIL
    assert judged(window(BOTH), mine, active, dispute=Dispute(refuted=30)).verdict is not Verdict.FAIL


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.text(max_size=2), st.integers(0, 50), max_size=25), max_size=3))
def test_a_place_is_never_given_away_and_there_are_at_most_twenty(looks: Sequence[dict[str, int]]) -> None:
    places = Places()
    for requests in looks:
        before = list(places.values)
        places.take_in(requests)
        assert places.values[: len(before)] == before
        assert len(places.values) <= MOST
        new = places.values[len(before) :]
        assert {one for one in requests if requests[one]} == {
            *places.left_out,
            *new,
            *(one for one in before if requests.get(one)),
        }
        assert all(requests[one] >= requests[other] for one in new for other in places.left_out)


def test_all_shares_together_are_the_whole_rate() -> None:
    """1/((k+1)(k+2)) = 1/(k+1) - 1/(k+2), so n of them add up to 1 - 1/(n+1): less than 1 however many there are."""
    for number in (1, 2, MOST + 1, 1000):
        exact = sum(Fraction(1, (place + 1) * (place + 2)) for place in range(number))
        assert exact == 1 - Fraction(1, number + 1)
    assert [share(place) for place in islice(count(), 3)] == [1 / 2, 1 / 6, 1 / 12]


def test_a_good_candidate_is_failed_by_any_of_its_slices_at_most_as_often_as_the_rate_says() -> None:
    """A gate and 20 slices, looked at after each of 25 blocks, at the limit itself: the worst that is allowed."""
    generator, rate, limit = np.random.default_rng(7), 0.2, 0.05
    sizes = np.array([100] * 5 + [20] * 15)
    failed = generator.binomial(sizes, limit, (500, 25, len(sizes))).cumsum(axis=1).astype(float)
    requests = np.broadcast_to(sizes * np.arange(1.0, 26.0)[:, None], failed.shape)
    found = np.stack(
        [evidence_above_each(failed.sum(axis=-1), requests.sum(axis=-1), limit)]
        + [evidence_above_each(failed[..., one], requests[..., one], limit) for one in range(len(sizes))],
        axis=-1,
    )
    shared = np.array([alarm_threshold(rate * share(place), 1) for place in range(len(sizes) + 1)])
    assert 0 < (found >= shared).any(axis=(1, 2)).mean() <= rate
    # Each test with the whole rate for itself raises far too many: the sharing is needed, and this test can see that.
    assert (found >= alarm_threshold(rate, 1)).any(axis=(1, 2)).mean() > rate
