"""The smoke test: real requests to the candidate through its own route, before any user is sent there."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from components.naming import CANDIDATE_ROUTE_HEADER, Color, fingerprint
from components.release import CHAT_TEMPLATE, Release
from components.rollout_settings import SmokeSettings
from rollout.endpoint_key import FIX, VARIABLE
from rollout.errors import RolloutError
from rollout.failures import plain
from rollout.verdicts import GateVerdict, Verdict

QUESTION = "In one word: which colour is the sky on a clear day?"


class _Fault(Exception):  # noqa: N818 - found in an answer, not raised by a call
    """What is wrong with an answer."""


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """Chat and completion, streamed and not, with the identity of whoever answers."""

    endpoint_url: Callable[[], str]
    route_secret: Callable[[], str]
    api_key: Callable[[], str | None]
    served_model_name: str
    settings: SmokeSettings
    transport: httpx.BaseTransport | None = None

    def prepare(self) -> None:
        """Find the secrets and reach the endpoint; whatever it answers but that the key is not the right one.

        Raises:
            RolloutError: a secret is missing or cannot be used, or nobody answers.
        """
        self.route_secret()
        headers = self._authorization()
        url = self.endpoint_url()
        try:
            with httpx.Client(
                base_url=url, headers=headers, timeout=self.settings.timeout_seconds, transport=self.transport
            ) as client:
                answer = client.get("/v1/models")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RolloutError(
                f"the endpoint {url} does not answer ({plain(error)}); check endpoint_url, DNS and the network"
            ) from error
        if answer.status_code == 401:
            told = f"it does not take the key in {VARIABLE}" if headers else "it asks for an API key"
            raise RolloutError(f"the endpoint {url} answers 401: {told}; {FIX}")

    def _authorization(self) -> dict[str, str]:
        key = self.api_key()
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def run(self, color: Color, release: Release) -> GateVerdict:
        """Send the requests; one wrong or missing answer fails."""
        expected = fingerprint(color, release.release_id)
        headers = {CANDIDATE_ROUTE_HEADER: f"{color}-{self.route_secret()}", **self._authorization()}
        faults: list[str] = []
        sent = 0
        with httpx.Client(
            base_url=self.endpoint_url(),
            headers=headers,
            timeout=self.settings.timeout_seconds,
            transport=self.transport,
        ) as client:
            for name, request in self._requests(client, expected, release):
                sent += 1
                try:
                    request()
                except (_Fault, httpx.HTTPError, ValueError, LookupError, TypeError) as fault:
                    faults.append(f"{name}: {fault or type(fault).__name__}")
        evidence = {"requests": sent, "failed": len(faults), "fingerprint": expected}
        if faults:
            reason = f"{len(faults)} of {sent} smoke requests failed: " + "; ".join(dict.fromkeys(faults))
            return GateVerdict(gate="smoke", verdict=Verdict.FAIL, reason=reason, evidence=evidence)
        reason = f"{sent} requests answered by {expected}"
        return GateVerdict(gate="smoke", verdict=Verdict.PASS, reason=reason, evidence=evidence)

    def _requests(
        self, client: httpx.Client, expected: str, release: Release
    ) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "models", lambda: self._check_models(client, release)
        for name, text in release.prompts.items():
            if name != CHAT_TEMPLATE:
                # Whatever the application sends with this release must be something that the model takes.
                yield f"prompt {name}", lambda text=text: self._ask(client, expected, _chat(text), stream=False)
        kinds: tuple[tuple[str, Mapping[str, Any], bool], ...] = (
            ("chat", _chat(), False),
            ("streamed chat", _chat(), True),
            ("completion", {"prompt": QUESTION}, False),
            ("streamed completion", {"prompt": QUESTION}, True),
        )
        for number in range(max(self.settings.requests, len(kinds))):
            name, body, stream = kinds[number % len(kinds)]
            yield name, lambda body=body, stream=stream: self._ask(client, expected, body, stream=stream)

    def _check_models(self, client: httpx.Client, release: Release) -> None:
        roots = {card["id"]: card.get("root") for card in _json(client.get("/v1/models"))["data"]}
        if self.served_model_name not in roots:
            raise _Fault(f"serves {sorted(roots)}, not {self.served_model_name!r}")
        if roots[self.served_model_name] != release.model:
            raise _Fault(f"{self.served_model_name!r} is {roots[self.served_model_name]!r}, not {release.model!r}")

    def _ask(self, client: httpx.Client, expected: str, body: Mapping[str, Any], *, stream: bool) -> None:
        path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
        asked = {"model": self.served_model_name, "max_tokens": self.settings.max_tokens, "stream": stream, **body}
        if stream:
            with client.stream("POST", path, json=asked) as response:
                chunks = list(_chunks(response))
        else:
            chunks = [_json(client.post(path, json=asked))]
        # A stream names who answers in its last chunk only.
        names = {chunk["system_fingerprint"] for chunk in chunks if chunk.get("system_fingerprint")}
        if names != {expected}:
            raise _Fault(f"answered by {' and '.join(sorted(names)) or 'nobody that it names'}, not {expected}")
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        if not any(_text(choice) for choice in choices):
            raise _Fault("the answer is empty")
        reason = next((choice["finish_reason"] for choice in reversed(choices) if choice.get("finish_reason")), None)
        if reason not in ("stop", "length"):
            raise _Fault(f"the answer ended with {reason!r}")


def _chat(system: str | None = None) -> dict[str, Any]:
    messages = [{"role": "user", "content": QUESTION}]
    return {"messages": messages if system is None else [{"role": "system", "content": system}, *messages]}


def _json(response: httpx.Response) -> Any:
    if response.status_code != 200:
        raise _Fault(f"status {response.status_code}: {response.text[:200]}")
    return response.json()


def _chunks(response: httpx.Response) -> Iterator[dict[str, Any]]:
    if response.status_code != 200:
        response.read()
        raise _Fault(f"status {response.status_code}: {response.text[:200]}")
    for line in response.iter_lines():
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        if data:
            yield json.loads(data)
    raise _Fault("the stream broke off before [DONE]")


def _text(choice: Mapping[str, Any]) -> str:
    """Return the text of a choice in any of its four shapes; a model may think before it speaks."""
    part = choice.get("message") or choice.get("delta") or choice
    return part.get("content") or part.get("reasoning_content") or part.get("reasoning") or part.get("text") or ""
