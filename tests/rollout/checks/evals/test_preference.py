"""A judge decides only if it agrees with people, and fails a candidate that is as good no more often than stated."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.check_settings import JudgeSettings
from rollout.checks.evals.preference import (
    ALIKE,
    LOST,
    TRUST_LEVEL,
    WON,
    Agreement,
    Choice,
    JudgedPair,
    fewest_labels,
    judge_pairs,
    read_choice,
    with_judge,
)
from rollout.model.verdict import GateVerdict, Verdict
from rollout.statistics.exact_tests import LEVEL, paired_p_value

CHOICES = st.sampled_from([*get_args(Choice), None])
PAIRS = st.lists(st.builds(JudgedPair, forward=CHOICES, swapped=CHOICES), max_size=60)
UNREAD = JudgedPair(forward=None, swapped="first")
FLIPPED = JudgedPair(forward="first", swapped="first")
TRUSTED = Agreement(agreed=48, labels=50)
UNTRUSTED = Agreement(agreed=30, labels=50)
GOOD = GateVerdict(gate="eval", verdict=Verdict.PASS, reason="9 of 9 questions right", evidence={"right": 9})


def settings(**more: Any) -> JudgeSettings:
    return JudgeSettings.model_validate(
        {"url": "https://judge/v1", "model": "judge", "prompts": "p.jsonl", "labels": "l.jsonl", **more}
    )


def seen(won: int = 0, lost: int = 0, tied: int = 0) -> list[JudgedPair]:
    return [WON] * won + [LOST] * lost + [ALIKE] * tied


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("It is shorter. [[A]]", "first"),
        ("[[b]]", "second"),
        ("[[ TIE ]]\n", "tie"),
        ("Answer A says [[A]], but it is wrong. [[B]]", "second"),
        ("A is better", None),
        ("[[C]]", None),
        ("", None),
    ],
)
def test_the_last_mark_is_the_choice(text: str, choice: Choice | None) -> None:
    assert read_choice(text) == choice


@given(CHOICES, CHOICES)
def test_the_order_of_the_two_questions_does_not_matter(forward: Choice | None, swapped: Choice | None) -> None:
    mirrored = {"one": "other", "other": "one", "tie": "tie", None: None}
    there, back = JudgedPair(forward=forward, swapped=swapped), JudgedPair(forward=swapped, swapped=forward)
    assert mirrored[there.preference] == back.preference


@pytest.mark.parametrize("habit", get_args(Choice))
def test_a_judge_that_always_says_the_same_prefers_neither(habit: Choice) -> None:
    assert JudgedPair(forward=habit, swapped=habit).preference == "tie"


def test_a_flip_is_a_tie_and_is_counted() -> None:
    verdict = judge_pairs([FLIPPED, FLIPPED, *seen(won=1)], TRUSTED, settings())
    assert (verdict.evidence["judge_tied"], verdict.evidence["judge_flipped"]) == (2, 2)
    assert verdict.evidence["judge_win_rate_percent"] == pytest.approx(66.67)


@given(st.integers(1, 120))
@pytest.mark.slow
def test_a_candidate_as_good_fails_no_more_often_than_stated(decided: int) -> None:
    from scipy.stats import binom  # slow to import, and needed only here and below

    # Whatever the number of pairs that are no tie: each is won or lost by a fair coin.
    chance = sum(
        binom.pmf(lost, decided, 0.5)
        for lost in range(decided + 1)
        if judge_pairs(seen(won=decided - lost, lost=lost), TRUSTED, settings(minimum_win_rate_percent=50)).verdict
        is Verdict.FAIL
    )
    assert chance <= LEVEL


@given(st.integers(7, 150), st.sampled_from([50, 65, 80]))
@pytest.mark.slow
def test_a_judge_that_agrees_less_than_the_limit_rarely_decides(labels: int, limit: int) -> None:
    from scipy.stats import binom

    chance = sum(
        binom.pmf(agreed, labels, limit / 100)
        for agreed in range(labels + 1)
        if Agreement(agreed=agreed, labels=labels).at_least_percent >= limit
    )
    assert chance <= TRUST_LEVEL + 1e-9


@given(st.integers(1, 150), st.data())
def test_more_agreement_is_more_trust(labels: int, data: st.DataObject) -> None:
    agreed = data.draw(st.integers(0, labels - 1))
    fewer, more = (Agreement(agreed=one, labels=labels) for one in (agreed, agreed + 1))
    assert fewer.at_least_percent <= more.at_least_percent
    assert fewer.at_least_percent <= fewer.percent + 1e-9


@pytest.mark.parametrize(("percent", "labels"), [(50, 5), (65, 7), (80, 14), (95, 59)])
def test_a_high_agreement_needs_many_labels(percent: float, labels: int) -> None:
    assert fewest_labels(percent) == labels
    assert Agreement(agreed=labels - 1, labels=labels - 1).at_least_percent < percent


def test_a_surely_worse_candidate_fails_and_one_that_may_be_unlucky_passes() -> None:
    worse = judge_pairs(seen(won=4, lost=20, tied=16), TRUSTED, settings())
    assert worse.verdict is Verdict.FAIL
    assert "win rate 30.0 %" in worse.reason
    assert not worse.dry_run
    assert judge_pairs(seen(won=4, lost=8, tied=28), TRUSTED, settings()).verdict is Verdict.PASS


def test_a_small_loss_within_the_limit_passes_however_sure_it_is() -> None:
    verdict = judge_pairs(seen(won=5, lost=25, tied=970), TRUSTED, settings())
    assert paired_p_value(25, 5) < LEVEL
    assert verdict.verdict is Verdict.PASS


@given(PAIRS, st.integers(0, 60))
def test_more_losses_never_turn_a_failure_into_a_pass(pairs: list[JudgedPair], more: int) -> None:
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]
    readable = [pair for pair in pairs if pair.preference is not None]
    few = judge_pairs([*readable, ALIKE], TRUSTED, settings()).verdict
    many = judge_pairs([*readable, ALIKE, *seen(lost=more)], TRUSTED, settings()).verdict
    assert order.index(few) <= order.index(many)


@pytest.mark.parametrize(("unread", "missing", "verdict"), [(2, 0, "pass"), (0, 2, "pass"), (3, 0, "?"), (2, 1, "?")])
def test_too_few_choices_or_answers_are_no_pass(unread: int, missing: int, verdict: str) -> None:
    pairs = [*seen(tied=27 - unread), *[UNREAD] * unread]
    found = judge_pairs(pairs, TRUSTED, settings(), missing=missing).verdict
    assert found is (Verdict.PASS if verdict == "pass" else Verdict.INCONCLUSIVE)


@given(PAIRS, st.integers(0, 60), st.integers(0, 40))
def test_below_the_limit_of_agreement_a_judge_changes_no_verdict(
    pairs: list[JudgedPair], missing: int, agreed: int
) -> None:
    verdict = judge_pairs(pairs, Agreement(agreed=agreed, labels=60), settings(), missing=missing)
    assert verdict.dry_run == (Agreement(agreed=agreed, labels=60).at_least_percent < 65)
    if verdict.dry_run:
        assert with_judge(GOOD, verdict).verdict is Verdict.PASS


def test_a_judge_that_only_reports_says_so_with_its_figures() -> None:
    verdict = with_judge(GOOD, judge_pairs(seen(lost=30), UNTRUSTED, settings()))
    assert (verdict.verdict, verdict.dry_run) == (Verdict.PASS, False)
    assert "agrees with people on 30 of 50 labels" in verdict.reason
    assert verdict.reason.endswith("this is only a report")
    assert (verdict.evidence["right"], verdict.evidence["judge_lost"]) == (9, 30)
    assert verdict.evidence["judge_decides"] == "no"


def test_a_judge_that_decides_fails_what_the_questions_passed() -> None:
    verdict = with_judge(GOOD, judge_pairs(seen(lost=30), TRUSTED, settings()))
    assert (verdict.gate, verdict.verdict) == ("eval", Verdict.FAIL)
    assert verdict.evidence["judge_decides"] == "yes"
