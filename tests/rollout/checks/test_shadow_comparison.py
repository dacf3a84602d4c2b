"""A shadow comparison fails exactly what differs more than the active colour differs from itself."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.check_settings import ShadowSettings
from rollout.checks.shadow import Triple, differences, judge_shadow, similarity
from rollout.model.answers import Answer
from rollout.model.verdict import GateVerdict, Verdict

SETTINGS = ShadowSettings()
TEXT = "The sky is blue on a clear day because air scatters blue light more than red light."
GOOD = Answer(
    status=200, text=TEXT, finish_reason="stop", ttft_seconds=0.1, inter_token_seconds=(0.02, 0.02), total_seconds=1
)
FAILED = Answer(status=500, error="status 500")
ANSWERS = st.builds(
    Answer,
    status=st.just(200),
    text=st.text(max_size=80),
    finish_reason=st.sampled_from(["stop", "length", "tool_calls"]),
    ttft_seconds=st.none() | st.floats(0.001, 10),
    inter_token_seconds=st.lists(st.floats(0.001, 1), max_size=3).map(tuple),
    error=st.none() | st.just("status 500"),
)


def same(count: int = 40) -> list[Triple]:
    return [Triple(candidate=GOOD, active=GOOD, again=GOOD)] * count


def judged(candidate: Answer, count: int = 40, of: int = 40, settings: ShadowSettings = SETTINGS) -> GateVerdict:
    """Return the verdict if this many of the candidate's answers are this one."""
    return judge_shadow([*[replace(one, candidate=candidate) for one in same(count)], *same(of - count)], settings)


@pytest.mark.parametrize(
    ("candidate", "names"),
    [
        (GOOD, set()),
        (FAILED, {"no answer"}),
        (replace(GOOD, finish_reason="length"), {"finish reason"}),
        (replace(GOOD, text=f'{{"answer": "{TEXT}"}}'), {"JSON or not"}),
        (replace(GOOD, tool_calls=('weather {"city": "Rome"}',)), {"tools called"}),
        (replace(GOOD, text=TEXT * 5), {"length"}),
    ],
)
def test_answers_differ_in_structure(candidate: Answer, names: set[str]) -> None:
    assert differences(candidate, GOOD) == names
    verdict = judged(candidate)
    assert verdict.verdict is (Verdict.FAIL if names else Verdict.PASS)
    assert all(f"{name} 40" in verdict.reason for name in names)


def test_other_words_are_reported_and_judged_only_when_asked_for() -> None:
    other = replace(GOOD, text="Blue light is scattered most, and that is what one sees above on days without clouds.")
    verdict = judged(other)
    assert verdict.verdict is Verdict.PASS
    assert verdict.evidence["similarity"] == round(similarity(other, GOOD), 3)
    assert verdict.evidence["noise_similarity"] == 1
    strict = judged(other, settings=ShadowSettings(max_similarity_drop=0.1))
    assert strict.verdict is Verdict.FAIL
    assert "more than 0.1 less" in strict.reason


@pytest.mark.parametrize(
    ("slow", "name"),
    [
        (replace(GOOD, ttft_seconds=0.2), "time to first token 2.00 times"),
        (replace(GOOD, inter_token_seconds=(0.05,)), "time per token 2.50 times"),
    ],
)
def test_a_slower_candidate_fails(slow: Answer, name: str) -> None:
    verdict = judged(slow)
    assert verdict.verdict is Verdict.FAIL
    assert name in verdict.reason


def test_a_few_slow_answers_are_no_slow_candidate() -> None:
    assert judged(replace(GOOD, ttft_seconds=5), count=8).verdict is Verdict.PASS


def test_noise_of_the_active_colour_is_not_held_against_the_candidate() -> None:
    draw = random.Random(3)
    reasons = ("stop", "length")

    def noisy() -> Answer:
        return replace(GOOD, finish_reason=draw.choice(reasons), ttft_seconds=draw.uniform(0.05, 0.5))

    verdict = judge_shadow([Triple(candidate=noisy(), active=noisy(), again=noisy()) for _ in range(100)], SETTINGS)
    assert verdict.verdict is Verdict.PASS
    assert float(verdict.evidence["noise_percent"] or 0) > 30


@pytest.mark.parametrize(
    ("count", "verdict"), [(29, Verdict.INCONCLUSIVE), (30, Verdict.PASS), (0, Verdict.INCONCLUSIVE)]
)
def test_few_prompts_are_no_evidence(count: int, verdict: Verdict) -> None:
    assert judge_shadow(same(count), SETTINGS).verdict is verdict


def test_prompts_that_the_active_colour_does_not_answer_say_nothing() -> None:
    broken = [Triple(candidate=GOOD, active=GOOD, again=FAILED)] * 100
    assert judge_shadow([*broken, *same(29)], SETTINGS).verdict is Verdict.INCONCLUSIVE
    assert judge_shadow([*broken, *same(30)], SETTINGS).evidence["compared"] == 30


@given(st.lists(st.builds(Triple, candidate=ANSWERS, active=ANSWERS, again=ANSWERS), max_size=40))
@pytest.mark.slow
def test_nothing_passes_without_enough_prompts(triples: list[Triple]) -> None:
    verdict = judge_shadow(triples, ShadowSettings(minimum_samples=9))
    usable = sum(not one.active.error and not one.again.error for one in triples)
    assert (verdict.verdict is Verdict.INCONCLUSIVE) == (usable < 9)
    assert verdict.evidence["prompts"] == len(triples)


@given(ANSWERS, ANSWERS)
def test_differing_and_likeness_know_no_direction(one: Answer, other: Answer) -> None:
    assert differences(one, other) == differences(other, one)
    assert differences(one, one) == frozenset()
    assert 0 <= similarity(one, other) <= 1


@pytest.mark.slow
def test_the_test_for_times_is_scipys() -> None:
    from scipy import stats  # slow to import, and needed only here

    beyond = [0.1 * number for number in range(-3, 9)]
    tested: Any = stats.wilcoxon(beyond, alternative="greater")
    assert tested.pvalue < 0.05
