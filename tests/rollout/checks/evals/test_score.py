"""A score is read from its path in the files of evaluation tools, and anything else is refused."""

import json
from typing import Any

import pytest

from components.config.sections.check_settings import EvalSettings
from rollout.checks.evals.score import NoScoreError, last_line, read_score

# The formats of lm-evaluation-harness (results_<time>.json) and of inspect-ai (JSON log).
LM_EVAL = {
    "results": {
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.61,
            "exact_match_stderr,strict-match": 0.013,
        }
    }
}
INSPECT = {
    "status": "success",
    "results": {
        "scores": [{"name": "match", "metrics": {"accuracy": {"value": 0.85}, "stderr": {"value": 0.02}}}],
    },
}


def settings(path: str, error: str | None = None, full: float = 1.0) -> EvalSettings:
    return EvalSettings(score_path=path, standard_error_path=error, full_score=full)


@pytest.mark.parametrize(
    ("document", "path", "error", "percent", "points"),
    [
        (LM_EVAL, "results.gsm8k.exact_match,strict-match", "results.gsm8k.exact_match_stderr,strict-match", 61, 1.3),
        (
            INSPECT,
            "results.scores.0.metrics.accuracy.value",
            "results.scores.0.metrics.stderr.value",
            85,
            2,
        ),
        ({"a.b": {"c": 1}}, "a.b.c", None, 100, None),
        ({"score": 0}, "score", None, 0, None),
    ],
)
def test_a_score_is_where_the_path_leads(
    document: Any, path: str, error: str | None, percent: float, points: float | None
) -> None:
    found = read_score(json.dumps(document), settings(path, error))
    assert found.percent == pytest.approx(percent)
    assert found.standard_error_points == (None if points is None else pytest.approx(points))


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("done", "score", "is not JSON: 'done'"),
        ('{"score": "high"}', "score", 'is "high", not a number'),
        ('{"score": true}', "score", "not a number"),
        ('{"score": NaN}', "score", "not a number"),
        ('{"a": {"b": 1}}', "a.c", "there is no 'c' among b"),
        ('{"a": [1]}', "a.1", "does not exist"),
        ('{"a": [1]}', "a.--0", "does not exist"),
        ('{"a": [1]}', "a.²", "does not exist"),
        ("[" * 100_000, "score", "is not JSON"),
        ('{"score": 61}', "score", "set full_score"),
        ('{"score": -0.5}', "score", "set full_score"),
    ],
)
def test_what_is_no_score_is_none(text: str, path: str, message: str) -> None:
    with pytest.raises(NoScoreError) as raised:
        read_score(text, settings(path))
    assert message in str(raised.value)


def test_a_standard_error_below_zero_is_none() -> None:
    with pytest.raises(NoScoreError, match="standard_error_path 'error' is below 0"):
        read_score('{"score": 0.5, "error": -0.1}', settings("score", "error"))


def test_the_last_line_that_says_something_is_the_scores() -> None:
    assert last_line('begun\n{"score": 1}\n\n') == '{"score": 1}'
    with pytest.raises(NoScoreError, match="printed nothing"):
        last_line(" \n")
