"""The OpenAI API: reads and checks requests, and builds answers and errors in vLLM's shapes."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

ChatTemplate = Callable[[Sequence[Mapping[str, str]]], str]
"""Turns a conversation into a prompt. Raises ValueError when the template refuses it."""


class ApiError(Exception):
    """An answer other than 200, in vLLM's words."""

    def __init__(self, status: HTTPStatus, message: str, kind: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind or status.phrase, "param": param, "code": int(status)}}


def bad_request(message: str, param: str | None = None) -> ApiError:
    """Return the error for a request that vLLM reads but cannot serve."""
    return ApiError(HTTPStatus.BAD_REQUEST, message, "BadRequestError", param)


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """The fields of a chat completion or completion that this server uses."""

    chat: bool
    model: str | None
    prompt: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    min_tokens: int
    ignore_eos: bool
    stop: tuple[str, ...]
    return_prompt_text: bool


def read_body(raw: bytes, content_type: str) -> dict[str, Any]:
    """Parse the JSON object in a request. Raises ApiError (400)."""
    if content_type != "application/json":
        raise ApiError(HTTPStatus.BAD_REQUEST, "Unsupported Media Type: Only 'application/json' is allowed")
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, f"JSON decode error: {error}") from error
    if not isinstance(body, dict):
        raise ApiError(HTTPStatus.BAD_REQUEST, "Input should be a valid dictionary")
    return body


def read_completion(body: Mapping[str, Any], *, chat: bool, template: ChatTemplate | None = None) -> CompletionRequest:
    """Check and return the fields that this server uses. Raises ApiError (400)."""
    if body.get("n") not in (None, 1):
        raise bad_request("this server returns one choice: n must be 1", "n")
    stops: Any = body.get("stop") or []
    options: Any = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise bad_request("stream_options must be an object", "stream_options")
    if options and not body.get("stream"):
        raise bad_request("Stream options can only be defined when `stream=True`.", "stream_options")
    return CompletionRequest(
        chat=chat,
        model=body.get("model"),
        prompt=render_chat(body.get("messages"), template) if chat else _read_prompt(body.get("prompt")),
        stream=bool(body.get("stream")),
        include_usage=bool(options.get("include_usage")),
        max_tokens=_read_count(body, "max_completion_tokens", 1)
        or _read_count(body, "max_tokens", 1)
        or (None if chat else 16),
        min_tokens=_read_count(body, "min_tokens", 0) or 0,
        ignore_eos=bool(body.get("ignore_eos")),
        stop=tuple([stops] if isinstance(stops, str) else stops),
        return_prompt_text=chat and bool(body.get("return_prompt_text")),
    )


def _read_count(body: Mapping[str, Any], name: str, least: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise bad_request(f"{name} must be at least {least}, got {value}.", name)
    return value


def _read_prompt(prompt: Any) -> str:
    if not isinstance(prompt, str) or not prompt:
        raise bad_request("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    return prompt


def render_chat(messages: Any, template: ChatTemplate | None = None) -> str:
    """Return the prompt of a conversation. Raises ApiError (400)."""
    if not isinstance(messages, list) or not messages:
        raise bad_request("messages must be a non-empty list", "messages")
    turns: list[dict[str, str]] = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise bad_request("every message must be an object with a role", "messages")
        content: Any = message.get("content") or ""
        if isinstance(content, list):
            content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        turns.append({"role": message["role"], "content": str(content)})
    if template is None:
        return "".join([*(f"<|{turn['role']}|>\n{turn['content']}\n" for turn in turns), "<|assistant|>\n"])
    try:
        return template(turns)
    except ValueError as error:
        raise bad_request(str(error)) from error


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of an answer. `cached_tokens` is None when the server does not report details."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None

    def body(self) -> dict[str, Any]:
        """Return the counts in the API's form."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "completion_tokens": self.completion_tokens,
            "prompt_tokens_details": None if self.cached_tokens is None else {"cached_tokens": self.cached_tokens},
        }


class ServedAnswer:
    """The envelope of one answer: a whole body, or the chunks of a stream."""

    def __init__(self, request_id: str, model: str, fingerprint: str | None, *, chat: bool) -> None:
        self._chat = chat
        self._head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{request_id}",
            "object": ("chat.completion.chunk" if chat else "text_completion"),
            "created": int(time.time()),
            "model": model,
        }
        self._signature = {"system_fingerprint": fingerprint}
        # The many chunks of a stream differ only in a text, so serialise the rest once.
        delta: dict[str, Any] = {"delta": {"content": "@"}} if chat else {"text": "@"}
        template = self._event([{"index": 0, **delta, "logprobs": None, "finish_reason": None}])
        self._before, self._after = template.split(b'"@"')

    def whole(self, text: str, finish_reason: str, usage: Usage, *, prompt_text: str | None = None) -> dict[str, Any]:
        """Return the body of an answer without streaming."""
        content: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason, "stop_reason": None}
        return {
            **self._head,
            "object": "chat.completion" if self._chat else "text_completion",
            "choices": [choice],
            "usage": usage.body(),
            **self._signature,
            **({} if prompt_text is None else {"prompt_text": prompt_text}),
        }

    def opening_event(self) -> bytes:
        """Return the event with the role, which vLLM sends with the first token of a chat."""
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        return self._event([choice])

    def text_event(self, text: str) -> bytes:
        """Return the event with a piece of the answer."""
        return self._before + json.dumps(text).encode() + self._after

    def closing_event(self, finish_reason: str, *, last: bool) -> bytes:
        """Return the event that ends the choice. Only the last event of a stream has the fingerprint."""
        content: dict[str, Any] = {"delta": {"content": ""}} if self._chat else {"text": ""}
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason, "stop_reason": None}
        return self._event([choice], **self._signature if last else {})

    def usage_event(self, usage: Usage) -> bytes:
        """Return the event for `stream_options.include_usage`."""
        return self._event([], usage=usage.body(), **self._signature)

    def _event(self, choices: Sequence[Mapping[str, Any]], **more: Any) -> bytes:
        body = {**self._head, "choices": choices, **more}
        return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


DONE_EVENT = b"data: [DONE]\n\n"
