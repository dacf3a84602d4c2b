"""Answers of the OpenAI API as a client sees them: read from a whole body or from the events of a stream."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/v1/completions"

GOOD_FINISHES = frozenset({"stop", "length", "tool_calls"})
"""How an answer ends that is all there; an abort or an error may come with status 200."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for one request."""

    status: int | None
    """The HTTP status; none when nobody answered."""
    text: str = ""
    """What the model said, without what it thought before."""
    reasoning: str = ""
    """What it thought before it spoke, where the server shows that."""
    tool_calls: tuple[str, ...] = ()
    """Name and arguments of each tool that it calls, as JSON."""
    fingerprint: str | None = None
    """The ``system_fingerprint``: which colour and release answered."""
    finish_reason: str | None = None
    prompt_text: str | None = None
    """The prompt as the chat template made it, when the request asked for it (``return_prompt_text``)."""
    ttft_seconds: float | None = None
    """Time to first token; only a stream shows it."""
    inter_token_seconds: tuple[float, ...] = ()
    """Time between events that carry tokens, of a stream."""
    total_seconds: float = 0.0
    error: str | None = None
    """Why this is no answer: nobody there, an error status, a stream that broke off, no JSON, a bad end."""

    def by(self, expected: str) -> "Answer":
        """Return the answer, or none where another than ``expected`` gave it: that says nothing of who was asked."""
        if self.error or self.fingerprint == expected:
            return self
        return replace(self, error=f"answered by {self.fingerprint or 'nobody that it names'}, not {expected}")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The fields of an answer that its body shows."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[str, ...] = ()
    fingerprint: str | None = None
    finish_reason: str | None = None
    prompt_text: str | None = None
    error: str | None = None


def path_of(body: Mapping[str, Any]) -> str:
    """Return where a request body goes."""
    return CHAT_PATH if "messages" in body else COMPLETION_PATH


def read_error(status: int, text: str) -> str:
    """Say what an error status means, with the beginning of what came with it."""
    return f"status {status}: {text[:200]}"


def read_chunks(chunks: Iterable[Mapping[str, Any]]) -> Reading:
    """Read a whole answer, given as its only chunk, or all chunks of a stream.

    Only the first choice counts; a stream names who answers in its last chunk only.
    """
    texts: list[str] = []
    thoughts: list[str] = []
    calls: dict[int, list[str]] = {}
    names: list[str] = []
    finish_reason: str | None = None
    prompt_text: str | None = None
    for chunk in chunks:
        if error := chunk.get("error"):
            return Reading(error=f"the answer is an error: {json.dumps(error, ensure_ascii=False)[:200]}")
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
    error = None if finish_reason in GOOD_FINISHES else f"the answer ended with {finish_reason!r}"
    if not texts:
        error = "the answer is empty"
    return Reading(
        text="".join(texts),
        reasoning="".join(thoughts),
        tool_calls=tuple("".join(parts) for _, parts in sorted(calls.items())),
        fingerprint=" and ".join(names) or None,
        finish_reason=finish_reason,
        prompt_text=prompt_text,
        error=error,
    )


def carries_tokens(chunk: Mapping[str, Any]) -> bool:
    """Tell whether an event of a stream brings tokens, and not only the role, the end or the usage."""
    for choice in chunk.get("choices") or ():
        part: Mapping[str, Any] = choice.get("delta") or choice
        if any(part.get(key) for key in ("content", "text", "reasoning_content", "reasoning", "tool_calls")):
            return True
    return False


def _add_calls(calls: dict[int, list[str]], parts: Iterable[Mapping[str, Any]]) -> None:
    """Add tool calls; a stream brings their arguments in pieces."""
    for position, part in enumerate(parts):
        function: Mapping[str, Any] = part.get("function") or {}
        pieces = calls.setdefault(part.get("index", position), [])
        if name := function.get("name"):
            pieces.append(f"{name} ")
        pieces.append(function.get("arguments") or "")
