"""Recorded prompts are read among bad lines, drawn the same each time, and sent without the users' own options."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.checks.recorded_prompts import Recorded, frequent, newest, read_records, replayed


def chat(text: str, system: str = "", **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}] if system else []
    return {"messages": [*messages, {"role": "user", "content": text}], **more}


def recorded(count: int) -> list[Recorded]:
    return [Recorded(body=chat(f"question {number}"), at=float(number)) for number in range(count)]


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
    found, bad = read_records(lines)
    assert [one.at for one in found] == [1795248000.0, 1795248000.5, None]
    assert found[0].body == chat("a")
    assert bad == 4


@given(st.lists(st.text()))
def test_no_line_is_too_strange_to_pass_over(lines: list[str]) -> None:
    found, bad = read_records(lines)
    assert len(found) + bad <= len(lines)


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 5))
def test_a_draw_is_the_same_each_time_and_of_the_newest(count: int, size: int, seed: int) -> None:
    records = recorded(count)
    drawn = newest(records, size, seed)
    assert drawn == newest(list(reversed(records)), size, seed)
    assert len(drawn) == min(size, count)
    assert all(one.at is not None and one.at >= count - 10 * size for one in drawn)


def test_a_prompt_asked_often_is_drawn_once() -> None:
    assert len(newest([Recorded(body=chat("a"), at=float(at)) for at in range(9)], 5, 1)) == 1


def test_the_most_frequent_prefixes_come_first_with_their_newest_prompt() -> None:
    rules = "You answer for Acme. " * 40
    records = [
        *(Recorded(body=chat(f"q{number}", rules)) for number in range(5)),
        *(Recorded(body=chat("hello")) for _ in range(3)),
        Recorded(body=chat("once")),
    ]
    found = frequent(records, 2)
    assert [one.body["messages"][-1]["content"] for one in found] == ["q4", "hello"]


def test_a_replay_keeps_what_was_asked_and_chooses_how_it_is_answered() -> None:
    tools = [{"type": "function", "function": {"name": "weather"}}]
    body = chat("a", tools=tools, temperature=1.3, stream=True, n=3, user="u1", model="legal", max_tokens=9000)
    sent = replayed(Recorded(body=body), max_tokens=100, seed=7)
    assert sent == {**chat("a"), "tools": tools, "max_tokens": 100, "temperature": 0, "seed": 7}
    assert replayed(Recorded(body=body), max_tokens=100, seed=7, names=["legal"])["model"] == "legal"


@pytest.mark.parametrize(("asked", "limit"), [(5, 5), (500, 100), (None, 100), ("many", 100), (0, 100)])
def test_no_answer_is_asked_for_longer_than_the_limit(asked: Any, limit: int) -> None:
    assert replayed(Recorded(body=chat("a", max_tokens=asked)), max_tokens=100, seed=1)["max_tokens"] == limit
