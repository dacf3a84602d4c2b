"""The HTTP interface on which clients of vLLM and of the OpenAI API rely."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from rehearsal.vllm.hub import Fault, Faults
from rehearsal.vllm.protocol import render_chat
from tests.rehearsal.vllm.server_process import FAST, MODEL, ServerProcess


def events(answer: httpx.Response) -> list[Any]:
    """Return the events of a stream. The last one is the text "[DONE]"."""
    lines = [line for line in answer.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    data = [line.removeprefix("data: ") for line in lines]
    return [*(json.loads(item) for item in data[:-1]), data[-1]]


def test_the_model_list_shows_served_names_weights_and_adapters(server: ServerProcess) -> None:
    cards = server.http.get("/v1/models").json()["data"]
    assert [(card["id"], card["root"], card["parent"]) for card in cards] == [
        ("acme/tiny", "acme/tiny", None),
        ("tiny-alias", "acme/tiny", None),
        ("haiku", "/adapters/haiku", "acme/tiny"),
    ]
    assert cards[0]["max_model_len"] == 400


def test_a_whole_answer_has_a_message_usage_and_fingerprint(server: ServerProcess) -> None:
    body = server.chat("tell me something").json()
    choice = body["choices"][0]
    assert body["object"] == "chat.completion"
    assert body["system_fingerprint"] == "blue-0123456789ab"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_the_same_prompt_gets_the_same_answer_and_is_found_in_the_prefix_cache(server: ServerProcess) -> None:
    prompt = "the very same prompt, long enough to fill some blocks of the cache. " * 4
    first, second = server.chat(prompt).json(), server.chat(prompt).json()
    assert first["choices"][0]["message"] == second["choices"][0]["message"]
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] > 0.7 * second["usage"]["prompt_tokens"]


def test_max_tokens_ends_an_answer_by_length_and_min_tokens_prolongs_it(server: ServerProcess) -> None:
    body = server.chat(max_tokens=5).json()
    assert (body["choices"][0]["finish_reason"], body["usage"]["completion_tokens"]) == ("length", 5)
    body = server.chat(max_tokens=120, min_tokens=120).json()
    assert (body["choices"][0]["finish_reason"], body["usage"]["completion_tokens"]) == ("length", 120)


def test_an_answer_ends_before_a_stop_text(server: ServerProcess) -> None:
    body = server.chat(stop=[" "]).json()
    assert " " not in body["choices"][0]["message"]["content"]
    assert body["choices"][0]["finish_reason"] == "stop"


def test_a_chat_stream_has_a_role_texts_a_finish_reason_and_done(server: ServerProcess) -> None:
    answer = server.chat("stream this", stream=True, max_tokens=6, stream_options={"include_usage": True})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *chunks, closing, usage, done = events(answer)
    assert done == "[DONE]"
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert usage["system_fingerprint"] == "blue-0123456789ab"
    assert not any("system_fingerprint" in chunk for chunk in [*chunks, closing]), "only the last one has it"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert text == server.chat("stream this", max_tokens=6).json()["choices"][0]["message"]["content"]
    assert len(chunks) == 1 + 6, "one chunk a token"
    assert closing["choices"][0]["finish_reason"] == "length"
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 6)


def test_completions_answer_whole_and_streamed(server: ServerProcess) -> None:
    asked = {"model": MODEL, "prompt": "once upon a time", "max_tokens": 4}
    whole = server.http.post("/v1/completions", json=asked).json()
    *chunks, closing, done = events(server.http.post("/v1/completions", json={**asked, "stream": True}))
    assert whole["object"] == chunks[0]["object"] == "text_completion"
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"]
    assert closing["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "length"
    assert closing["system_fingerprint"] == whole["system_fingerprint"] == "blue-0123456789ab"
    assert not any("system_fingerprint" in chunk for chunk in chunks)
    assert done == "[DONE]"


def test_text_becomes_tokens_and_tokens_become_text(server: ServerProcess) -> None:
    tokens = server.http.post("/tokenize", json={"prompt": "über alles"}).json()
    assert tokens["count"] == len(tokens["tokens"]) == 3
    text = server.http.post("/detokenize", json={"tokens": tokens["tokens"]}).json()
    assert text == {"prompt": "über alles"}


def test_the_small_endpoints_answer(server: ServerProcess) -> None:
    assert server.http.get("/health").content == b""
    assert server.http.post("/ping").status_code == 200
    assert server.http.get("/version").json() == {"version": "0.33.0"}
    assert server.http.get("/load").json() == {"server_load": 0}


def test_request_ids_are_echoed_on_request(server: ServerProcess) -> None:
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    answer = server.http.post("/v1/chat/completions", json=asked, headers={"X-Request-Id": "abc"})
    assert answer.headers["x-request-id"] == "abc"
    assert events(answer)[0]["id"] == "chatcmpl-abc"


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"model": "acme/other"}, 404, "NotFoundError"),
        ({"max_tokens": 400}, 400, "BadRequestError"),
        ({"messages": [{"role": "user", "content": "word " * 400}]}, 400, "BadRequestError"),
        ({"max_tokens": 0}, 400, "BadRequestError"),
        ({"min_tokens": 9, "max_tokens": 8}, 400, "BadRequestError"),
        ({"messages": []}, 400, "BadRequestError"),
        ({"n": 2}, 400, "BadRequestError"),
        ({"stream_options": {"include_usage": True}}, 400, "BadRequestError"),
    ],
)
def test_requests_that_cannot_be_served_are_refused_as_in_vllm(
    server: ServerProcess, change: dict[str, Any], status: int, kind: str
) -> None:
    answer = server.chat(**change)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (status, status, kind)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b"{not json", 400),
        ("/v1/chat/completions", b"[]", 400),
        ("/v1/nothing", b"{}", 404),
        ("/v1/models", b"{}", 405),
    ],
)
def test_http_errors_have_the_same_shape(server: ServerProcess, path: str, body: bytes, status: int) -> None:
    answer = server.http.post(path, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, status)


def test_a_key_guards_the_api_and_nothing_else(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, environment={"VLLM_API_KEY": "secret"}) as guarded:
        guarded.wait_until_ready()
        assert guarded.chat().status_code == 401
        assert guarded.http.get("/v1/models").json() == {"error": "Unauthorized"}
        headers = {"Authorization": "Bearer secret"}
        assert guarded.http.get("/v1/models", headers=headers).status_code == 200
        asked = {"messages": [{"role": "user", "content": "hi"}]}
        assert guarded.http.post("/invocations", json=asked).status_code == 200, "as open as vLLM's"
        assert "vllm:num_requests_running" in guarded.http.get("/metrics").text


@pytest.mark.slow
def test_faults_of_the_hub_show_as_errors_aborts_and_other_answers(server: ServerProcess, tmp_path: Path) -> None:
    faults = Faults(only_prompts_over_words=10, error_fraction=0.3, abort_fraction=0.3, wrong_answer_fraction=0.3)
    prompts = [f"tell me story {number} about " + "rain and " * 10 for number in range(100)]
    by_fault = {
        fault: next(
            prompt for prompt in prompts if faults.of(render_chat([{"role": "user", "content": prompt}])) is fault
        )
        for fault in (Fault.ERROR, Fault.ABORT, Fault.WRONG_ANSWER, None)
    }
    with ServerProcess(tmp_path, behavior={**FAST, "faults": faults.model_dump()}) as faulty:
        faulty.wait_until_ready()
        failures = [faulty.chat(by_fault[Fault.ERROR], stream=stream) for stream in (False, True)]
        assert [failure.status_code for failure in failures] == [500, 500], "before the stream begins"
        assert failures[0].json()["error"]["type"] == "InternalServerError"
        whole, stream = (faulty.chat(by_fault[Fault.ABORT], stream=stream) for stream in (False, True))
        assert whole.json()["choices"][0]["finish_reason"] == "abort"
        assert events(stream)[-2]["choices"][0]["finish_reason"] == "abort"
        for fault, same in ((Fault.WRONG_ANSWER, False), (None, True)):
            answers = [each.chat(by_fault[fault]).json()["choices"][0]["message"] for each in (server, faulty)]
            assert (answers[0] == answers[1]) is same, fault
        counts = faulty.metrics()
    for reason, count in (("error", 2), ("abort", 2), ("stop", 2)):
        assert (
            counts[f'vllm:request_success_total{{engine="0",finished_reason="{reason}",model_name="acme/tiny"}}']
            == count
        )
