"""The engine: the prefix cache, the queue, and the effect of stopping on requests."""

import asyncio

import pytest

from rehearsal.vllm.engine import Engine, PrefixCache, Run, Work
from rehearsal.vllm.flags import parse
from rehearsal.vllm.hub import Behavior
from rehearsal.vllm.metrics import Metrics
from rehearsal.vllm.text import tokenize

PROMPT = tokenize("a prompt of several blocks, so that a part of it can be found in the cache. " * 8)
WORK = Work(
    prompt=PROMPT, output=tokenize("an answer of some tokens"), finish_reason="stop", max_tokens=50, tokens_per_chunk=2
)


def engine(*, max_concurrent: int = 8, tokens_per_second: float = 500.0, counts_disconnects: bool = False) -> Engine:
    behavior = Behavior(
        ttft_seconds=0.05,
        ttft_cached_seconds=0.0,
        tokens_per_second=tokens_per_second,
        counts_disconnects=counts_disconnects,
    )
    metrics = Metrics(parse(["acme/tiny"]), 8192)
    return Engine(behavior, metrics, max_concurrent=max_concurrent, prefix_caching=True)


def sample(engine: Engine, name: str, **labels: str) -> float:
    value = engine.metrics.registry.get_sample_value(
        f"vllm:{name}", {"model_name": "acme/tiny", "engine": "0", **labels}
    )
    assert value is not None, f"no sample of {name}"
    return value


class Asked:
    """A request and its outcome."""

    def __init__(self, engine: Engine) -> None:
        self.answer = asyncio.create_task(self._finish(engine))
        self.run: Run | None = None

    async def _finish(self, engine: Engine) -> str:
        with engine.run(WORK) as self.run:
            return "".join([piece async for piece in self.run.outputs()])

    def moment(self, name: str) -> float:
        """Return when the request arrived, was scheduled or got its first token."""
        moment: float | None = getattr(self.run, name)
        assert moment is not None, f"never reached {name}"
        return moment

    @property
    def finish_reason(self) -> str:
        assert self.run is not None
        return self.run.finish_reason


def test_a_repeated_prefix_is_found_up_to_the_first_difference() -> None:
    cache = PrefixCache()
    common = [f"t{number}" for number in range(64)]
    assert cache.look_up([*common, "x"]) == 0
    assert cache.look_up([*common, "y"]) == 64
    assert cache.look_up([*common[:20], "z", *common[20:]]) == 16
    assert cache.look_up(common) == 48, "the last token of a prompt is always computed"


def test_the_prefix_cache_drops_the_least_recently_used_block() -> None:
    cache = PrefixCache(capacity_blocks=4)
    first, second = ([f"{name}{number}" for number in range(65)] for name in "ab")
    assert cache.look_up(first) == 0
    assert cache.look_up(second) == 0
    assert cache.look_up(first) == 0


def test_a_cached_prompt_gets_its_first_token_sooner_and_counts_hits() -> None:
    async def scenario() -> None:
        tested = engine()
        fresh, cached = Asked(tested), Asked(tested)
        assert await fresh.answer == await cached.answer == "an answer of some tokens"
        assert fresh.moment("first_token") - fresh.moment("scheduled") >= 0.05
        assert cached.moment("first_token") - cached.moment("scheduled") < 0.04
        assert sample(tested, "prefix_cache_queries_total") == 2 * len(PROMPT)
        assert sample(tested, "prefix_cache_hits_total") > len(PROMPT) * 0.8

    asyncio.run(scenario())


def test_requests_beyond_the_batch_wait_in_order() -> None:
    async def scenario() -> None:
        tested = engine(max_concurrent=2, tokens_per_second=50)
        asked = [Asked(tested) for _ in range(5)]
        await asyncio.sleep(0.02)
        assert sample(tested, "num_requests_running") == 2
        assert sample(tested, "num_requests_waiting") == 3
        assert sample(tested, "num_requests_waiting_by_reason", reason="capacity") == 3
        await asyncio.gather(*(one.answer for one in asked))
        begun = [one.moment("scheduled") for one in asked]
        assert begun == sorted(begun)
        assert begun[2] > begun[1] + 0.01, "the third had to wait for a place"
        assert sample(tested, "num_requests_running") == sample(tested, "num_requests_waiting") == 0
        assert sample(tested, "request_success_total", finished_reason="stop") == 5
        waited_seconds = sample(tested, "request_queue_time_seconds_sum")
        assert sample(tested, "time_to_first_token_seconds_sum") > waited_seconds > 0, "the wait is part of it"

    asyncio.run(scenario())


