"""A suite's checks recognise right answers, and an invalid suite is refused with its line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.checks.evals.evaluation import BUILT_IN
from rollout.checks.evals.questions import AnswerCheck, Shape, SuiteError, read_suite

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def holds(check: dict[str, Any], answer: str) -> bool:
    return AnswerCheck.model_validate(check).holds(answer)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        ({"exact": "Paris"}, " paris.\n", "Paris, of course"),
        ({"exact": ["yes", "yeah"]}, "Yeah!", "no"),
        ({"contains": "H2O"}, "It is H2O.", "It is CO2."),
        ({"contains": ["7", "seven"]}, "She has seven.", "She has six."),
        ({"regex": r"\b42\b"}, "17 + 25 = 42.", "420"),
        ({"regex": "(?-i:RIVER)"}, "RIVER", "river"),
        ({"contains": "a", "regex": "b"}, "ab", "a"),
        ({"json": {"type": "object", "required": ["city"]}}, '```json\n{"city": 1}\n```', '{"town": 1}'),
        ({"json": {"type": "array", "items": {"type": "integer"}}}, "[1, 2]", "[1, true]"),
        ({"json": {"properties": {"a": {"enum": ["x"]}}}}, '{"a": "x"}', '{"a": "y"}'),
        ({"json": {"type": "object"}}, "{}", "not JSON"),
    ],
)
def test_a_check_tells_right_from_wrong(check: dict[str, Any], right: str, wrong: str) -> None:
    assert holds(check, right)
    assert not holds(check, wrong)


@given(JSON)
def test_every_value_fits_an_empty_shape_and_its_own_enum(value: Any) -> None:
    assert Shape().fits(value)
    assert Shape(enum=[value]).fits(value)
    assert not Shape(enum=[[value]]).fits(value)


@given(st.text())
def test_no_answer_makes_a_check_fail_otherwise_than_by_saying_no(answer: str) -> None:
    for check in ({"exact": "a"}, {"contains": "a"}, {"regex": "a"}, {"json": {"type": "object"}}):
        assert holds(check, answer) in (True, False)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["", " "], "has no question"),
        (["{"], "line 1"),
        (['{"prompt": "a", "check": {}}'], "line 1: check: needs exact, contains, regex or json"),
        (['{"prompt": "a", "check": {"regex": "("}}'], "check.regex: is not a regular expression"),
        (['{"prompt": "a", "check": {"json": {"type": "text"}}}'], "must be one of object"),
        (['{"prompt": "a", "check": {"contains": ["a", " "]}}'], "check: contains and regex must not be empty"),
        (['{"prompt": "a", "check": {"regex": ""}}'], "check: contains and regex must not be empty"),
        (['{"messages": [], "check": {"exact": "a"}}'], "prompt or messages must not be empty"),
        (['{"check": {"exact": "a"}}'], "needs either prompt or messages"),
        (['{"prompt": "a", "chek": {"exact": "a"}, "check": {"exact": "a"}}'], "chek"),
        (['{"id": "x", "prompt": "a", "check": {"exact": "a"}}'] * 2, "line 2: id 'x' is already used in line 1"),
    ],
)
def test_a_wrong_suite_is_refused_with_its_line(lines: list[str], message: str) -> None:
    with pytest.raises(SuiteError) as raised:
        read_suite("\n".join(lines), "suite.jsonl")
    assert message in str(raised.value)
    assert str(raised.value).startswith("suite.jsonl")


def test_a_line_ends_only_at_its_end() -> None:
    asked = "a\u2028b\x85c"
    line = json.dumps({"prompt": asked, "check": {"exact": "a"}}, ensure_ascii=False)
    assert [one.prompt for one in read_suite(f"{line}\r\n\r\n{line}", "x")] == [asked] * 2


def test_the_built_in_suite_is_large_enough_to_notice_a_drop_of_a_sixth() -> None:
    questions = read_suite(BUILT_IN.read_text(), "built-in")
    assert len(questions) >= 60


def test_a_question_is_asked_as_deterministically_as_can_be() -> None:
    (question,) = read_suite(json.dumps({"prompt": "a", "check": {"exact": "a"}, "max_tokens": 3}), "x")
    assert question.id == "line 1"
    assert question.body(99) == {
        "messages": [{"role": "user", "content": "a"}],
        "max_tokens": 3,
        "temperature": 0,
        "seed": 1,
    }


def test_the_rehearsed_suites_are_suites() -> None:
    for path in (Path(__file__).parents[4] / "rehearsal" / "evals").glob("*.jsonl"):
        assert len(read_suite(path.read_text(), path.name)) >= 8
