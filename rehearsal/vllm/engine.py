"""An engine without a GPU: a queue, a prefix cache, paced tokens, and two ways to stop (abort and drain)."""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rehearsal.vllm.hub import Behavior
from rehearsal.vllm.metrics import BLOCK_TOKENS, FinishedRequest, Metrics

PREFIX_CACHE_BLOCKS = 50_000


@dataclass(frozen=True, slots=True)
class Work:
    """A request's work for the engine: the prompt to read and the tokens of the answer."""

    prompt: Sequence[str]
    output: Sequence[str]
    finish_reason: str  # "stop", "length"; "abort", "error" and "stall" when a fault of the hub requires it
    max_tokens: int
    tokens_per_chunk: int


class PrefixCache:
    """The blocks of earlier prompts, each identified by its whole prefix. The least recently used are dropped."""

    def __init__(self, capacity_blocks: int = PREFIX_CACHE_BLOCKS) -> None:
        self._capacity_blocks = capacity_blocks
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def look_up(self, prompt: Sequence[str]) -> int:
        """Return how many leading tokens are cached, then cache the prompt. The last token is always computed."""
        cached, known, chain = 0, True, 0
        for end in range(BLOCK_TOKENS, len(prompt) + 1, BLOCK_TOKENS):
            chain = hash((chain, tuple(prompt[end - BLOCK_TOKENS : end])))
            known = known and chain in self._blocks
            if known and end < len(prompt):
                cached = end
            self._blocks[chain] = None
            self._blocks.move_to_end(chain)
        while len(self._blocks) > self._capacity_blocks:
            self._blocks.popitem(last=False)
        return cached


class Run:
    """One request in the engine. `finish_reason` is "abort" until `outputs()` is exhausted.

    A run that the engine has not ended when its context ends was left by its client.
    """

    def __init__(self, engine: "Engine", work: Work) -> None:
        self._engine = engine
        self._work = work
        self._waiter: asyncio.Future[None] | None = None
        self._aborted = False
        self.ended = False
        self.placed = False
        self.finish_reason = "abort"
        self.cached_tokens = 0
        self.output_tokens = 0
        self.arrived = time.monotonic()
        self.scheduled: float | None = None
        self.first_token: float | None = None
        self._last_tokens = self.arrived

    def abort(self) -> None:
        """End the request now. Its answer ends with finish reason "abort"."""
        self._aborted = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def wake(self) -> None:
        """End the wait for a place in the batch or for the end of a step."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def outputs(self) -> AsyncIterator[str]:
        """Yield the answer in chunks of `tokens_per_chunk` tokens (the first token alone), at the behaviour's pace."""
        async for piece in self._outputs():
            yield piece
        self.ended = True

    async def _outputs(self) -> AsyncIterator[str]:
        work, behavior = self._work, self._engine.behavior
        if not self._aborted:
            await self._engine.enter(self)
        if self._aborted:
            return
        self.scheduled = due = time.monotonic()
        if work.finish_reason == "error":
            self.finish_reason = "error"
            return
        due += self._engine.prefill_seconds(self, work.prompt)
        stalls = work.finish_reason == "stall"
        tokens = behavior.faults.stall_after_tokens if stalls else len(work.output)
        count = min(1, tokens)
        computed = len(work.prompt) - self.cached_tokens
        while count > 0:
            await self._engine.step(self, due, computed + count)
            if self._aborted:
                return
            self._count(count)
            yield "".join(work.output[self.output_tokens - count : self.output_tokens])
            computed, count = 0, min(work.tokens_per_chunk, tokens - self.output_tokens)
            due += count * self._engine.slowness / behavior.tokens_per_second
        if stalls:
            await self.wait()
            return
        self.finish_reason = work.finish_reason

    def _count(self, tokens: int) -> None:
        now = time.monotonic()
        if self.first_token is None:
            self.first_token = now
            self._engine.metrics.first_token(now - self.arrived)
        else:
            self._engine.metrics.tokens(tokens, (now - self._last_tokens) / tokens)
        self._last_tokens = now
        self.output_tokens += tokens

    async def wait(self) -> None:
        """Wait for `wake` or `abort`."""
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter


@dataclass(slots=True)
class Step:
    """A step of the engine to come: the runs that get tokens at its end, and the tokens that it computes."""

    runs: list[Run] = field(default_factory=list)
    tokens: int = 0


