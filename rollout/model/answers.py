"""Answers of the OpenAI API as a client sees them, read from a whole body or from the events of a stream."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/v1/completions"

GOOD_FINISHES = frozenset({"stop", "length", "tool_calls"})
"""The finish reasons of a complete answer. Aborts and errors may also come with status 200."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one request."""

    status: int | None
    """The HTTP status. None when no server answered."""
    text: str = ""
    """The model's answer, without its reasoning."""
    reasoning: str = ""
    """The model's reasoning, if the server returns it."""
    tool_calls: tuple[str, ...] = ()
    """The name of each tool that the model calls, then its arguments as JSON."""
    fingerprint: str | None = None
    """The ``system_fingerprint``, which identifies the colour and the release that answered."""
    finish_reason: str | None = None
    prompt_text: str | None = None
    """The prompt after the chat template, if the request asked for it (``return_prompt_text``)."""
    ttft_seconds: float | None = None
    """Time to first token. None unless the answer was streamed."""
    inter_token_seconds: tuple[float, ...] = ()
    """Times between the events of a stream that carry tokens."""
    total_seconds: float = 0.0
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    """Tokens by the server's count. None when it does not say: in a stream, only ``include_usage`` makes it."""
    error: str | None = None
    """Why this is not a valid answer: no connection, an error status, a broken stream, invalid JSON, or a bad end."""

    def by(self, expected: str) -> "Answer":
        """Return the answer, marked as an error if its fingerprint is not ``expected``."""
        if self.error or self.fingerprint == expected:
            return self
        return replace(self, error=f"answered by {self.fingerprint or 'an unnamed server'}, not {expected}")


@dataclass(frozen=True, kw_only=True)
class AnswerFields:
    """The fields of an answer that come from its body."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[str, ...] = ()
    fingerprint: str | None = None
    finish_reason: str | None = None
    prompt_text: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    error: str | None = None


def path_of(body: Mapping[str, Any]) -> str:
    """Return the path of the endpoint that takes this request body."""
    return CHAT_PATH if "messages" in body else COMPLETION_PATH


def read_error(status: int, text: str) -> str:
    """Return an error status and the first 200 characters of its body as one message."""
    return f"status {status}: {text[:200]}"


def read_chunks(chunks: Iterable[Mapping[str, Any]]) -> AnswerFields:
    """Read a whole answer (one chunk) or all chunks of a stream.

    Only the first choice is read. In a stream, the fingerprint may come in the last chunk only.
    """
    texts: list[str] = []
    thoughts: list[str] = []
    calls: dict[int, list[str]] = {}
    names: list[str] = []
    finish_reason: str | None = None
    prompt_text: str | None = None
    usage: Mapping[str, Any] = {}
    for chunk in chunks:
        if error := chunk.get("error"):
            return AnswerFields(error=f"the answer is an error: {json.dumps(error, ensure_ascii=False)[:200]}")
        if (name := chunk.get("system_fingerprint")) and name not in names:
            names.append(str(name))
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) != 0:
                continue
            part: Mapping[str, Any] = choice.get("message") or choice.get("delta") or choice
            texts.append(part.get("content") or part.get("text") or "")
            thoughts.append(part.get("reasoning_content") or part.get("reasoning") or "")
            _add_calls(calls, part.get("tool_calls") or ())
            finish_reason = choice.get("finish_reason") or finish_reason
        prompt_text = prompt_text or chunk.get("prompt_text")
        usage = chunk.get("usage") or usage
    error = None if finish_reason in GOOD_FINISHES else f"the answer ended with {finish_reason!r}"
    if not texts:
        error = "the answer is empty"
    return AnswerFields(
        text="".join(texts),
        reasoning="".join(thoughts),
        tool_calls=tuple("".join(parts) for _, parts in sorted(calls.items())),
        fingerprint=" and ".join(names) or None,
        finish_reason=finish_reason,
        prompt_text=prompt_text,
        prompt_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        error=error,
    )


def carries_tokens(chunk: Mapping[str, Any]) -> bool:
    """Return whether an event of a stream carries tokens, not only the role, the finish reason or the usage."""
    for choice in chunk.get("choices") or ():
        part: Mapping[str, Any] = choice.get("delta") or choice
        if any(part.get(key) for key in ("content", "text", "reasoning_content", "reasoning", "tool_calls")):
            return True
    return False


def _add_calls(calls: dict[int, list[str]], parts: Iterable[Mapping[str, Any]]) -> None:
    """Add tool calls. In a stream, their arguments arrive in pieces."""
    for position, part in enumerate(parts):
        function: Mapping[str, Any] = part.get("function") or {}
        pieces = calls.setdefault(part.get("index", position), [])
        if name := function.get("name"):
            pieces.append(f"{name} ")
        pieces.append(function.get("arguments") or "")
