"""The metrics have vLLM's names, labels and buckets, on which dashboards and gates depend."""

import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rehearsal.vllm.metrics import one_two_five_buckets
from tests.rehearsal.vllm.server_process import FAST, ServerProcess

pytestmark = pytest.mark.slow

COUNTERS = {
    "vllm:request_success",
    "vllm:prompt_tokens",
    "vllm:prompt_tokens_by_source",
    "vllm:prompt_tokens_cached",
    "vllm:generation_tokens",
    "vllm:num_preemptions",
    "vllm:prefix_cache_queries",
    "vllm:prefix_cache_hits",
    "vllm:external_prefix_cache_queries",
    "vllm:external_prefix_cache_hits",
    "vllm:mm_cache_queries",
    "vllm:mm_cache_hits",
    "http_requests",
}
GAUGES = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:num_requests_waiting_by_reason",
    "vllm:kv_cache_usage_perc",
    "vllm:engine_sleep_state",
    "vllm:cache_config_info",
    "vllm:lora_requests_info",
}
# The bounds are printed as Prometheus prints them.
TTFT = (
    "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1.0 2.5 5.0 7.5 10.0 20.0 40.0 80.0 160.0 640.0 2560.0 +Inf"
)
TOKEN = "0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1.0 2.5 5.0 7.5 10.0 20.0 40.0 80.0 +Inf"
REQUEST = (
    "0.3 0.5 0.8 1.0 1.5 2.0 2.5 5.0 10.0 15.0 20.0 30.0 40.0 50.0 60.0 120.0 240.0 480.0 960.0 1920.0 7680.0 +Inf"
)
SIZES = "1.0 2.0 5.0 10.0 20.0 50.0 100.0 200.0 +Inf"  # up to --max-model-len 400
HISTOGRAMS = {
    "vllm:time_to_first_token_seconds": TTFT,
    "vllm:inter_token_latency_seconds": TOKEN,
    "vllm:request_time_per_output_token_seconds": TOKEN,
    "vllm:e2e_request_latency_seconds": REQUEST,
    "vllm:request_queue_time_seconds": REQUEST,
    "vllm:request_inference_time_seconds": REQUEST,
    "vllm:request_prefill_time_seconds": REQUEST,
    "vllm:request_decode_time_seconds": REQUEST,
    "vllm:request_prompt_tokens": SIZES,
    "vllm:request_generation_tokens": SIZES,
    "vllm:request_max_num_generation_tokens": SIZES,
    "vllm:request_params_max_tokens": SIZES,
    "vllm:request_prefill_kv_computed_tokens": SIZES,
    "vllm:request_params_n": "1.0 2.0 5.0 10.0 20.0 +Inf",
    "vllm:iteration_tokens_total": (
        "1.0 8.0 16.0 32.0 64.0 128.0 256.0 512.0 1024.0 2048.0 4096.0 8192.0 16384.0 +Inf"
    ),
}


def test_names_labels_and_buckets_are_vllms(server: ServerProcess) -> None:
    server.chat()
    answer = server.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    kinds = {name: family.type for name, family in families.items()}
    assert {name for name, kind in kinds.items() if kind == "counter"} == COUNTERS
    assert {name for name, kind in kinds.items() if kind == "gauge"} == GAUGES
    assert {name for name, kind in kinds.items() if kind == "histogram"} == {
        *HISTOGRAMS,
        "http_request_duration_seconds",
    }
    for name, bounds in HISTOGRAMS.items():
        samples = families[name].samples
        assert [sample.labels["le"] for sample in samples if "le" in sample.labels] == bounds.split(), name
    for family in families.values():
        if family.name.startswith("vllm:") and not family.name.endswith("_info"):
            labels = [sample.labels for sample in family.samples]
            assert all((each["model_name"], each["engine"]) == ("acme/tiny", "0") for each in labels), family.name
    reasons = {sample.labels["finished_reason"] for sample in families["vllm:request_success"].samples}
    assert reasons == {"stop", "length", "abort", "error", "repetition"}


