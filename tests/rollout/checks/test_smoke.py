"""The smoke test against a mocked candidate."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from components.config.sections.check_settings import SmokeSettings
from components.domain.naming import fingerprint
from rollout.adapters.candidate_route import CandidateRoute
from rollout.checks.smoke import QUESTION, Smoke
from rollout.model.errors import RolloutError
from rollout.model.verdict import GateVerdict, Verdict
from rollout.system.endpoint_key import endpoint_key
from tests.rollout.fakes import NEW

RELEASE = NEW.model_copy(update={"prompts": {"system.txt": "Be brief.", "chat_template.jinja": "{{ x }}"}})
Edit = Callable[[dict[str, Any]], object]
TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}<|assistant|>\n"
FINGERPRINT = fingerprint("green", RELEASE.release_id)


class Candidate:
    """Answers as a good candidate would, unless a test edits the answers."""

    def __init__(self, edit: Edit = lambda _: None) -> None:
        self.edit = edit
        self.requests: list[httpx.Request] = []
        self.done = "data: [DONE]\n\n"
        self.root = RELEASE.model
        self.status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "chat", "root": self.root}]})
        asked = json.loads(request.content)
        chat = request.url.path == "/v1/chat/completions"
        text: dict[str, Any] = {"message": {"content": "Blue."}} if chat else {"text": "Blue."}
        if chat and asked["stream"]:
            text = {"delta": {"content": "Blue."}}
        body: dict[str, Any] = {"system_fingerprint": FINGERPRINT, "choices": [{"finish_reason": "stop", **text}]}
        self.edit(body)
        if asked["stream"]:
            # Only the last chunk contains the fingerprint.
            first: dict[str, Any] = {"choices": [{"finish_reason": None, "delta": {}}]}
            chunks = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in (first, body))
            return httpx.Response(self.status, text=chunks + self.done)
        return httpx.Response(self.status, json=body)


def _smoke(candidate: Candidate, requests: int = 8, api_key: str | None = None) -> Smoke:
    return Smoke(
        route=_route(candidate, lambda: api_key), served_model_name="chat", settings=SmokeSettings(requests=requests)
    )


def _route(answer: Callable[[httpx.Request], httpx.Response], api_key: Callable[[], str | None]) -> CandidateRoute:
    return CandidateRoute(
        endpoint_url=lambda: "http://service",
        route_secret=lambda: "s3cret",
        api_key=api_key,
        served_model_name="chat",
        transport=httpx.MockTransport(answer),
    )


def smoke(candidate: Candidate, requests: int = 8, api_key: str | None = None) -> GateVerdict:
    return _smoke(candidate, requests, api_key).run("green", RELEASE)


def test_a_good_candidate_passes_and_is_asked_in_every_way() -> None:
    candidate = Candidate()
    assert smoke(candidate).verdict is Verdict.PASS
    assert {request.headers["x-candidate-route"] for request in candidate.requests} == {"green-s3cret"}
    bodies = [json.loads(request.content) for request in candidate.requests if request.method == "POST"]
    assert {(("messages" in body), body["stream"]) for body in bodies} == {
        (chat, stream) for chat in (True, False) for stream in (True, False)
    }
    chats = [body["messages"] for body in bodies if "messages" in body]
    assert [chat[0]["content"] for chat in chats if chat[0]["role"] == "system"] == ["Be brief."]
    assert len(candidate.requests) == 1 + 2 + 8


def test_even_one_request_asks_in_every_way() -> None:
    candidate = Candidate()
    smoke(candidate, requests=1)
    assert len(candidate.requests) == 1 + 2 + 4


WRONG: list[tuple[Edit, str]] = [
    (lambda body: body.update(system_fingerprint="blue-0123456789ab"), "answered by blue-0123456789ab"),
    (lambda body: body.pop("system_fingerprint"), "answered by an unnamed server"),
    (lambda body: body["choices"][0].update(finish_reason="abort"), "ended with 'abort'"),
    (lambda body: body["choices"][0].update(message={}, delta={}, text=""), "empty"),
    (lambda body: body.update(choices=[]), "empty"),
]


@pytest.mark.parametrize(("edit", "named"), WRONG)
def test_a_wrong_answer_fails(edit: Edit, named: str) -> None:
    verdict = smoke(Candidate(edit))
    assert verdict.verdict is Verdict.FAIL
    assert named in verdict.reason


def test_a_stream_that_breaks_off_fails() -> None:
    candidate = Candidate()
    candidate.done = ""
    assert "broke off" in smoke(candidate).reason


def test_another_model_fails() -> None:
    candidate = Candidate()
    candidate.root = "acme/other"
    assert "'acme/other'" in smoke(candidate).reason


def test_errors_fail() -> None:
    candidate = Candidate()
    candidate.status = 503
    verdict = smoke(candidate)
    assert verdict.verdict is Verdict.FAIL
    assert verdict.evidence["failed"] == 10
    assert "status 503" in verdict.reason


def judged(prompts: dict[str, str], prompt_text: str) -> GateVerdict:
    """Return the smoke verdict on a candidate with these prompts that renders every chat as this text."""
    release = RELEASE.model_copy(update={"prompts": prompts})
    name = fingerprint("green", release.release_id)
    candidate = Candidate(lambda body: body.update(prompt_text=prompt_text, system_fingerprint=name))
    return _smoke(candidate).run("green", release)


def test_prompts_are_in_effect_when_the_server_shows_what_the_release_makes_of_them() -> None:
    verdict = judged({"system.txt": "Be  brief."}, "<s>[INST] Be brief.\n\nIn one word")
    assert (verdict.verdict, verdict.evidence["prompts_in_effect"]) == (Verdict.PASS, 1)
    assert "prompts in effect: system.txt" in verdict.reason


def test_a_prompt_that_does_not_reach_the_model_fails() -> None:
    verdict = judged({"system.txt": "Be brief."}, "<s>[INST] In one word")
    assert verdict.verdict is Verdict.FAIL
    assert "prompt system.txt: the chat template leaves it out" in verdict.reason


def test_a_chat_template_that_is_not_in_effect_fails() -> None:
    prompts = {"chat_template.jinja": TEMPLATE}
    assert judged(prompts, f"<|user|> {QUESTION} <|assistant|>").verdict is Verdict.PASS
    verdict = judged(prompts, f"[INST] {QUESTION} [/INST]")
    assert verdict.verdict is Verdict.FAIL
    assert "prompt chat_template.jinja: the chat template is not in effect" in verdict.reason


def test_a_server_that_does_not_show_prompts_is_believed_and_said_to_be() -> None:
    verdict = smoke(Candidate())
    assert (verdict.verdict, verdict.evidence["prompts_in_effect"]) == (Verdict.PASS, 0)
    assert "prompts in effect: none shown by the server" in verdict.reason


class Unreachable(Candidate):
    def __call__(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)


def test_a_service_that_cannot_be_reached_fails() -> None:
    assert smoke(Unreachable()).verdict is Verdict.FAIL


def test_a_service_with_an_api_key_is_asked_with_it() -> None:
    candidate = Candidate()
    assert smoke(candidate, api_key="sesame").verdict is Verdict.PASS
    assert {request.headers["authorization"] for request in candidate.requests} == {"Bearer sesame"}


def test_a_service_without_one_gets_no_key() -> None:
    candidate = Candidate()
    smoke(candidate)
    assert not any("authorization" in request.headers for request in candidate.requests)


def test_without_the_operators_key_no_request_is_sent() -> None:
    candidate = Candidate()
    without = _route(candidate, lambda: endpoint_key({}, required=True))
    with pytest.raises(RolloutError, match="ENDPOINT_API_KEY: is not set"):
        without.prepare()
    assert candidate.requests == []


@pytest.mark.parametrize(
    ("api_key", "reported"),
    [("sesame", "rejects the key in ENDPOINT_API_KEY"), (None, "asks for an API key; put the service's API key")],
)
def test_a_key_that_is_not_taken_is_found_before_the_rollout_and_not_shown(api_key: str | None, reported: str) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        assert request.headers.get("authorization") == (api_key and f"Bearer {api_key}")
        return httpx.Response(401, json={"error": "Unauthorized"})

    candidate = Candidate()
    with pytest.raises(RolloutError, match=reported) as raised:
        _route(refuse, lambda: api_key).prepare()
    assert "sesame" not in str(raised.value)
    _smoke(candidate, api_key=api_key).prepare()
