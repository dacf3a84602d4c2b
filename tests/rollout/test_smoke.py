"""The smoke test against a mocked candidate."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from components.naming import fingerprint
from components.rollout_settings import SmokeSettings
from rollout.smoke import Smoke
from rollout.verdicts import GateVerdict, Verdict
from tests.rollout.fakes import NEW

RELEASE = NEW.model_copy(update={"prompts": {"system.txt": "Be brief.", "chat_template.jinja": "{{ x }}"}})
Edit = Callable[[dict[str, Any]], object]
FINGERPRINT = fingerprint("green", RELEASE.release_id)


class Candidate:
    """Answers as a good candidate would, until told otherwise."""

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
            # Only the last chunk says who answers.
            first: dict[str, Any] = {"choices": [{"finish_reason": None, "delta": {}}]}
            chunks = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in (first, body))
            return httpx.Response(self.status, text=chunks + self.done)
        return httpx.Response(self.status, json=body)


def smoke(candidate: Candidate, requests: int = 8) -> GateVerdict:
    return Smoke(
        endpoint_url=lambda: "http://service",
        route_secret=lambda: "s3cret",
        served_model_name="chat",
        settings=SmokeSettings(requests=requests),
        transport=httpx.MockTransport(candidate),
    ).run("green", RELEASE)


def test_a_good_candidate_passes_and_is_asked_in_every_way() -> None:
    candidate = Candidate()
    assert smoke(candidate).verdict is Verdict.PASS
    assert {request.headers["x-candidate-route"] for request in candidate.requests} == {"green-s3cret"}
    bodies = [json.loads(request.content) for request in candidate.requests if request.method == "POST"]
    assert {(("messages" in body), body["stream"]) for body in bodies} == {
        (chat, stream) for chat in (True, False) for stream in (True, False)
    }
    assert next(body["messages"][0]["content"] for body in bodies if "messages" in body) == "Be brief."
    assert len(candidate.requests) == 1 + 1 + 8


def test_even_one_request_asks_in_every_way() -> None:
    candidate = Candidate()
    smoke(candidate, requests=1)
    assert len(candidate.requests) == 1 + 1 + 4


WRONG: list[tuple[Edit, str]] = [
    (lambda body: body.update(system_fingerprint="blue-0123456789ab"), "answered by blue-0123456789ab"),
    (lambda body: body.pop("system_fingerprint"), "answered by nobody"),
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
    assert verdict.evidence["failed"] == 9
    assert "status 503" in verdict.reason


class Unreachable(Candidate):
    def __call__(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)


def test_a_service_that_cannot_be_reached_fails() -> None:
    assert smoke(Unreachable()).verdict is Verdict.FAIL
