"""The smoke test: real requests to the candidate through its own route, before it gets any user traffic.

It also checks that the release's prompts are in effect, if the server returns the rendered prompt (vLLM since 0.24).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.config.release.release import CHAT_TEMPLATE, Release
from components.config.sections.check_settings import SmokeSettings
from components.domain.naming import Color, fingerprint
from rollout.checks.prompt_presence import missing_text, template_error
from rollout.model.answers import Answer
from rollout.model.errors import RolloutError
from rollout.model.verdict import GateVerdict, Verdict
from rollout.ports import Route

GATE = "smoke"
QUESTION = "In one word: which colour is the sky on a clear day?"


class _SmokeError(Exception):
    """An answer is wrong. The message says how."""


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """Sends chats and completions, streamed and not, and checks which release answers."""

    route: Route
    served_model_name: str
    settings: SmokeSettings
    unseen: set[str] = field(default_factory=set[str], init=False)
    """Prompts whose rendered text the server did not return."""

    def prepare(self) -> None:
        """Make sure that the endpoint can be reached.

        Raises:
            RolloutError: a secret is missing or unusable, or the endpoint does not answer.
        """
        self.route.prepare()

    def run(self, color: Color, release: Release) -> GateVerdict:
        """Send the requests. One wrong or missing answer fails the candidate."""
        expected = fingerprint(color, release.release_id)
        errors: list[str] = []
        sent = 0
        self.unseen.clear()
        for name, request in self._requests(color, expected, release):
            sent += 1
            try:
                request()
            except (_SmokeError, RolloutError) as error:
                errors.append(f"{name}: {error}")
        evidence: dict[str, float | int | str | None] = {
            "requests": sent,
            "failed": len(errors),
            "fingerprint": expected,
        }
        if errors:
            reason = f"{len(errors)} of {sent} smoke requests failed: " + "; ".join(dict.fromkeys(errors))
            return GateVerdict(gate=GATE, verdict=Verdict.FAIL, reason=reason, evidence=evidence)
        reason = f"{sent} requests answered by {expected}"
        if release.prompts:
            seen = [name for name in release.prompts if name not in self.unseen]
            reason += f"; prompts in effect: {', '.join(seen) or 'none shown by the server'}"
            evidence["prompts_in_effect"] = len(seen)
        return GateVerdict(gate=GATE, verdict=Verdict.PASS, reason=reason, evidence=evidence)

    def _requests(self, color: Color, expected: str, release: Release) -> Iterator[tuple[str, Callable[[], object]]]:
        yield "models", lambda: self._check_models(color, release)
        for name, text in release.prompts.items():
            if name == CHAT_TEMPLATE:
                yield f"prompt {name}", lambda name=name, text=text: self._check_template(color, expected, name, text)
            else:
                # The model must accept the prompts that the application sends with this release.
                yield f"prompt {name}", lambda name=name, text=text: self._check_prompt(color, expected, name, text)
        kinds: tuple[tuple[str, Mapping[str, Any], bool], ...] = (
            ("chat", _chat(), False),
            ("streamed chat", _chat(), True),
            ("completion", {"prompt": QUESTION}, False),
            ("streamed completion", {"prompt": QUESTION}, True),
        )
        for number in range(max(self.settings.requests, len(kinds))):
            name, body, stream = kinds[number % len(kinds)]
            yield name, lambda body=body, stream=stream: self._ask(color, expected, body, stream=stream)

    def _check_prompt(self, color: Color, expected: str, name: str, text: str) -> None:
        answer = self._ask(color, expected, {**_chat(text), "return_prompt_text": True})
        if answer.prompt_text is None:
            self.unseen.add(name)
        elif missing_text(text, answer.prompt_text):
            raise _SmokeError("the chat template leaves it out, so it did not reach the model")

    def _check_template(self, color: Color, expected: str, name: str, template: str) -> None:
        body = _chat()
        answer = self._ask(color, expected, {**body, "return_prompt_text": True})
        if answer.prompt_text is None:
            self.unseen.add(name)
        elif error := template_error(template, body["messages"], answer.prompt_text):
            raise _SmokeError(error)

    def _check_models(self, color: Color, release: Release) -> None:
        roots = self.route.models(color, timeout_seconds=self.settings.timeout_seconds)
        if self.served_model_name not in roots:
            raise _SmokeError(f"serves {sorted(roots)}, not {self.served_model_name!r}")
        if roots[self.served_model_name] != release.model:
            raise _SmokeError(f"{self.served_model_name!r} is {roots[self.served_model_name]!r}, not {release.model!r}")

    def _ask(self, color: Color, expected: str, body: Mapping[str, Any], *, stream: bool = False) -> Answer:
        asked = {"max_tokens": self.settings.max_tokens, **body}
        answer = self.route.ask(color, asked, stream=stream, timeout_seconds=self.settings.timeout_seconds)
        if answer.status != 200:
            raise _SmokeError(answer.error or "no answer")
        if answer.fingerprint != expected:
            raise _SmokeError(f"answered by {answer.fingerprint or 'an unnamed server'}, not {expected}")
        if answer.error:
            raise _SmokeError(answer.error)
        if not (answer.text or answer.reasoning or answer.tool_calls):
            raise _SmokeError("the answer is empty")
        return answer


def _chat(system: str | None = None) -> dict[str, Any]:
    messages = [{"role": "user", "content": QUESTION}]
    return {"messages": messages if system is None else [{"role": "system", "content": system}, *messages]}
