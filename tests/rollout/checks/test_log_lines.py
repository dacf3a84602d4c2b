"""A line of a request log gives a request and nothing else, or says why it gives none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.checks.log_lines import REPLAYED, NoRequest, RecordedRequest, read_line
from rollout.checks.recorded_prompts import replayed

ADDRESS = "203.0.113.77"
MESSAGES = [{"role": "system", "content": "You answer for Acme."}, {"role": "user", "content": "Where is my order?"}]
TOOLS = [{"type": "function", "function": {"name": "order"}}]

# The shapes of LiteLLM's payload: https://docs.litellm.ai/docs/proxy/logging_spec
LITELLM: dict[str, Any] = {
    "id": "chatcmpl-1",
    "trace_id": "t-1",
    "call_type": "acompletion",
    "response_cost": 0.01,
    "startTime": 1795248000.5,
    "endTime": 1795248009.0,
    "model": "hosted_vllm/acme/assistant-8b",
    "model_group": "legal",
    "api_base": f"http://{ADDRESS}:8000/v1",
    "metadata": {"requester_ip_address": ADDRESS, "user_api_key_user_email": "ada@example.com"},
    "end_user": "ada@example.com",
    "requester_ip_address": ADDRESS,
    "messages": MESSAGES,
    "response": {"choices": [{"message": {"role": "assistant", "content": "At your door."}}]},
    "model_parameters": {"temperature": 1.0, "stream": True, "max_tokens": 200, "tools": TOOLS, "user": "ada"},
}


def read(record: Any) -> RecordedRequest | NoRequest:
    return read_line(json.dumps(record))


def body_of(record: Any) -> dict[str, Any]:
    found = read(record)
    assert isinstance(found, RecordedRequest), found
    return dict(found.body)


def test_a_request_is_taken_out_of_what_is_logged_beside_it() -> None:
    record = {"messages": MESSAGES, "startTime": 1.5, "response": {}, "requester_ip_address": ADDRESS, "stop": ["."]}
    assert read(record) == RecordedRequest(body={"messages": MESSAGES, "stop": ["."]}, at=1.5)


def test_a_payload_of_litellm_is_unwrapped() -> None:
    found = read(LITELLM)
    assert found == RecordedRequest(
        body={"messages": MESSAGES, "max_tokens": 200, "tools": TOOLS, "model": "legal"}, at=1795248000.5
    )
    assert isinstance(found, RecordedRequest)
    assert replayed(found, max_tokens=100, seed=1, names=["legal"]) == {
        "messages": MESSAGES,
        "tools": TOOLS,
        "model": "legal",
        "max_tokens": 100,
        "temperature": 0,
        "seed": 1,
    }


@pytest.mark.parametrize(
    ("call_type", "messages", "prompt"),
    [
        ("atext_completion", [{"role": "user", "content": "Once upon"}], "Once upon"),
        ("text_completion", "Once upon", "Once upon"),
        ("aembedding", "Once upon", None),
        ("aresponses", MESSAGES, None),
        ("atext_completion", MESSAGES, None),
        ("acompletion", None, None),
        ("acompletion", {"role": "user"}, None),
    ],
)
def test_only_litellms_chats_and_completions_are_requests(call_type: str, messages: Any, prompt: str | None) -> None:
    record = {**LITELLM, "call_type": call_type, "messages": messages}
    if prompt is None:
        assert read(record) is NoRequest.OTHER
    else:
        assert body_of(record)["prompt"] == prompt


@pytest.mark.parametrize(
    ("url", "body", "known"),
    [
        ("/v1/chat/completions", {"messages": MESSAGES}, True),
        ("/v1/completions", {"prompt": "Once upon"}, True),
        ("/v1/embeddings", {"input": "Once upon"}, False),
        ("/v1/responses", {"messages": MESSAGES}, False),
    ],
)
def test_a_line_of_a_batch_is_unwrapped(url: str, body: dict[str, Any], known: bool) -> None:
    record = {"custom_id": ADDRESS, "method": "POST", "url": url, "body": {**body, "metadata": {"ip": ADDRESS}}}
    assert (body_of(record) == body) if known else (read(record) is NoRequest.OTHER)


@pytest.mark.parametrize(
    "mark",
    [
        "redacted",
        "REDACTED",
        "redacted-by-litellm",
        "[REDACTED]",
        "<redacted>",
        "***",
        "*********",
        "XXXX",
        "[Filtered]",
        "default-message-value",
        "redacted by litellm. 'litellm.turn_off_message_logging=True'",
        " [REDACTED_PROMPT] ",
    ],
)
def test_a_redaction_mark_is_no_prompt(mark: str) -> None:
    parts = [{"type": "text", "text": mark}]
    call = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "order", "arguments": mark}}]}
    for messages in (
        [{"role": "user", "content": mark}],
        [MESSAGES[0], {"role": "user", "content": mark}],
        [{"role": "user", "content": parts}],
        [MESSAGES[1], call],
    ):
        assert read({"messages": messages}) is NoRequest.REDACTED
        assert read({**LITELLM, "messages": messages}) is NoRequest.REDACTED
    assert read({"prompt": mark}) is NoRequest.REDACTED


@pytest.mark.parametrize(
    "prompt",
    ["My card is [REDACTED], why?", "What does redacted mean?", "?", "…", "!!", "**", "x", "[1, 2]", "👍", "{deep: 1}"],
)
def test_a_mark_inside_a_prompt_and_a_short_prompt_are_prompts(prompt: str) -> None:
    assert isinstance(read({"prompt": prompt}), RecordedRequest)


@pytest.mark.parametrize(
    "record",
    [
        {"messages": []},
        {"messages": ["hello"]},
        {"messages": [{"content": "who says this?"}]},
        {"messages": "hello"},
        {"prompt": ["a", "b"]},
        {"prompt": [1, 2, 3]},
        {"prompt": ""},
        {"request": {"messages": MESSAGES}},
        {"body": {"messages": []}, "url": "/v1/chat/completions"},
    ],
)
def test_what_is_no_single_request_is_passed_over(record: dict[str, Any]) -> None:
    assert read(record) is NoRequest.OTHER


def test_json_that_is_too_deep_is_passed_over() -> None:
    assert read_line("[" * 100_000) is NoRequest.OTHER


KNOWN = (
    REPLAYED
    | {"model", "max_tokens", "max_completion_tokens", "min_tokens", "body", "model_parameters"}
    | {"role", "content", "name", "refusal", "reasoning", "reasoning_content", "tool_calls", "tool_call_id"}
)
UNKNOWN = st.dictionaries(st.text(min_size=1).filter(lambda name: name not in KNOWN), st.just(ADDRESS))


@given(UNKNOWN, UNKNOWN, st.sampled_from("abc"))
def test_nothing_that_is_not_of_the_request_is_kept(around: dict[str, str], inside: dict[str, str], shape: str) -> None:
    messages = [{**inside, "role": "user", "content": "hello"}]
    record: dict[str, Any] = {
        "a": {**around, **inside, "messages": messages},
        "b": {**around, "custom_id": "1", "url": "/v1/completions", "body": {**inside, "messages": messages}},
        "c": {**around, "messages": messages, "call_type": "completion", "model_parameters": inside},
    }[shape]
    found = read(record)
    assert isinstance(found, RecordedRequest)
    assert ADDRESS not in json.dumps(replayed(found, max_tokens=9, seed=1))
    assert found.body == {"messages": [{"role": "user", "content": "hello"}]}
