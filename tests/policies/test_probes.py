"""The reader of probes."""

from typing import Any

import pytest

from policies.probes import Asks, Probe


def _runs(*command: str) -> dict[str, Any]:
    return {"exec": {"command": list(command)}}


def _gets(path: str | None) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": 8000}}


@pytest.mark.parametrize(
    ("probe", "asks"),
    [
        (_gets("/health"), "the engine's health"),
        (_gets("/health/?a=b"), "the engine's health"),
        (_gets("/ping"), "the engine's health"),
        (_gets("/health/ready"), "an HTTP answer"),
        (_gets("/healthz"), "an HTTP answer"),
        (_gets("/metrics"), "an HTTP answer"),
        (_gets("/v1/models"), "an HTTP answer"),
        (_gets("/v1/models/org/model"), "an HTTP answer"),
        (_gets("/v1"), "an HTTP answer"),
        (_gets(None), "an HTTP answer"),
        (_gets("/a/v1/ready"), "an HTTP answer"),
        (_gets("/v1/models-that-answer"), "an inference"),
        (_gets("/v2/rerank"), "an inference"),
        ({"grpc": {"port": 8000}}, "the engine's health"),
        ({"tcpSocket": {"port": 8000}}, "no more than its presence"),
        ({"periodSeconds": 5}, None),
        (None, None),
        (_runs("curl", "-d", "{}", "http://localhost:8000/v1/completions"), "an inference"),
        (_runs("/opt/ask", "localhost:8000/invocations"), "an inference"),
        (_runs("sh", "-c", "curl localhost:8000/health && curl -d {} localhost:8000/v1/responses"), "an inference"),
        (_runs("curl", "http://localhost:8000/health"), "the engine's health"),
        (_runs("wget", "-qO-", "$POD_IP:8000/ping?a"), "the engine's health"),
        (_runs("/opt/get", "/health"), "the engine's health"),
        (_runs("python3", "-c", "h.request('GET', '/health')"), "the engine's health"),
        (_runs("/bin/grpc_health_probe", "-addr=:8000"), "the engine's health"),
        (_runs("curl", "http://localhost:8000/health/ready"), "an HTTP answer"),
        (_runs("curl", "localhost:8000/v1/models"), "an HTTP answer"),
        (_runs("python3", "-c", "from urllib.request import urlopen; urlopen(u)"), "an HTTP answer"),
        (_runs("nc", "-z", "localhost", "8000"), "no more than its presence"),
        (_runs("sh", "-c", "test -f /tmp/ready && pgrep -f vllm"), "no more than its presence"),
        (_runs("sh", "-c", "bash -c '</dev/tcp/localhost/8000'"), "no more than its presence"),
        (_runs("true"), "no more than its presence"),
        (_runs(), "no more than its presence"),
        (_runs("/opt/health"), "a program"),
        (_runs("/opt/healthcheck.sh", "--url=http://localhost:8000"), "a program"),
        (_runs("python3", "/opt/health.py"), "a program"),
        (_runs("sh", "/opt/ready.sh"), "a program"),
    ],
)
def test_what_a_probe_asks(probe: Any, asks: Asks) -> None:
    assert Probe(probe).asks == asks


def test_a_probe_that_says_nothing_has_kubernetes_times() -> None:
    probe = Probe({"initialDelaySeconds": 0, "periodSeconds": 0, "timeoutSeconds": None})
    assert (probe.period_seconds, probe.timeout_seconds, probe.failures) == (10, 1, 3)
    assert (probe.startup_seconds, probe.silence_seconds) == (30, 30)


def test_the_times_of_a_probe() -> None:
    probe = Probe({"initialDelaySeconds": 7.0, "periodSeconds": "5", "timeoutSeconds": 20, "failureThreshold": 2})
    assert (probe.startup_seconds, probe.silence_seconds) == (17, 40)


@pytest.mark.parametrize(
    ("probe", "seconds"),
    [
        (_runs("python3", "probe.py", "--threshold-seconds=20"), 20),
        (_runs("python3", "probe.py", "--threshold-seconds", "7"), 7),
        (_runs("python3", "probe.py"), 1),
        (_gets("/v1/ready"), 1),
    ],
)
def test_how_long_an_inference_may_take_by_the_probes_own_word(probe: Any, seconds: int) -> None:
    assert Probe(probe).threshold_seconds == seconds
