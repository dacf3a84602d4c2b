"""vLLM's Prometheus metrics, with the same names, labels and buckets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from rehearsal.vllm.flags import ServeArguments

# fmt: off
TTFT_BUCKETS = (.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560)
TOKEN_BUCKETS = (.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
REQUEST_BUCKETS = (.3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
ITERATION_BUCKETS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
# fmt: on
FINISHED_REASONS = ("stop", "length", "abort", "error", "repetition")
BLOCK_TOKENS = 16


def one_two_five_buckets(limit: int) -> list[float]:
    """Return 1, 2, 5, 10, 20, 50 … up to `limit`."""
    buckets: list[float] = []
    decade = 1
    while True:
        for step in (1, 2, 5):
            if step * decade > limit:
                return buckets
            buckets.append(step * decade)
        decade *= 10


@dataclass(frozen=True, slots=True)
class FinishedRequest:
    """A request's values for the histograms. Moments are in seconds of a monotonic clock, None when never reached."""

    reason: str
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    max_tokens: int
    arrived: float
    scheduled: float | None
    first_token: float | None
    finished: float


class Metrics:
    """All metrics of one server, under `model_name` = the first served name and `engine` = "0"."""

    def __init__(self, arguments: ServeArguments, max_model_len_tokens: int) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self._labels = {"model_name": arguments.served_model_names[0], "engine": "0"}
        sizes = one_two_five_buckets(max_model_len_tokens)

        self.running = self._gauge("vllm:num_requests_running", "Requests in model execution batches.")
        self.waiting = self._gauge("vllm:num_requests_waiting", "Requests waiting to be processed.")
        by_reason = self._labelled_gauge("vllm:num_requests_waiting_by_reason", "Waiting requests by reason.", "reason")
        self._waiting_for_capacity = by_reason("capacity")
        by_reason("deferred").set(0)
        self.kv_cache_usage = self._gauge("vllm:kv_cache_usage_perc", "KV-cache usage; 1 is 100 percent.")
        sleep_state = self._labelled_gauge("vllm:engine_sleep_state", "Whether the engine sleeps.", "sleep_state")
        for state, value in (("awake", 1), ("weights_offloaded", 0), ("discard_all", 0)):
            sleep_state(state).set(value)
        self._add_cache_config(arguments)

        finished = self._labelled_counter("vllm:request_success", "Requests finished, by reason.", "finished_reason")
        self._finished = {reason: finished(reason) for reason in FINISHED_REASONS}
        self._prompt_tokens = self._counter("vllm:prompt_tokens", "Prefill tokens.")
        by_source = self._labelled_counter("vllm:prompt_tokens_by_source", "Prefill tokens by source.", "source")
        self._computed_tokens = by_source("local_compute")
        self._cache_hit_tokens = by_source("local_cache_hit")
        self._cached_tokens = self._counter("vllm:prompt_tokens_cached", "Prompt tokens taken from caches.")
        self._generation_tokens = self._counter("vllm:generation_tokens", "Generated tokens.")
        self._counter("vllm:num_preemptions", "Preemptions.")
        self._prefix_queries = self._counter("vllm:prefix_cache_queries", "Tokens looked up in the prefix cache.")
        self._prefix_hits = self._counter("vllm:prefix_cache_hits", "Tokens found in the prefix cache.")
        for cache in ("external_prefix_cache", "mm_cache"):
            self._counter(f"vllm:{cache}_queries", f"Look-ups in {cache}.")
            self._counter(f"vllm:{cache}_hits", f"Hits in {cache}.")

        self._ttft = self._histogram("vllm:time_to_first_token_seconds", "Time to first token.", TTFT_BUCKETS)
        self._inter_token = self._histogram("vllm:inter_token_latency_seconds", "Time between tokens.", TOKEN_BUCKETS)
        self._per_token = self._histogram(
            "vllm:request_time_per_output_token_seconds", "Mean time per output token of a request.", TOKEN_BUCKETS
        )
        self._e2e = self._histogram("vllm:e2e_request_latency_seconds", "End-to-end latency.", REQUEST_BUCKETS)
        self._queue = self._histogram("vllm:request_queue_time_seconds", "Time in WAITING.", REQUEST_BUCKETS)
        self._inference = self._histogram("vllm:request_inference_time_seconds", "Time in RUNNING.", REQUEST_BUCKETS)
        self._prefill = self._histogram("vllm:request_prefill_time_seconds", "Time in PREFILL.", REQUEST_BUCKETS)
        self._decode = self._histogram("vllm:request_decode_time_seconds", "Time in DECODE.", REQUEST_BUCKETS)
        self._request_prompt = self._histogram("vllm:request_prompt_tokens", "Prefill tokens of a request.", sizes)
        self._request_output = self._histogram(
            "vllm:request_generation_tokens", "Tokens generated for a request.", sizes
        )
        self._request_max_output = self._histogram(
            "vllm:request_max_num_generation_tokens", "Most tokens generated for one choice.", sizes
        )
        self._request_max_tokens = self._histogram("vllm:request_params_max_tokens", "The max_tokens asked for.", sizes)
        self._request_kv = self._histogram(
            "vllm:request_prefill_kv_computed_tokens", "Prefill tokens computed, cached ones left out.", sizes
        )
        self._request_n = self._histogram("vllm:request_params_n", "The n asked for.", (1, 2, 5, 10, 20))
        self._iteration = self._histogram("vllm:iteration_tokens_total", "Tokens per engine step.", ITERATION_BUCKETS)

        self._http_requests = Counter(
            "http_requests",
            "Requests by method, status and handler.",
            ("handler", "method", "status"),
            registry=self.registry,
        )
        self._http_seconds = Histogram(
            "http_request_duration_seconds",
            "Latency by method and handler.",
            ("handler", "method"),
            buckets=(0.1, 0.5, 1),
            registry=self.registry,
        )

    def waits(self, change: int) -> None:
        """Count one more (1) or one fewer (-1) request that waits for capacity."""
        self.waiting.inc(change)
        self._waiting_for_capacity.inc(change)

    def prefilled(self, prompt_tokens: int, cached_tokens: int) -> None:
        """Count a prompt that was looked up in the prefix cache and computed."""
        self._prefix_queries.inc(prompt_tokens)
        self._prefix_hits.inc(cached_tokens)
        self._cached_tokens.inc(cached_tokens)
        self._prompt_tokens.inc(prompt_tokens)
        self._computed_tokens.inc(prompt_tokens - cached_tokens)
        self._cache_hit_tokens.inc(cached_tokens)

    def first_token(self, seconds: float) -> None:
        """Record the time to first token."""
        self._ttft.observe(seconds)
        self._generation_tokens.inc()

    def tokens(self, count: int, seconds_each: float) -> None:
        """Record `count` more tokens and the time between them."""
        self._generation_tokens.inc(count)
        for _ in range(count):
            self._inter_token.observe(seconds_each)

    def step(self, tokens: int) -> None:
        """Record a step of the engine that computed these tokens, of prompts and of answers."""
        self._iteration.observe(tokens)

    def finished(self, request: FinishedRequest) -> None:
        """Record a request that left the engine, for any reason."""
        self._finished[request.reason].inc()
        self._e2e.observe(request.finished - request.arrived)
        if request.scheduled is not None:
            self._queue.observe(request.scheduled - request.arrived)
            self._inference.observe(request.finished - request.scheduled)
            if request.first_token is not None:
                self._prefill.observe(request.first_token - request.scheduled)
                decode_seconds = request.finished - request.first_token
                self._decode.observe(decode_seconds)
                if request.output_tokens > 1:
                    self._per_token.observe(decode_seconds / (request.output_tokens - 1))
        self._request_prompt.observe(request.prompt_tokens)
        self._request_kv.observe(request.prompt_tokens - request.cached_tokens)
        self._request_output.observe(request.output_tokens)
        self._request_max_output.observe(request.output_tokens)
        self._request_max_tokens.observe(request.max_tokens)
        self._request_n.observe(1)

    def http(self, handler: str, method: str, status: int, seconds: float) -> None:
        """Record an HTTP exchange. `handler` is the route, "none" for a path without one."""
        self._http_requests.labels(handler, method, f"{status // 100}xx").inc()
        self._http_seconds.labels(handler, method).observe(seconds)

    def exposition(self) -> bytes:
        """Return the text of `/metrics`."""
        return generate_latest(self.registry)

    def _add_cache_config(self, arguments: ServeArguments) -> None:
        facts = {
            "block_size": str(BLOCK_TOKENS),
            "cache_dtype": "auto",
            "enable_prefix_caching": str(arguments.enable_prefix_caching),
            "gpu_memory_utilization": str(arguments.gpu_memory_utilization),
            "engine": "0",
        }
        Gauge("vllm:cache_config_info", "Facts of the cache.", list(facts), registry=self.registry).labels(**facts).set(
            1
        )
        if arguments.lora_modules:
            lora = {"max_lora": "1", "waiting_lora_adapters": "", "running_lora_adapters": ""}
            Gauge("vllm:lora_requests_info", "Facts of LoRA requests.", list(lora), registry=self.registry).labels(
                **lora
            ).set(1)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, list(self._labels), registry=self.registry).labels(**self._labels)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, list(self._labels), registry=self.registry).labels(**self._labels)

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        family = Histogram(name, text, list(self._labels), buckets=buckets, registry=self.registry)
        return family.labels(**self._labels)

    def _labelled_gauge(self, name: str, text: str, label: str) -> Callable[[str], Gauge]:
        family = Gauge(name, text, [*self._labels, label], registry=self.registry)
        return lambda value: family.labels(**self._labels, **{label: value})

    def _labelled_counter(self, name: str, text: str, label: str) -> Callable[[str], Counter]:
        family = Counter(name, text, [*self._labels, label], registry=self.registry)
        return lambda value: family.labels(**self._labels, **{label: value})
