"""What is asked of Prometheus, and what is made of its answers."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from rollout.errors import RefusedError, RolloutError
from rollout.prometheus import Prometheus

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


def vector(*series: tuple[dict[str, str], float]) -> dict[str, Any]:
    result = [{"metric": metric, "value": [0, str(value)]} for metric, value in series]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


Answer = Callable[[httpx.Request], httpx.Response]


def prometheus(answer: Answer) -> Prometheus:
    return Prometheus("http://prometheus", "chat", httpx.MockTransport(answer))


def pod(color: str, name: str, **label: str) -> dict[str, str]:
    return {"color": color, "pod": name, "instance": f"{name}:8000", **label}


def test_counters_are_told_apart_by_colour_and_pod() -> None:
    asked: list[httpx.QueryParams] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params)
        query = request.url.params["query"]
        if "http_requests_total" in query:
            return httpx.Response(
                200,
                json=vector(
                    (pod("green", "g1", status="2xx"), 10),
                    (pod("green", "g2", status="2xx"), 20),
                    (pod("blue", "b1", status="5xx"), 3),
                ),
            )
        if "request_success" in query:
            return httpx.Response(200, json=vector((pod("green", "g1", finished_reason="abort"), 1)))
        return httpx.Response(200, json=vector((pod("green", "g1", le="+Inf"), 9)))

    counters = prometheus(answer).counters(NOW)
    assert counters["green"].responses == {("g1@g1:8000", "2xx"): 10, ("g2@g2:8000", "2xx"): 20}
    assert counters["green"].finished == {("g1@g1:8000", "abort"): 1}
    assert counters["green"].ttft_buckets == {("g1@g1:8000", "+Inf"): 9}
    assert counters["blue"].responses == {("b1@b1:8000", "5xx"): 3}
    assert {params["time"] for params in asked} == {f"{NOW.timestamp():.3f}"}
    assert all('service="chat"' in params["query"] for params in asked)


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
