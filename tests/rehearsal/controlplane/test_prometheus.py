"""The real Prometheus scrapes the targets in the files and keeps their labels."""

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from rehearsal.controlplane.prometheus import start_prometheus
from rollout.adapters.prometheus import Prometheus
from rollout.statistics.measurements import Counters
from tests.rehearsal.world_parts import wait_for


class Metrics(BaseHTTPRequestHandler):
    body = b"vllm:num_requests_running 7\n"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass


def test_a_pod_in_the_targets_file_is_scraped_with_its_labels(
    control_plane_binaries: dict[str, Path], tmp_path: Path
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    targets = tmp_path / "targets"
    targets.mkdir()
    prometheus = start_prometheus(
        tmp_path / "prometheus",
        control_plane_binaries["prometheus"],
        targets_folder=targets,
        scrape_interval_seconds=0.2,
    )
    try:
        labels = {"pod": "chat-1", "color": "green"}
        entry = {"targets": [f"127.0.0.1:{server.server_port}"], "labels": labels}
        (targets / "pods.json").write_text(json.dumps([entry]))

        def result() -> list[dict[str, dict[str, str]]]:
            query = {"query": "vllm:num_requests_running"}
            return httpx.get(f"{prometheus.url}/api/v1/query", params=query).json()["data"]["result"]

        found = wait_for(result, "a sample")
        assert labels.items() <= found[0]["metric"].items()
    finally:
        prometheus.stop()
        server.shutdown()
    assert not prometheus.process.running


EXPOSITION = """\
http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} 8
http_requests_total{handler="/v1/models",method="GET",status="2xx"} 5
http_requests_total{handler="none",method="POST",status="4xx"} 3
vllm:request_success_total{engine="0",finished_reason="stop"} 6
vllm:request_success_total{engine="1",finished_reason="stop"} 1
vllm:time_to_first_token_seconds_bucket{le="+Inf"} 8
vllm:inter_token_latency_seconds_bucket{le="0.05"} 70
vllm:e2e_request_latency_seconds_bucket{le="10"} 7
vllm:generation_tokens_total{engine="0"} 900
vllm:generation_tokens_total{engine="1"} 100
vllm:request_generation_tokens_bucket{le="200.0"} 6
vllm:request_generation_tokens_bucket{le="+Inf"} 7
vllm:request_generation_tokens_sum 990
vllm:request_generation_tokens_count 7
vllm:num_requests_waiting 2
vllm:num_requests_waiting_by_reason{reason="capacity"} 2
"""


def test_one_query_returns_all_metrics_of_the_gates(control_plane_binaries: dict[str, Path], tmp_path: Path) -> None:
    class Pod(Metrics):
        body = EXPOSITION.encode()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pod)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    targets = tmp_path / "targets"
    targets.mkdir()
    address = f"127.0.0.1:{server.server_port}"
    labels = {"pod": "chat-1", "color": "green", "service": "chat"}
    (targets / "pods.json").write_text(json.dumps([{"targets": [address], "labels": labels}]))
    prometheus = start_prometheus(
        tmp_path / "prometheus",
        control_plane_binaries["prometheus"],
        targets_folder=targets,
        scrape_interval_seconds=0.2,
    )
    try:
        asked = Prometheus(prometheus.url, "chat")
        by = {"engine"}
        green = wait_for(
            lambda: (found := asked.counters(datetime.now(UTC), by)["green"]).responses and found, "a sample"
        )
    finally:
        prometheus.stop()
        server.shutdown()
    pod = f"chat-1@{address}"
    assert green == Counters(
        responses={(pod, "2xx"): 8.0},
        answered={(pod, ""): 8.0},
        finished={(pod, "stop"): 7.0},
        ttft_buckets={(pod, "+Inf"): 8.0},
        inter_token_buckets={(pod, "0.05"): 70.0},
        end_to_end_buckets={(pod, "10"): 7.0},
        waiting={(pod, ""): 2.0},
        output_tokens={(pod, ""): 1000.0},
        answer_tokens_buckets={(pod, "200"): 6.0, (pod, "+Inf"): 7.0},
        answer_tokens_sum={(pod, ""): 990.0},
        slices={
            "engine": {
                engine: Counters(
                    # No response has the label, so the generations stand for the requests.
                    responses={(pod, "2xx"): finished},
                    finished={(pod, "stop"): finished},
                    output_tokens={(pod, ""): tokens},
                )
                for engine, finished, tokens in (("0", 6.0, 900.0), ("1", 1.0, 100.0))
            }
        },
    )