@pytest.mark.parametrize(("counts_disconnects", "counted"), [(False, 0), (True, 2)])
def test_a_client_that_disconnects_frees_its_place_at_any_stage(counts_disconnects: bool, counted: int) -> None:
    async def scenario() -> None:
        tested = engine(max_concurrent=1, tokens_per_second=20, counts_disconnects=counts_disconnects)
        running, waiting, last = (Asked(tested) for _ in range(3))
        await asyncio.sleep(0.02)
        waiting.answer.cancel()
        running.answer.cancel()
        assert await last.answer == "an answer of some tokens"
        assert sample(tested, "request_success_total", finished_reason="abort") == counted
        assert sample(tested, "e2e_request_latency_seconds_count") == 1 + counted
        assert sample(tested, "num_requests_running") == sample(tested, "num_requests_waiting") == 0

    asyncio.run(scenario())


def test_a_drain_lets_open_requests_finish_and_accepts_no_others() -> None:
    async def scenario() -> None:
        tested = engine(max_concurrent=1)
        inside = [Asked(tested) for _ in range(2)]
        await asyncio.sleep(0.01)
        stopping = asyncio.create_task(tested.stop(5))
        await asyncio.sleep(0)
        late = Asked(tested)
        assert (await late.answer, late.finish_reason) == ("", "abort")
        await stopping
        assert [await one.answer for one in inside] == ["an answer of some tokens"] * 2
        assert [one.finish_reason for one in inside] == ["stop", "stop"]

    asyncio.run(scenario())


def test_without_a_drain_time_open_requests_are_aborted_at_once() -> None:
    async def scenario() -> None:
        tested = engine(max_concurrent=1, tokens_per_second=5)
        asked = [Asked(tested) for _ in range(2)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(0.5):
            await tested.stop(0)
            texts = await asyncio.gather(*(one.answer for one in asked))
        assert [one.finish_reason for one in asked] == ["abort", "abort"]
        assert "an answer of some tokens".startswith(texts[0])
        assert texts[0] != ""
        assert texts[1] == "", "the second was still waiting"

    asyncio.run(scenario())


def test_requests_beyond_the_capacity_take_longer_and_are_served_no_faster() -> None:
    async def seconds_of(requests: int) -> float:
        behavior = Behavior(
            ttft_seconds=0.02, ttft_cached_seconds=0.02, tokens_per_second=50, capacity_tokens_per_second=100
        )
        tested = Engine(behavior, Metrics(parse(["acme/tiny"]), 8192), max_concurrent=64, prefix_caching=False)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(Asked(tested).answer for _ in range(requests)))
        return asyncio.get_running_loop().time() - began

    alone, full, twice = (asyncio.run(seconds_of(requests)) for requests in (1, 2, 4))
    assert full == pytest.approx(alone, rel=0.3), "two requests ask for just the capacity"
    assert twice > 1.6 * alone


def test_tokens_of_requests_that_run_together_leave_in_the_same_steps() -> None:
    async def scenario() -> None:
        tested = engine(tokens_per_second=20)
        asked = [Asked(tested) for _ in range(5)]
        await asyncio.gather(*(one.answer for one in asked))
        tokens = sample(tested, "prompt_tokens_total") - sample(tested, "prompt_tokens_cached_total")
        tokens += sample(tested, "generation_tokens_total")
        assert sample(tested, "iteration_tokens_total_sum") == tokens
        chunks_of_one = 1 + len(WORK.output) // WORK.tokens_per_chunk  # the first token is alone
        assert sample(tested, "iteration_tokens_total_count") <= 2 * chunks_of_one

    asyncio.run(scenario())
