"""The metrics that the gates and probes read, counted from the answers as they pass."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from rehearsal.vllm.metrics import REQUEST_BUCKETS, TOKEN_BUCKETS, TTFT_BUCKETS


class Metrics:
    """Metrics under vLLM's names. Token times are from streams only: a whole answer does not show its tokens' times."""

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
        for reason in ("stop", "length"):
            self._finished.labels(reason)  # published from the start, as vLLM does: so none finished is a count, too
        self._http = Counter(
            "http_requests",
            "Requests by their class of status.",
            ("handler", "method", "status"),
            registry=self.registry,
        )

    def first_token(self, seconds: float) -> None:
        """Record a stream's time to first token."""
        self._first_token.observe(seconds)

    def next_token(self, seconds: float) -> None:
        """Record the time between two tokens of a stream."""
        self._inter_token.observe(seconds)

    def finished(self, reason: str) -> None:
        """Count a finished generation by its finish reason."""
        self._finished.labels(reason).inc()

    def ended(self, seconds: float) -> None:
        """Record the time from a request to the end of its answer."""
        self._end_to_end.observe(seconds)

    def answered(self, path: str, method: str, status: int) -> None:
        """Count an HTTP answer."""
        self._http.labels(path, method, f"{status // 100}xx").inc()
