"""The judge's API is asked with the user's key, which nothing shows, and again where that may help."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from components.config.sections.check_settings import JudgeSettings
from rollout.adapters.judge_model import HttpJudge
from rollout.model.errors import RolloutError
from tests.rollout.checks.evals.judges import JudgeServer

SHOWN = "<answer-A>\n1 + 1 = 2.\n</answer-A>\n\n<answer-B>\n1 + 1 = 3.\n</answer-B>"
BASE = {"url": "https://judge/v1", "model": "j", "prompts": "p.jsonl", "labels": "l.jsonl"}


def judge(folder: Path, server: JudgeServer, slept: list[float] | None = None, **more: Any) -> HttpJudge:
    return HttpJudge(
        settings=JudgeSettings.model_validate({**BASE, **more}),
        folder=folder,
        sleep=(slept if slept is not None else []).append,
        transport=httpx.MockTransport(server),
    )


def test_it_is_asked_with_the_key_of_the_moment(tmp_path: Path) -> None:
    server = JudgeServer()
    asked = judge(tmp_path, server, api_key_from={"file": "key"})
    for key in ("one", "two"):
        (tmp_path / "key").write_text(f"{key}\n")
        assert asked.ask("Judge.", SHOWN).text == "Because. [[A]]"
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer one", "Bearer two"]
    body = json.loads(server.requests[0].content)
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("j", 0, 1024)
    assert str(server.requests[0].url) == "https://judge/v1/chat/completions"


def test_what_the_model_does_not_take_is_not_sent(tmp_path: Path) -> None:
    server = JudgeServer()
    judge(tmp_path, server, max_tokens=None, temperature=None).ask("Judge.", SHOWN)
    assert json.loads(server.requests[0].content).keys() == {"model", "messages"}
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(("statuses", "requests"), [([429, 503], 3), ([429] * 9, 4), ([401], 1), ([404], 1)])
def test_only_what_may_pass_is_asked_again(tmp_path: Path, statuses: list[int], requests: int) -> None:
    server, slept = JudgeServer(), list[float]()
    server.statuses = list(statuses)
    answer = judge(tmp_path, server, slept).ask("Judge.", SHOWN)
    assert (len(server.requests), len(slept)) == (requests, requests - 1)
    assert (answer.error is None) == (requests == 3)


def test_an_error_does_not_show_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "s3cret")
    server = JudgeServer()
    server.statuses = [401]
    answer = judge(tmp_path, server, api_key_from={"env": "JUDGE_KEY"}).ask("Judge.", SHOWN)
    assert answer.error == "the judge: status 401: no: Bearer <key>"


ODD_KEY = 'sk-a/b"c&d<e'


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize(
    "spelled",
    [
        ODD_KEY,
        json.dumps(ODD_KEY)[1:-1],
        r"sk-a\/b\"c&d<e",
        r"sk-a/b\"c\u0026d\u003ce",
        "sk-a/b&quot;c&amp;d&lt;e",
        "sk-a%2Fb%22c%26d%3Ce",
    ],
)
def test_no_answer_brings_the_key_into_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, spelled: str
) -> None:
    monkeypatch.setenv("JUDGE_KEY", ODD_KEY)
    for body in (
        f"no: {spelled}",
        f'{{"error": {{"message": "bad key {spelled}"}}}}',
        f'{{"error": "{"z" * 180}{spelled}"}}',
    ):
        asked = judge(tmp_path, JudgeServer(), api_key_from={"env": "JUDGE_KEY"})
        asked.transport = httpx.MockTransport(lambda _request, text=body: httpx.Response(status, text=text))
        error = asked.ask("Judge.", SHOWN).error
        assert error is not None
        assert "<" in error  # where the key was
        assert "sk-a" not in error


def answered(folder: Path, response: httpx.Response) -> str:
    asked = judge(folder, JudgeServer())
    asked.transport = httpx.MockTransport(lambda _request: response)
    return asked.ask("Judge.", SHOWN).error or ""


@pytest.mark.parametrize("body", ["hello", "<h1>Log in</h1>", "[1]", "null", '{"choices": "x"}', "[" * 100_000, ""])
def test_an_answer_that_is_no_judgement_is_shown(tmp_path: Path, body: str) -> None:
    error = answered(tmp_path, httpx.Response(200, text=body))
    assert "is not that of an OpenAI-compatible API; check rollout.gates.eval.judge.url. It begins with: " in error
    assert error.endswith(body[:200] or "nothing")


def test_a_redirect_is_named_with_its_fix(tmp_path: Path) -> None:
    error = answered(tmp_path, httpx.Response(307, headers={"location": "https://other/v1?token=s3cret"}))
    assert 'it redirects to "https://other/", and is not followed. Set rollout.gates.eval.judge.url' in error
    assert "s3cret" not in error


def test_an_answer_without_an_end_ends_at_the_time_limit(tmp_path: Path) -> None:
    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b" "

    asked = judge(tmp_path, JudgeServer(), request_timeout_seconds=0.01)
    asked.transport = httpx.MockTransport(lambda _request: httpx.Response(200, stream=Endless()))
    said = asked.ask("Judge.", SHOWN).error
    assert said == ("the judge: it did not answer within 0.01 s (rollout.gates.eval.judge.request_timeout_seconds)")


def test_an_answer_that_is_too_long_is_not_kept(tmp_path: Path) -> None:
    assert answered(tmp_path, httpx.Response(200, content=b" " * (17 * 2**20))).endswith("is longer than 16 MiB")


def test_a_key_that_is_not_there_is_refused_beforehand(tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match=r"judge\.api_key_from\.env: the variable NO_KEY is not set"):
        judge(tmp_path, JudgeServer(), api_key_from={"env": "NO_KEY"}).prepare()


def test_a_key_is_not_sent_in_clear_text() -> None:
    keyed = {**BASE, "api_key_from": {"env": "KEY"}}
    with pytest.raises(ValidationError, match="must begin with https://, because api_key_from"):
        JudgeSettings.model_validate({**keyed, "url": "http://judge.internal/v1"})
    JudgeSettings.model_validate({**keyed, "url": "http://127.0.0.1:8080/v1"})
    JudgeSettings.model_validate({**BASE, "url": "http://judge.internal/v1"})


def test_no_url_with_a_key_is_shown_and_none_names_the_endpoint_itself() -> None:
    with pytest.raises(ValidationError, match="must be an http") as refused:
        JudgeSettings.model_validate({**BASE, "url": "https://judge/v1?key=precious"})
    (violation,) = refused.value.errors()[0].get("ctx", {})["violations"]
    assert violation.line() == (
        "all of it: must be an http(s) URL, e.g. https://judge.internal/v1 (got a text that may contain a key, so it "
        "is not shown). Remove the query and the fragment."
    )
    with pytest.raises(ValidationError, match="must be an http"):
        JudgeSettings.model_validate({**BASE, "url": "https://judge/v1/chat/completions"})
