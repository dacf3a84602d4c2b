"""The metrics that the gates and probes read, counted from the answers as they pass."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from rehearsal.vllm.metrics import REQUEST_BUCKETS, TOKEN_BUCKETS, TTFT_BUCKETS


class Metrics:
    """vLLM's names. What is told of tokens is of streams: a whole answer does not show when its tokens were there."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.running = Gauge("vllm:num_requests_running", "Requests under way.", registry=self.registry)
        self.waiting = Gauge(
            "vllm:num_requests_waiting", "Streams without a first token so far.", registry=self.registry
        )
        self.tokens = Counter("vllm:generation_tokens", "Events or answers with text.", registry=self.registry)
        self._first_token = Histogram(
            "vllm:time_to_first_token_seconds", "Of streams.", buckets=TTFT_BUCKETS, registry=self.registry
        )
        self._inter_token = Histogram(
            "vllm:inter_token_latency_seconds", "Of streams.", buckets=TOKEN_BUCKETS, registry=self.registry
        )
        self._end_to_end = Histogram(
            "vllm:e2e_request_latency_seconds", "Of answers.", buckets=REQUEST_BUCKETS, registry=self.registry
        )
        self._finished = Counter(
            "vllm:request_success", "Requests finished, by reason.", ("finished_reason",), registry=self.registry
        )
        self._http = Counter(
            "http_requests",
            "Requests by their class of status.",
            ("handler", "method", "status"),
            registry=self.registry,
        )

    def first_token(self, seconds: float) -> None:
        """A stream's first token came so long after its request."""
        self._first_token.observe(seconds)

    def next_token(self, seconds: float) -> None:
        """Another token came so long after the one before it."""
        self._inter_token.observe(seconds)

    def finished(self, reason: str) -> None:
        """A generation ended."""
        self._finished.labels(reason).inc()

    def ended(self, seconds: float) -> None:
        """A whole answer was there so long after its request."""
        self._end_to_end.observe(seconds)

    def answered(self, path: str, method: str, status: int) -> None:
        """An answer was sent."""
        self._http.labels(path, method, f"{status // 100}xx").inc()
