"""Answers are read from whole bodies and from streams, in all the shapes that servers use."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model.answers import Answer, carries_tokens, read_chunks

NAME = "green-0123456789ab"


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, **fields}]}


@given(st.lists(st.text(), min_size=1))
def test_a_stream_says_what_the_whole_answer_says(parts: list[str]) -> None:
    stream = [choice(delta={"content": part}) for part in parts]
    stream.append({**choice(delta={}, finish_reason="stop"), "system_fingerprint": NAME})
    whole = {**choice(message={"content": "".join(parts)}, finish_reason="stop"), "system_fingerprint": NAME}
    assert read_chunks(stream) == read_chunks([whole])
    assert read_chunks(stream).text == "".join(parts)


def test_tool_calls_come_in_pieces() -> None:
    def piece(index: int, **function: str) -> dict[str, Any]:
        return choice(delta={"tool_calls": [{"index": index, "function": function}]})

    stream = [
        piece(0, name="weather", arguments=""),
        piece(0, arguments='{"city": '),
        piece(1, name="time", arguments="{}"),
        piece(0, arguments='"Rome"}'),
        choice(delta={}, finish_reason="tool_calls"),
    ]
    reading = read_chunks(stream)
    assert reading.tool_calls == ('weather {"city": "Rome"}', "time {}")
    assert reading.error is None


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        ([{"error": {"message": "out of memory"}}], "out of memory"),
        ([choice(delta={"content": "a"}, finish_reason="abort")], "ended with 'abort'"),
        ([choice(delta={"content": "a"})], "ended with None"),
        ([{"choices": []}], "empty"),
    ],
)
def test_what_is_no_answer_has_an_error(chunks: list[dict[str, Any]], error: str) -> None:
    assert error in (read_chunks(chunks).error or "")


@pytest.mark.parametrize(
    ("delta", "carries"),
    [({"role": "assistant", "content": ""}, False), ({"content": "a"}, True), ({"reasoning": "a"}, True), ({}, False)],
)
def test_only_tokens_count_for_the_time_to_the_first(delta: dict[str, str], carries: bool) -> None:
    assert carries_tokens(choice(delta=delta)) is carries


def test_an_answer_by_another_is_none() -> None:
    answer = Answer(status=200, text="a", fingerprint="blue-1")
    assert answer.by("blue-1") is answer
    assert "answered by blue-1, not green-2" in (answer.by("green-2").error or "")
