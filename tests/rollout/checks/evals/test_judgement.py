"""An evaluation fails a candidate that is surely worse, passes one that is as good, and never without evidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.check_settings import EvalSettings
from rollout.checks.evals.judgement import Graded, Score, judge_scores, judge_suite
from rollout.model.verdict import Verdict
from rollout.statistics.exact_tests import fewest_sure_losses

GRADED = st.lists(
    st.builds(Graded, question=st.just("q"), candidate=st.booleans(), active=st.none() | st.booleans()), max_size=80
)


def graded(both: int = 0, lost: int = 0, won: int = 0, neither: int = 0, missing: int = 0) -> list[Graded]:
    kinds = [
        (both, True, True),
        (lost, False, True),
        (won, True, False),
        (neither, False, False),
        (missing, True, None),
    ]
    return [
        Graded(question=f"{candidate}-{active}-{number}", candidate=candidate, active=active)
        for count, candidate, active in kinds
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("answers", "settings", "verdict", "message"),
    [
        (graded(both=60), {}, Verdict.PASS, "a drop is noticed from 11.7 points on"),
        (graded(both=40, lost=20), {}, Verdict.FAIL, "33.3 points worse"),
        (graded(both=55, lost=5), {}, Verdict.PASS, "could be chance"),
        (graded(both=50, lost=20, won=18), {}, Verdict.PASS, "the active colour 70 of 88"),
        (graded(both=300, lost=12), {}, Verdict.PASS, "noticed"),
        (graded(both=3, neither=60), {}, Verdict.INCONCLUSIVE, "a drop cannot be shown"),
        (graded(both=6), {}, Verdict.INCONCLUSIVE, "fewer than 7 right"),
        (graded(both=20, missing=5), {}, Verdict.INCONCLUSIVE, "left 5 unanswered"),
        ([], {}, Verdict.INCONCLUSIVE, "no question"),
        (graded(both=6, neither=4), {"minimum_score_percent": 61}, Verdict.FAIL, "at least 61 %"),
        (graded(both=6, neither=4), {"minimum_score_percent": 60}, Verdict.PASS, "a drop cannot be shown"),
        (graded(missing=9, neither=1), {"minimum_score_percent": 90, "max_drop_points": None}, Verdict.PASS, "9 of 10"),
    ],
)
def test_a_suite_is_judged(answers: list[Graded], settings: dict[str, float], verdict: Verdict, message: str) -> None:
    judged = judge_suite(answers, EvalSettings.model_validate(settings))
    assert judged.verdict is verdict
    assert message in judged.reason


@given(GRADED)
def test_only_a_sure_and_large_enough_drop_fails(answers: list[Graded]) -> None:
    judged = judge_suite(answers, EvalSettings())
    pairs = [one for one in answers if one.active is not None]
    lost = sum(bool(one.active) and not one.candidate for one in pairs)
    won = sum(one.candidate and not one.active for one in pairs)
    if judged.verdict is Verdict.FAIL:
        assert lost >= fewest_sure_losses()
        assert 100 * (lost - won) > 5 * len(pairs)
    if judged.verdict is Verdict.PASS:
        assert sum(bool(one.active) for one in pairs) >= fewest_sure_losses()
        assert 10 * len(pairs) >= 9 * len(answers)


@given(GRADED)
def test_a_candidate_that_answers_all_right_never_fails(answers: list[Graded]) -> None:
    best = [Graded(question=one.question, candidate=True, active=one.active) for one in answers]
    assert judge_suite(best, EvalSettings(minimum_score_percent=100)).verdict is not Verdict.FAIL


@pytest.mark.parametrize(
    ("candidate", "active", "settings", "verdict", "message"),
    [
        (Score(percent=70), Score(percent=72), {}, Verdict.PASS, "score 70.00 %, the active colour 72.00 %"),
        (Score(percent=60), Score(percent=72), {}, Verdict.FAIL, "12.00 points worse (limit 5)"),
        (
            Score(percent=60, standard_error_points=5),
            Score(percent=72, standard_error_points=5),
            {},
            Verdict.PASS,
            "could be chance",
        ),
        (
            Score(percent=60, standard_error_points=1),
            Score(percent=72, standard_error_points=1),
            {},
            Verdict.FAIL,
            "p = ",
        ),
        (Score(percent=60), None, {}, Verdict.INCONCLUSIVE, "there is no data of the active colour"),
        (Score(percent=60), None, {"minimum_score_percent": 70}, Verdict.FAIL, "at least 70 %"),
        (Score(percent=60), None, {"minimum_score_percent": 50, "max_drop_points": None}, Verdict.PASS, "60.00 %"),
    ],
)
def test_a_commands_score_is_judged(
    candidate: Score, active: Score | None, settings: dict[str, float], verdict: Verdict, message: str
) -> None:
    judged = judge_scores(candidate, active, EvalSettings.model_validate(settings))
    assert judged.verdict is verdict
    assert message in judged.reason
