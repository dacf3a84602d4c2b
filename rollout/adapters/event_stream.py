"""A streamed answer, read line by line, with the times at which its tokens arrive."""

import json
from collections.abc import Mapping
from typing import Any

from rollout.model.answers import Answer, carries_tokens, read_chunks


class BrokenStreamError(Exception):
    """A stream broke off before its end."""


class EventStream:
    """The events of one answer so far."""

    def __init__(self, began: float) -> None:
        """Start with no event. ``began`` is when the request was sent, in seconds of a monotonic clock."""
        self._began = began
        self._latest = began
        self._chunks: list[Mapping[str, Any]] = []
        self._ended = False
        self._gaps: list[float] = []
        self.ttft_seconds: float | None = None

    @property
    def events(self) -> int:
        """How many events with tokens there were."""
        return 0 if self.ttft_seconds is None else 1 + len(self._gaps)

    def read(self, line: str, now: float) -> bool:
        """Read a line that arrived. Return whether it was the last one.

        Raises:
            ValueError: the line is an event, but no JSON.
        """
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            self._ended = True
        elif data and not data.startswith(":"):
            chunk: Mapping[str, Any] = json.loads(data)
            self._chunks.append(chunk)
            if carries_tokens(chunk):
                if self.ttft_seconds is None:
                    self.ttft_seconds = now - self._began
                else:
                    self._gaps.append(now - self._latest)
                self._latest = now
        return self._ended

    def answer(self, status: int) -> Answer:
        """Return the answer.

        Raises:
            BrokenStreamError: its end is missing.
        """
        if not self._ended:
            raise BrokenStreamError("the stream broke off before [DONE]")
        return answer_of(self._chunks, status, ttft_seconds=self.ttft_seconds, gaps=self._gaps)


def answer_of(
    chunks: list[Mapping[str, Any]], status: int, *, ttft_seconds: float | None = None, gaps: list[float] | None = None
) -> Answer:
    """Return the answer in a whole body (one chunk) or in all chunks of a stream."""
    reading = read_chunks(chunks)
    return Answer(
        status=status,
        text=reading.text,
        reasoning=reading.reasoning,
        tool_calls=reading.tool_calls,
        fingerprint=reading.fingerprint,
        finish_reason=reading.finish_reason,
        prompt_text=reading.prompt_text,
        ttft_seconds=ttft_seconds,
        inter_token_seconds=tuple(gaps or ()),
        prompt_tokens=reading.prompt_tokens,
        output_tokens=reading.output_tokens,
        error=reading.error,
    )