def test_a_request_is_counted_once_in_each_place(server: ServerProcess) -> None:
    before = server.metrics()
    usage = server.chat("count me", max_tokens=7).json()["usage"]
    after = server.metrics()
    labels = '{engine="0",model_name="acme/tiny"}'
    finished = 'vllm:request_success_total{engine="0",finished_reason="length",model_name="acme/tiny"}'
    http = 'http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"}'
    for name, change in (
        (finished, 1),
        (http, 1),
        (f"vllm:prompt_tokens_total{labels}", usage["prompt_tokens"]),
        (f"vllm:prefix_cache_queries_total{labels}", usage["prompt_tokens"]),
        (f"vllm:generation_tokens_total{labels}", 7),
        (f"vllm:time_to_first_token_seconds_count{labels}", 1),
        (f"vllm:inter_token_latency_seconds_count{labels}", 6),
        (f"vllm:e2e_request_latency_seconds_count{labels}", 1),
        (f"vllm:num_requests_running{labels}", 0),
    ):
        assert after[name] - before.get(name, 0) == change, name


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("counts", [False, True])
def test_a_client_that_hangs_up_is_counted_as_answered_and_by_vllm_nowhere_else(
    tmp_path: Path, stream: bool, counts: bool
) -> None:
    behavior = {**FAST, "faults": {"stall_fraction": 1.0}, "counts_disconnects": counts}
    http = 'http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"}'
    with ServerProcess(tmp_path, behavior=behavior) as server:
        server.wait_until_ready()
        body = {"messages": [{"role": "user", "content": "never answered"}], "stream": stream}
        with pytest.raises(httpx.ReadTimeout):
            server.http.post("/v1/chat/completions", json=body, timeout=0.5)
        after = server.metrics()
        for _ in range(100):
            if http not in after:
                time.sleep(0.05)
                after = server.metrics()
    labels = 'engine="0",model_name="acme/tiny"'
    assert after[http] == 1
    assert after['vllm:request_success_total{engine="0",finished_reason="abort",model_name="acme/tiny"}'] == counts
    assert after[f"vllm:e2e_request_latency_seconds_count{{{labels}}}"] == counts
    assert after[f"vllm:time_to_first_token_seconds_count{{{labels}}}"] == 0
    assert after[f"vllm:prompt_tokens_total{{{labels}}}"] > 0
    assert after[f"vllm:num_requests_running{{{labels}}}"] == 0


def test_an_answer_that_stalls_has_its_first_tokens_and_a_shorter_one_its_end(tmp_path: Path) -> None:
    behavior = {**FAST, "faults": {"stall_fraction": 1.0, "stall_after_tokens": 4}}
    with ServerProcess(tmp_path, behavior=behavior) as server:
        server.wait_until_ready()
        body = {"messages": [{"role": "user", "content": "answered in part"}], "ignore_eos": True}
        whole = server.http.post("/v1/chat/completions", json={**body, "max_tokens": 4})
        assert whole.json()["choices"][0]["finish_reason"] == "length"
        with pytest.raises(httpx.ReadTimeout):
            server.http.post("/v1/chat/completions", json={**body, "max_tokens": 5}, timeout=0.5)
        after = server.metrics()
    labels = '{engine="0",model_name="acme/tiny"}'
    assert after[f"vllm:time_to_first_token_seconds_count{labels}"] == 2
    assert after[f"vllm:generation_tokens_total{labels}"] == 8
    assert after['vllm:request_success_total{engine="0",finished_reason="length",model_name="acme/tiny"}'] == 1


def test_probes_and_scrapes_are_not_counted_as_requests_but_unknown_paths_are(server: ServerProcess) -> None:
    server.http.get("/health")
    server.http.get("/nothing/here")
    counted = [name for name in server.metrics() if name.startswith("http_requests_total")]
    assert not any('handler="/health"' in name or 'handler="/metrics"' in name for name in counted)
    assert 'http_requests_total{handler="none",method="GET",status="4xx"}' in counted


def test_size_buckets_grow_in_steps_of_one_two_five() -> None:
    assert one_two_five_buckets(150) == [1, 2, 5, 10, 20, 50, 100]
