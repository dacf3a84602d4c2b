"""Recorded prompts are read among bad lines, drawn the same each time, and sent without the users' own options."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.checks.log_lines import RecordedRequest
from rollout.checks.recorded_prompts import RequestLog, frequent, newest, read_log, replayed


def chat(text: str, system: str = "", **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}] if system else []
    return {"messages": [*messages, {"role": "user", "content": text}], **more}


def numbered(lines: list[str]) -> RequestLog:
    return read_log((f"line {number}", line) for number, line in enumerate(lines, 1))


def recorded(count: int) -> list[RecordedRequest]:
    return [RecordedRequest(body=chat(f"question {number}"), at=float(number)) for number in range(count)]


def test_lines_are_read_with_their_times_and_bad_ones_counted() -> None:
    lines = [
        json.dumps({"timestamp": "2026-11-21T08:00:00Z", **chat("a")}),
        json.dumps({"timestamp": 1795248000.5, **chat("b")}),
        json.dumps({"prompt": "c"}),
        "",
        '{"torn": ',
        "[]",
        json.dumps({"messages": []}),
        json.dumps({"input": "another API"}),
    ]
    log = numbered(lines)
    assert [one.at for one in log.requests] == [1795248000.0, 1795248000.5, None]
    assert log.requests[0].body == chat("a")
    assert log.others == 4


@given(st.lists(st.text()))
def test_no_line_is_too_strange_to_pass_over(lines: list[str]) -> None:
    log = numbered(lines)
    assert len(log.requests) + len(log.redacted) + log.others <= len(lines)


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 5))
def test_a_draw_is_the_same_each_time_and_of_the_newest(count: int, size: int, seed: int) -> None:
    records = recorded(count)
    drawn = newest(records, size, seed)
    assert drawn == newest(list(reversed(records)), size, seed)
    assert len(drawn) == min(size, count)
    assert all(one.at is not None and one.at >= count - 10 * size for one in drawn)


def test_a_prompt_asked_often_is_drawn_once() -> None:
    assert len(newest([RecordedRequest(body=chat("a"), at=float(at)) for at in range(9)], 5, 1)) == 1


def test_prompts_that_differ_only_in_how_they_were_sent_are_one_prompt() -> None:
    lines = [json.dumps(chat("a", seed=number, max_tokens=number + 1, user=f"u{number}")) for number in range(40)]
    log = numbered(lines)
    assert (len(log.requests), log.distinct) == (40, 1)
    assert len(newest(log.requests, 30, 1)) == 1


def test_redacted_lines_are_refused_by_their_number() -> None:
    lines = [json.dumps(chat("redacted-by-litellm"))] * 5 + [json.dumps(chat("a")), "{}"]
    log = numbered(lines)
    assert log.redacted == [f"line {number}" for number in range(1, 6)]
    assert log.left_out == (
        "5 lines with a redaction mark instead of a prompt (line 1, line 2, line 3 and 2 more) "
        "and 1 line but no OpenAI request"
    )


def test_the_most_frequent_prefixes_come_first_with_their_newest_prompt() -> None:
    rules = "You answer for Acme. " * 40
    records = [
        *(RecordedRequest(body=chat(f"q{number}", rules)) for number in range(5)),
        *(RecordedRequest(body=chat("hello")) for _ in range(3)),
        RecordedRequest(body=chat("once")),
    ]
    found = frequent(records, 2)
    assert [one.body["messages"][-1]["content"] for one in found] == ["q4", "hello"]


def test_a_replay_keeps_what_was_asked_and_chooses_how_it_is_answered() -> None:
    tools = [{"type": "function", "function": {"name": "weather"}}]
    body = chat("a", tools=tools, temperature=1.3, stream=True, n=3, user="u1", model="legal", max_tokens=9000)
    sent = replayed(RecordedRequest(body=body), max_tokens=100, seed=7)
    assert sent == {**chat("a"), "tools": tools, "max_tokens": 100, "temperature": 0, "seed": 7}
    assert replayed(RecordedRequest(body=body), max_tokens=100, seed=7, names=["legal"])["model"] == "legal"


@pytest.mark.parametrize(("asked", "limit"), [(5, 5), (500, 100), (None, 100), ("many", 100), (0, 100)])
def test_no_answer_is_asked_for_longer_than_the_limit(asked: Any, limit: int) -> None:
    assert replayed(RecordedRequest(body=chat("a", max_tokens=asked)), max_tokens=100, seed=1)["max_tokens"] == limit


@pytest.mark.parametrize(
    ("recorded", "sent"),
    [
        ({"max_tokens": 900, "min_tokens": 500}, {"max_tokens": 100, "min_tokens": 100}),
        ({"max_tokens": 50, "min_tokens": 20}, {"max_tokens": 50, "min_tokens": 20}),
        ({"max_completion_tokens": 30, "max_tokens": 90, "min_tokens": 60}, {"max_tokens": 30, "min_tokens": 30}),
        ({"min_tokens": -1}, {"max_tokens": 100}),
        ({"min_tokens": "many"}, {"max_tokens": 100}),
        ({"min_tokens": 0}, {"max_tokens": 100}),
        ({"logprobs": True, "top_logprobs": 5}, {"max_tokens": 100}),
        ({"prompt_logprobs": 2, "logprob_token_ids": [1]}, {"max_tokens": 100}),
        ({"stream": False, "stream_options": {"include_usage": True}}, {"max_tokens": 100}),
        ({"n": 4, "best_of": 8, "use_beam_search": True, "length_penalty": 2.0}, {"max_tokens": 100}),
        ({"tool_choice": "auto", "parallel_tool_calls": True}, {"max_tokens": 100}),
        ({"tools": [], "tool_choice": "required"}, {"max_tokens": 100}),
    ],
)
def test_fields_that_must_agree_move_together(recorded: dict[str, Any], sent: dict[str, Any]) -> None:
    (request,) = numbered([json.dumps(chat("a", **recorded))]).requests
    assert replayed(request, max_tokens=100, seed=1) == {**chat("a"), **sent, "temperature": 0, "seed": 1}
    assert replayed(RecordedRequest(body=chat("a", **recorded)), max_tokens=100, seed=1) == replayed(
        request, max_tokens=100, seed=1
    )


@given(
    st.dictionaries(st.sampled_from(["max_tokens", "max_completion_tokens", "min_tokens"]), st.integers(-5, 400)),
    st.integers(1, 200),
)
def test_a_replay_never_asks_for_more_tokens_than_it_allows(asked: dict[str, int], most: int) -> None:
    sent = replayed(RecordedRequest(body={**chat("a"), **asked}), max_tokens=most, seed=1)
    assert 0 <= sent.get("min_tokens", 0) <= sent["max_tokens"] <= most