class Engine:
    """Runs at most `max_concurrent` requests at once. The others wait in order of arrival."""

    def __init__(self, behavior: Behavior, metrics: Metrics, *, max_concurrent: int, prefix_caching: bool) -> None:
        self.behavior = behavior
        self.metrics = metrics
        self._max_concurrent = max_concurrent
        self._prefix_cache = PrefixCache() if prefix_caching else None
        self._runs: set[Run] = set()
        self._waiting: deque[Run] = deque()
        self._running = 0
        self._steps: dict[float, Step] = {}
        self._step_ended = 0.0  # The end of one step. All others end whole steps before or after it.
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def requests(self) -> int:
        """The number of running and waiting requests."""
        return len(self._runs)

    @contextmanager
    def run(self, work: Work) -> Generator[Run]:
        """Give a run of the work that stays in the engine until the context ends. A stopping engine aborts it."""
        run = Run(self, work)
        if self._stopping:
            run.abort()
        self._runs.add(run)
        self._idle.clear()
        try:
            yield run
        finally:
            self._leave(run, work)

    async def stop(self, timeout_seconds: float) -> None:
        """Accept no more requests. Let open ones finish for `timeout_seconds`, then abort them. Returns when idle."""
        self._stopping = True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        except TimeoutError:
            for run in list(self._runs):
                run.abort()
            await self._idle.wait()

    async def enter(self, run: Run) -> None:
        """Wait for a place in the batch or for the abort of `run`."""
        if self._running < self._max_concurrent:
            self._place(run)
            return
        self._waiting.append(run)
        self.metrics.waits(1)
        await run.wait()

    async def step(self, run: Run, due: float, tokens: int) -> None:
        """Wait for the end of the first step at `due` or later, which computes these tokens, or for the abort of `run`.

        A step of vLLM computes a token of every running request, so they all leave together. A lone request sets
        the time of its steps.
        https://github.com/vllm-project/vllm/blob/main/vllm/v1/engine/core.py
        """
        if self._running == 1:
            self._step_ended = due
        per_second = self.behavior.tokens_per_second
        end = self._step_ended + math.ceil((due - self._step_ended) * per_second) / per_second
        step = self._steps.get(end)
        if step is None:
            step = self._steps[end] = Step()
            asyncio.get_running_loop().call_later(end - time.monotonic(), self._end_step, end)
        step.runs.append(run)
        step.tokens += tokens
        await run.wait()

    def _end_step(self, end: float) -> None:
        step = self._steps.pop(end)
        self.metrics.step(step.tokens)
        for run in step.runs:
            run.wake()

    def _leave(self, run: Run, work: Work) -> None:
        """Give a run's place to the next one, and record its outcome."""
        self._runs.discard(run)
        if run.placed:
            self._set_running(self._running - 1)
            if self._waiting:
                following = self._waiting.popleft()
                self.metrics.waits(-1)
                self._place(following)
                following.wake()
        elif run in self._waiting:
            self._waiting.remove(run)
            self.metrics.waits(-1)
        # vLLM drops the request of a client that hangs up without counting it.
        # https://github.com/vllm-project/vllm/issues/31503
        # https://github.com/vllm-project/vllm/issues/55634
        if run.ended or self.behavior.counts_disconnects:
            self._count(run, work)
        if not self._runs:
            self._idle.set()

    def _count(self, run: Run, work: Work) -> None:
        self.metrics.finished(
            FinishedRequest(
                reason=run.finish_reason,
                prompt_tokens=len(work.prompt),
                cached_tokens=run.cached_tokens,
                output_tokens=run.output_tokens,
                max_tokens=work.max_tokens,
                arrived=run.arrived,
                scheduled=run.scheduled,
                first_token=run.first_token,
                finished=time.monotonic(),
            )
        )

    def _place(self, run: Run) -> None:
        run.placed = True
        self._set_running(self._running + 1)

    def _set_running(self, running: int) -> None:
        self._running = running
        self.metrics.running.set(running)
        self.metrics.kv_cache_usage.set(min(1.0, running / self._max_concurrent))

    def prefill_seconds(self, run: Run, prompt: Sequence[str]) -> float:
        """Return the prompt's reading time, which is shorter the more of it is cached."""
        behavior = self.behavior
        if self._prefix_cache is not None:
            run.cached_tokens = self._prefix_cache.look_up(prompt)
        self.metrics.prefilled(len(prompt), run.cached_tokens)
        cached = run.cached_tokens / len(prompt) if prompt else 0.0
        seconds = behavior.ttft_seconds + (behavior.ttft_cached_seconds - behavior.ttft_seconds) * cached
        return seconds * self.slowness

    @property
    def slowness(self) -> float:
        """The factor on all times now. It rises once the running requests ask for more than the capacity.

        A step of vLLM takes longer the more tokens it computes, for every request in it alike.
        """
        behavior = self.behavior
        limit = behavior.capacity_tokens_per_second
        crowd = 1.0 if limit is None else max(1.0, self._running * behavior.tokens_per_second / limit)
        return crowd * behavior.faults.slow_factor
