"""The user's judge: a model behind an OpenAI-compatible API. Its key is read at each request, and never shown."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx

from components.config.sections.check_settings import JudgeSettings
from rollout.adapters.secret import WORD, read_secret
from rollout.model.answers import Answer, read_chunks, read_error
from rollout.system.failures import describe_error

FIELD: Final = "rollout.gates.eval.judge.api_key_from"
_LATER: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""
_DELAYS_SECONDS: Final = (1.0, 3.0, 9.0)


@dataclass(kw_only=True)
class HttpJudge:
    """Asks the judge. Safe to use from several threads."""

    settings: JudgeSettings
    folder: Path
    """The folder of the program, which relative paths are below."""
    sleep: Callable[[float], None] = time.sleep
    transport: httpx.BaseTransport | None = field(default=None)

    def prepare(self) -> None:
        """Read the API key. Raises RolloutError when it cannot be read."""
        self._key()

    def ask(self, system: str, user: str) -> Answer:
        """Ask for a judgement, again where that may help. Any failure becomes the answer's ``error``."""
        asked: dict[str, Any] = {
            "model": self.settings.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        }
        options = {"max_tokens": self.settings.max_tokens, "temperature": self.settings.temperature}
        asked |= {name: value for name, value in options.items() if value is not None}
        key = self._key()
        answer = self._once(asked, key)
        for delay_seconds in _DELAYS_SECONDS:
            if answer.error is None or (answer.status is not None and answer.status not in _LATER):
                break
            self.sleep(delay_seconds)
            answer = self._once(asked, key)
        return answer

    def _once(self, asked: Mapping[str, Any], key: str | None) -> Answer:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        try:
            response = self._client.post(
                f"{self.settings.url.rstrip('/')}/chat/completions", json=asked, headers=headers
            )
            if response.status_code != 200:
                text = response.text if key is None else response.text.replace(key, "<key>")
                return Answer(status=response.status_code, error=f"the judge: {read_error(response.status_code, text)}")
            reading = read_chunks([response.json()])
        except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError) as error:
            return Answer(status=None, error=f"the judge: {describe_error(error)}")
        return Answer(status=200, text=reading.text, error=reading.error and f"the judge: {reading.error}")

    def _key(self) -> str | None:
        source = self.settings.api_key_from
        return None if source is None else read_secret(FIELD, source, self.folder, WORD, "the judge's API key")

    @cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=self.settings.request_timeout_seconds, transport=self.transport)
