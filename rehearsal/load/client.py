"""Sends one request as an SDK does (pooled connections, no retry) and records the answer."""

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

import aiohttp

from rehearsal.load.mix import PATIENCE_SECONDS, Call
from rehearsal.load.records import GOOD_FINISHES, Record

TENANT_HEADER = "x-tenant"

# Quotes inside a text are escaped, so these match only the fields of the envelope.
_FINGERPRINT = re.compile(rb'"system_fingerprint": ?"([^"]*)"')
_FINISH_REASON = re.compile(rb'"finish_reason": ?"([^"]*)"')
_ERROR = re.compile(rb'^data: ?(\{"error".*)$', re.MULTILINE)
_DONE = b"data: [DONE]"

_MOST_BUFFERED_BYTES = 2**24
"""No answer is longer, so a connection never stops reading."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Which colour and release answered, from the fingerprint `<colour>-<release id>`."""

    color: str | None = None
    release: str | None = None

    @classmethod
    def of(cls, fingerprint: str | None) -> Self:
        """Parse a `system_fingerprint`. One of another form gives neither colour nor release."""
        color, _, release = (fingerprint or "").partition("-")
        return cls(color, release) if color in ("blue", "green") and release else cls()


@dataclass(slots=True)
class _Outcome:
    """An answer so far."""

    status: int | None = None
    origin: Origin = field(default_factory=Origin)
    ttft_seconds: float | None = None
    chunks: int = 0
    complete: bool = False
    finish_reason: str | None = None
    error: str | None = None


class Client:
    """Sends chat completions to one service address."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, model: str, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._session = session
        self._patience_seconds = patience_seconds
        self._endpoint = f"{url.rstrip('/')}/v1/chat/completions"
        self._model = model

    @staticmethod
    def session() -> aiohttp.ClientSession:
        """Return a session with an unbounded keep-alive pool. The caller closes it."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=_MOST_BUFFERED_BYTES,
        )

    async def send(self, call: Call) -> Record:
        """Send one request, and give up on it after a while. Errors of the other side do not raise; they are in the
        record."""
        request_id = uuid4().hex[:24]
        started_at, started = time.time(), time.monotonic()
        headers = {
            "x-request-id": request_id,
            # An ALB keeps and logs this id, so its log can be joined with these records.
            "x-amzn-trace-id": f"Root=1-{int(started_at):08x}-{request_id}",
            **({} if call.tenant is None else {TENANT_HEADER: call.tenant}),
        }
        outcome = _Outcome()
        try:
            async with (
                asyncio.timeout(self._patience_seconds),
                self._session.post(self._endpoint, json=self.body(call), headers=headers) as response,
            ):
                outcome.status = response.status
                if response.status != 200:
                    await response.read()
                    outcome.error = f"HTTP {response.status}"
                elif call.stream:
                    await _read_stream(response, outcome, started)
                else:
                    _read_whole(await response.read(), outcome)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            outcome.error = f"{type(error).__name__}: {error}"
        return Record(
            id=request_id,
            started_at=started_at,
            stream=call.stream,
            status=outcome.status,
            color=outcome.origin.color,
            release=outcome.origin.release,
            ttft_seconds=outcome.ttft_seconds,
            duration_seconds=time.monotonic() - started,
            chunks=outcome.chunks,
            complete=outcome.complete,
            finish_reason=outcome.finish_reason,
            error=outcome.error,
            tenant=call.tenant,
        )

    def body(self, call: Call) -> dict[str, Any]:
        """Return the request body of a call."""
        body: dict[str, Any] = {"model": self._model, "messages": call.messages, "max_tokens": call.max_tokens}
        if call.ignore_eos:
            body["ignore_eos"] = True
        if call.stream:
            body["stream"] = True
        return body


async def _read_stream(response: aiohttp.ClientResponse, outcome: _Outcome, started: float) -> None:
    content = response.content
    first = await content.readany()
    outcome.ttft_seconds = time.monotonic() - started
    # Wake up once, at the end, and search the events then: doing so for each of them would cost more than all the rest.
    await content.wait_eof()
    _check_stream(first + content.read_nowait(), outcome)


def _check_stream(whole: bytes, outcome: _Outcome) -> None:
    done = whole.rstrip().endswith(_DONE)
    outcome.chunks = whole.count(b"\n\n") - done
    fingerprints = _FINGERPRINT.findall(whole)  # vLLM puts it only into the last chunk.
    outcome.origin = Origin.of(fingerprints[-1].decode() if fingerprints else None)
    reasons = _FINISH_REASON.findall(whole)
    outcome.finish_reason = reasons[-1].decode() if reasons else None
    outcome.complete = done and outcome.finish_reason in GOOD_FINISHES
    failure = _ERROR.search(whole)
    if failure:
        outcome.error = failure[1].decode(errors="replace")[:200]
    elif not outcome.complete:
        outcome.error = f"finish_reason {outcome.finish_reason}" if done else "stream ended without [DONE]"


def _read_whole(raw: bytes, outcome: _Outcome) -> None:
    body: dict[str, Any] = json.loads(raw)
    outcome.origin = Origin.of(body.get("system_fingerprint"))
    choices: list[dict[str, Any]] = body.get("choices") or [{}]
    outcome.finish_reason = choices[0].get("finish_reason")
    outcome.chunks = 1
    outcome.complete = outcome.finish_reason in GOOD_FINISHES
    if not outcome.complete:
        outcome.error = f"finish_reason {outcome.finish_reason}"
