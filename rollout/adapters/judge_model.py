"""The user's judge: a model behind an OpenAI-compatible API. Its key is read at each request, and never shown."""

import html
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from components.config.sections.check_settings import JudgeSettings
from rollout.adapters.prometheus import redirect_origin
from rollout.adapters.secret import WORD, read_secret
from rollout.model.answers import Answer, read_chunks, read_error
from rollout.system.failures import describe_error, one_line

FIELD: Final = "rollout.gates.eval.judge.api_key_from"
_LATER: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""
_DELAYS_SECONDS: Final = (1.0, 3.0, 9.0)
_MOST_BYTES: Final = 16 * 2**20
_SHOWN_CHARACTERS: Final = 200


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
        url = f"{self.settings.url.rstrip('/')}/chat/completions"
        try:
            with self._client.stream("POST", url, json=asked, headers=headers) as response:
                text = self._whole(response)
        except httpx.TimeoutException:
            limit = f"{self.settings.request_timeout_seconds:g} s (rollout.gates.eval.judge.request_timeout_seconds)"
            return Answer(status=None, error=f"the judge: it did not answer within {limit}")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return Answer(status=None, error=f"the judge: {_without(key, describe_error(error))}")
        answer = _read(response, text)
        if answer.error is not None:
            # The key is removed before the text is shortened, and once more from what an escape had hidden.
            answer = _read(response, _without(key, text))
            return replace(answer, error=f"the judge: {_without(key, answer.error or '')}")
        return answer

    def _whole(self, response: httpx.Response) -> str:
        """Return the body. httpx limits only the time between two parts of it."""
        ends = time.monotonic() + self.settings.request_timeout_seconds
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if time.monotonic() > ends:
                raise httpx.ReadTimeout("the body is not complete")
            if len(body) > _MOST_BYTES:
                raise ValueError(f"its answer is longer than {_MOST_BYTES // 2**20} MiB")
        return body.decode("utf-8", errors="replace")

    def _key(self) -> str | None:
        source = self.settings.api_key_from
        return None if source is None else read_secret(FIELD, source, self.folder, WORD, "the judge's API key")

    @cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=self.settings.request_timeout_seconds, transport=self.transport)


def _read(response: httpx.Response, text: str) -> Answer:
    status = response.status_code
    if response.has_redirect_location:
        where = redirect_origin(response)
        fix = "Set rollout.gates.eval.judge.url to what it leads to"
        return Answer(status=status, error=f"status {status}: it redirects to {where}, and is not followed. {fix}")
    if status != 200:
        return Answer(status=status, error=read_error(status, text))
    try:
        reading = read_chunks([json.loads(text)])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        start = one_line(text[:_SHOWN_CHARACTERS]) or "nothing"
        what = "its answer is not that of an OpenAI-compatible API; check rollout.gates.eval.judge.url"
        return Answer(status=status, error=f"{what}. It begins with: {start}")
    return Answer(status=status, text=reading.text, finish_reason=reading.finish_reason, error=reading.error)


def _without(key: str | None, text: str) -> str:
    """Return a text without the key, however JSON, HTML or a URL spells it."""
    if key is None:
        return text
    in_json = json.dumps(key)[1:-1]
    # Go's encoder also escapes what is special in HTML: https://pkg.go.dev/encoding/json#HTMLEscape
    in_go = in_json.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    for spelled in (key, in_json, in_json.replace("/", "\\/"), in_go, html.escape(key), quote(key, safe="")):
        text = text.replace(spelled, "<key>")
    return text
