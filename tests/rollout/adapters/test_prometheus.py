"""Queries to Prometheus, and how its answers are read."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from rollout.adapters.prometheus import Prometheus
from rollout.model.errors import RefusedError, RolloutError
from rollout.statistics.measurements import Counters, Histogram, sample

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


def vector(*series: tuple[dict[str, str], float]) -> dict[str, Any]:
    result = [{"metric": metric, "value": [0, str(value)]} for metric, value in series]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


Answer = Callable[[httpx.Request], httpx.Response]


def prometheus(answer: Answer) -> Prometheus:
    return Prometheus("http://prometheus", "chat", httpx.MockTransport(answer))


def pod(color: str, name: str, **label: str) -> dict[str, str]:
    return {"color": color, "pod": name, "instance": f"{name}:8000", **label}


def test_counters_are_distinguished_by_colour_pod_and_metric() -> None:
    asked: list[httpx.QueryParams] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params)
        return httpx.Response(
            200,
            json=vector(
                (pod("green", "g1", __name__="http_requests_total", status="2xx"), 10),
                (pod("green", "g2", __name__="http_requests_total", status="2xx"), 20),
                (pod("blue", "b1", __name__="http_requests_total", status="5xx"), 3),
                (pod("green", "g1", __name__="vllm:request_success_total", finished_reason="abort"), 1),
                (pod("green", "g1", __name__="vllm:time_to_first_token_seconds_bucket", le="+Inf"), 9),
                (pod("green", "g1", __name__="vllm:e2e_request_latency_seconds_bucket", le="0.3"), 7),
                (pod("green", "g1", __name__="vllm:num_requests_waiting"), 4),
                (pod("green", "g2", __name__="vllm:num_requests_waiting"), 1),
            ),
        )

    counters = prometheus(answer).counters(NOW)
    green = counters["green"]
    assert green.responses == {("g1@g1:8000", "2xx"): 10, ("g2@g2:8000", "2xx"): 20}
    assert green.finished == {("g1@g1:8000", "abort"): 1}
    assert green.ttft_buckets == {("g1@g1:8000", "+Inf"): 9}
    assert green.end_to_end_buckets == {("g1@g1:8000", "0.3"): 7}
    assert green.waiting_per_replica == 2.5
    assert counters["blue"].responses == {("b1@b1:8000", "5xx"): 3}
    assert counters["blue"].waiting_per_replica is None
    (params,) = asked  # one query returns everything
    assert params["time"] == f"{NOW.timestamp():.3f}"
    assert 'service="chat"' in params["query"]


def test_slices_are_read_by_the_values_of_a_label() -> None:
    asked: list[str] = []
    bucket, finished = "vllm:time_to_first_token_seconds_bucket", "vllm:request_success_total"

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["query"])
        return httpx.Response(
            200,
            json=vector(
                (pod("green", "g1", __name__="http_requests_total", status="2xx"), 10),
                (pod("green", "g1", __name__=bucket, le="+Inf", model_name="base"), 6),
                (pod("green", "g2", __name__=bucket, le="+Inf", model_name="base"), 1),
                (pod("green", "g1", __name__=bucket, le="+Inf", model_name="lora"), 3),
                (pod("green", "g1", __name__=finished, finished_reason="stop", model_name="lora"), 4),
                (pod("green", "g1", __name__=finished, finished_reason="abort", model_name="lora"), 1),
                (pod("green", "g1", __name__=finished, finished_reason="error", model_name="lora"), 2),
            ),
        )

    green = prometheus(answer).counters(NOW, {"model_name"})["green"]
    assert "le, model_name)" in asked[0]
    slices = green.slices["model_name"]
    assert {value: one.ttft_buckets for value, one in slices.items()} == {
        "base": {("g1@g1:8000", "+Inf"): 6, ("g2@g2:8000", "+Inf"): 1},
        "lora": {("g1@g1:8000", "+Inf"): 3},
    }
    # The whole is what it is without slices.
    assert green.ttft_buckets == {("g1@g1:8000", "+Inf"): 9, ("g2@g2:8000", "+Inf"): 1}
    assert green.responses == {("g1@g1:8000", "2xx"): 10}
    # vLLM's count of HTTP responses has no model_name, so generations stand for the requests of a model.
    lora = sample(Counters(), slices["lora"])
    assert lora is not None
    assert (lora.requests, lora.failed, lora.abandoned) == (7, 3, None)


def test_responses_that_have_the_label_are_the_requests_of_its_slices() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        http = "http_requests_total"
        return httpx.Response(
            200,
            json=vector(
                (pod("green", "g1", __name__=http, status="2xx", handler="/v1/completions"), 10),
                (pod("green", "g1", __name__=http, status="5xx", handler="/v1/completions"), 2),
                (pod("green", "g1", __name__="vllm:request_success_total", finished_reason="stop"), 12),
            ),
        )

    green = prometheus(answer).counters(NOW, ["handler"])["green"]
    (completions,) = green.slices["handler"].values()
    assert completions.responses == green.responses == {("g1@g1:8000", "2xx"): 10, ("g1@g1:8000", "5xx"): 2}


def test_exchanges_of_the_generating_endpoints_are_added_up() -> None:
    def http(handler: str, status: str) -> dict[str, str]:
        return pod("green", "g1", __name__="http_requests_total", handler=handler, status=status)

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200,
            json=vector(
                (http("/v1/chat/completions", "2xx"), 10),
                (http("/v1/completions", "2xx"), 5),
                (http("/v1/responses", "2xx"), 2),
                (http("/v1/chat/completions", "4xx"), 3),
                (http("/v1/embeddings", "2xx"), 100),
                (http("/v1/load_lora_adapter", "2xx"), 1),
                (pod("blue", "b1", __name__="http_requests_total", status="200"), 4),  # a server without handlers
            ),
        )

    counters = prometheus(answer).counters(NOW)
    assert counters["green"].answered == {("g1@g1:8000", ""): 17}
    assert counters["green"].responses == {("g1@g1:8000", "2xx"): 118, ("g1@g1:8000", "4xx"): 3}
    assert counters["blue"].answered == {("b1@b1:8000", ""): 4}


def test_an_old_server_tells_the_time_between_tokens_under_its_former_name() -> None:
    new, old = "vllm:inter_token_latency_seconds_bucket", "vllm:time_per_output_token_seconds_bucket"

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200,
            json=vector(
                (pod("blue", "b1", __name__=old, le="0.1"), 5),
                (pod("green", "g1", __name__=old, le="0.1"), 6),  # between two versions, both names exist
                (pod("green", "g1", __name__=new, le="0.1"), 6),
            ),
        )

    counters = prometheus(answer).counters(NOW)
    assert counters["blue"].inter_token_buckets == {("b1@b1:8000", "0.1"): 5}
    assert counters["green"].inter_token_buckets == {("g1@g1:8000", "0.1"): 6}


def test_running_requests_are_unknown_without_series() -> None:
    assert prometheus(lambda _: httpx.Response(200, json=vector())).running_requests("blue") is None
    assert prometheus(lambda _: httpx.Response(200, json=vector(({}, 4)))).running_requests("blue") == 4


def refuse(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


SILENT: list[Answer] = [
    refuse,
    lambda _: httpx.Response(503),
    lambda _: httpx.Response(200, text="<html>"),
    lambda _: httpx.Response(200, json={"status": "error", "error": "parse"}),
]


@pytest.mark.parametrize("answer", SILENT)
def test_a_prometheus_that_does_not_answer_is_an_error(answer: Answer) -> None:
    with pytest.raises(RolloutError, match="Prometheus"):
        prometheus(answer).counters(NOW)


def test_without_any_url_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_URL", raising=False)
    with pytest.raises(RefusedError, match=r"rollout\.prometheus_url"):
        Prometheus(None, "chat")


def test_a_bound_is_the_same_bound_however_it_is_spelled() -> None:
    name = "vllm:time_to_first_token_seconds_bucket"

    def at(spellings: tuple[str, str], fast: float, slow: float) -> Prometheus:
        one, all_of_them = spellings
        series = [
            (pod("green", "g1", __name__="http_requests_total", status="2xx"), slow),
            (pod("green", "g1", __name__=name, le=one), fast),
            (pod("green", "g1", __name__=name, le=all_of_them), slow),
        ]
        return prometheus(lambda _: httpx.Response(200, json=vector(*series)))

    start = at(("1", "+Inf"), 1000, 1000).counters(NOW)["green"]
    end = at(("1.0", "Inf"), 1000, 1100).counters(NOW)["green"]
    seen = sample(start, end)
    assert seen is not None
    assert seen.ttft == Histogram(((1.0, 0.0), (math.inf, 100.0))), "all hundred new requests took more than a second"


def test_two_spellings_of_a_bound_at_once_are_one_counter() -> None:
    name = "vllm:time_to_first_token_seconds_bucket"
    series = [(pod("green", "g1", __name__=name, le=bound), value) for bound, value in (("1", 5), ("1.0", 6), ("?", 7))]
    counters = prometheus(lambda _: httpx.Response(200, json=vector(*series))).counters(NOW)
    assert counters["green"].ttft_buckets == {("g1@g1:8000", "1"): 6}


def matrix(*series: list[tuple[float, float]]) -> dict[str, Any]:
    result = [{"metric": {}, "values": [[at, str(value)] for at, value in one]} for one in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def test_rates_are_of_both_colours_together_over_a_window() -> None:
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        tokens = "generation_tokens" in request.url.params["query"]
        points = [(60.0, 900.0)] if tokens else [(0.0, 2.0), (60.0, 3.0)]
        return httpx.Response(200, json=matrix(points))

    start, end = datetime.fromtimestamp(0, UTC), datetime.fromtimestamp(86_400, UTC)
    rates = prometheus(answer).rates(start, end, rate_seconds=300)
    assert [(rate.at.timestamp(), rate.throughput.requests_per_second) for rate in rates] == [(0, 2), (60, 3)]
    assert [rate.throughput.tokens_per_second for rate in rates] == [None, 900]
    assert {url.path for url in asked} == {"/api/v1/query_range"}
    requests, tokens = (url.params for url in asked)
    assert requests["query"] == 'sum(rate({__name__=~"vllm[:_]request_success(_total)?", service="chat"}[300000ms]))'
    assert (requests["start"], requests["end"], requests["step"]) == ("0.000", "86400.000", "60.000")
    assert "vllm[:_]generation_tokens(_total)?" in tokens["query"]


def test_a_long_window_is_asked_for_in_fewer_points_than_prometheus_allows() -> None:
    steps: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        steps.append(float(request.url.params["step"]))
        return httpx.Response(200, json=matrix())

    start, end = datetime.fromtimestamp(0, UTC), datetime.fromtimestamp(31 * 86_400, UTC)
    assert prometheus(answer).rates(start, end, rate_seconds=20) == []
    assert 31 * 86_400 / steps[0] <= 11_000


def test_a_colours_throughput_is_read() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert 'color="blue"' in request.url.params["query"]
        tokens = "generation_tokens" in request.url.params["query"]
        return httpx.Response(200, json=vector() if tokens else vector(({}, 4.5)))

    found = prometheus(answer).throughput("blue", NOW, rate_seconds=60)
    assert (found.requests_per_second, found.tokens_per_second) == (4.5, None)


def test_lengths_of_prompts_and_answers_are_read() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        query = request.url.params["query"]
        assert 'service="chat", color="blue"}[3600s]' in query
        longest = 20.0 if "request_generation_tokens_bucket" in query else 500.0
        return httpx.Response(200, json=vector(({"le": "+Inf"}, 8), ({"le": "10"}, 0), ({"le": str(longest)}, 8)))

    found = prometheus(answer).lengths("blue", datetime.fromtimestamp(0, UTC), datetime.fromtimestamp(3600, UTC))
    assert (found.prompts.quantile(1.0), found.answers.quantile(1.0)) == (500, 20)
    assert found.answers.count == 8
