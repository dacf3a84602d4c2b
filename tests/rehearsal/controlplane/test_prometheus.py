"""The real Prometheus scrapes what the files name, and relabels nothing away."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from rehearsal.controlplane.prometheus import start_prometheus
from tests.rehearsal.world_parts import wait_for


class Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"vllm:num_requests_running 7\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

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
