"""Chooses the next request: prompts in turn, a steady mix of whole answers and streams, long streams while too few
are open."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

PROMPTS = Path(__file__).parent / "prompts.jsonl"

# One of four requests in a row is never streamed; one is a short stream when enough streams are open.
CYCLE = 4
SHORT_STREAM_TOKENS = 20
WHOLE_ANSWER_TOKENS = 40
LONG_STREAM_TOKENS = (16, 2000)
# Long streams are longer than needed by this factor, so that not every request has to be one.
LONG_STREAM_MARGIN = 1.25
# The longest request that the drain chain protects by default; no answer comes after that.
PATIENCE_SECONDS = 120.0
# The assumed speed of a server that has not been measured.
FIRST_GUESS_TOKENS_PER_SECOND = 20.0

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """A request to send. `ignore_eos`, an extension of vLLM, makes a stream exactly `max_tokens` long."""

    messages: Sequence[Message]
    stream: bool
    max_tokens: int
    ignore_eos: bool = False
    tenant: str | None = None
    """Whose request it is. None when clients do not say."""


def load_prompts(path: Path = PROMPTS) -> list[list[Message]]:
    """Read the conversations of a prompts file, one JSON object with `messages` per line."""
    return [json.loads(line)["messages"] for line in path.read_text(encoding="utf-8").splitlines()]


class Mix:
    """Chooses the next call so that about `open_streams_wanted` streams are open at any time."""

    def __init__(
        self,
        prompts: Sequence[Sequence[Message]],
        open_streams_wanted: int,
        rate_per_second: float,
        *,
        seed: int = 1,
        tenants: Sequence[str] = (),
    ) -> None:
        self._prompts = list(prompts)
        self._open_streams_wanted = open_streams_wanted
        long_streams_per_second = rate_per_second * (CYCLE - 1) / CYCLE
        self._long_stream_seconds = LONG_STREAM_MARGIN * open_streams_wanted / long_streams_per_second
        self._random = random.Random(seed)
        self._tenants = list(tenants)
        self._count = 0
        self._tokens_per_second = FIRST_GUESS_TOKENS_PER_SECOND

    def next(self, open_streams: int) -> Call:
        """Return the next call, given the number of open streams."""
        call = self._next(open_streams)
        # Not in turn with the kinds of calls, so that each tenant sends all of them.
        return replace(call, tenant=self._random.choice(self._tenants)) if self._tenants else call

    def _next(self, open_streams: int) -> Call:
        self._count += 1
        turn = self._count % CYCLE
        messages = self._random.choice(self._prompts)
        if turn != 0 and open_streams < self._open_streams_wanted:
            tokens = self._long_stream_tokens()
            return Call(messages, stream=True, max_tokens=tokens, ignore_eos=True)
        if turn == 1:
            return Call(messages, stream=True, max_tokens=SHORT_STREAM_TOKENS)
        return Call(messages, stream=False, max_tokens=WHOLE_ANSWER_TOKENS)

    def learn(self, tokens: int, seconds: float) -> None:
        """Record a stream's tokens and seconds after its first token. This pace sizes long streams."""
        if seconds > 0:
            self._tokens_per_second += 0.05 * (tokens / seconds - self._tokens_per_second)

    def _long_stream_tokens(self) -> int:
        least, most = LONG_STREAM_TOKENS
        tokens = self._tokens_per_second * self._long_stream_seconds * self._random.uniform(0.7, 1.3)
        return max(least, min(most, round(tokens)))
