"""With the adapter, pods can run a server that knows little of vLLM."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from rehearsal.system.processes import free_port

pytestmark = pytest.mark.slow

OTHER = Path(__file__).parents[1] / "other_server.py"
NAMED = "green-0123456789ab"
FLAGS = [
    *("--revision", "a", "--served-model-name", "chat", "--tensor-parallel-size", "1", "--shutdown-timeout", "5"),
    *("--fingerprint-mode", "custom", "--fingerprint-value", NAMED, "--enable-request-id-headers"),
    *("--override-generation-config", '{"temperature": 0.2}', "--max-num-seqs=4"),
]
ADDRESS = "127.45.6.7"


class Adapted:
    """The adapter with a server behind it, started as a pod starts it."""

    def __init__(self, log: Path, server: list[str], *, port: int) -> None:
        command = [sys.executable, "-m", "rehearsal.adapter", *server, "--", "acme/model", *FLAGS]
        self.log = log
        self.http = httpx.Client(base_url=f"http://{ADDRESS}:{port}", timeout=10)
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--port", str(port), "--host", ADDRESS], stdout=output, stderr=output, start_new_session=True
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                assert self.http.get("/health").status_code == 200
                return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def chat(self, **more: Any) -> httpx.Response:
        return self.http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "hi"}], **more})

    def metrics(self) -> dict[str, float]:
        lines = [line for line in self.http.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@contextmanager
def adapted(log: Path, *server: str) -> Generator[Adapted]:
    running = Adapted(log, [*server] or [sys.executable, str(OTHER)], port=free_port())
    try:
        yield running
    finally:
        running.http.close()
        running.process.kill()
        running.process.wait()


def test_answers_carry_the_fingerprint_and_are_counted_under_vllms_names(tmp_path: Path) -> None:
    with adapted(tmp_path / "log") as server:
        server.wait_until_ready()
        assert server.http.get("/v1/models").json()["data"][0] | {"object": ""} == {
            "id": "chat",
            "object": "",
            "root": "acme/model",
        }
        assert server.chat(max_tokens=2).json()["system_fingerprint"] == NAMED
        *chunks, done = (line for line in server.chat(max_tokens=3, stream=True).text.split("\n\n") if line)
        assert done == "data: [DONE]"
        assert {json.loads(chunk.removeprefix("data: "))["system_fingerprint"] for chunk in chunks} == {NAMED}
        metrics = server.metrics()
    assert metrics['http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"}'] == 2
    assert metrics['vllm:request_success_total{finished_reason="length"}'] == 2
    assert metrics["vllm:time_to_first_token_seconds_count"] == 1
    assert metrics["vllm:generation_tokens_total"] == 1 + 3


def test_flags_that_the_server_does_not_know_are_left_out(tmp_path: Path) -> None:
    with adapted(tmp_path / "log") as server:
        server.wait_until_ready()
    assert (
        "--revision, --tensor-parallel-size, --fingerprint-mode, --enable-request-id-headers, "
        "--override-generation-config"
    ) in server.log.read_text()


def test_a_wait_for_a_place_in_the_batch_counts_as_time_to_the_first_token(tmp_path: Path) -> None:
    with adapted(tmp_path / "log") as server:
        server.wait_until_ready()

        def long_stream(_number: int) -> httpx.Response:
            return server.chat(max_tokens=20, stream=True, ignore_eos=True)

        with ThreadPoolExecutor(8) as pool:
            for answer in pool.map(long_stream, range(8)):
                assert answer.status_code == 200
        metrics = server.metrics()
    assert metrics["vllm:time_to_first_token_seconds_count"] == 8
    assert metrics['vllm:time_to_first_token_seconds_bucket{le="0.75"}'] == 4, "four at once, four after them"


def test_sigterm_lets_streams_end_and_refuses_new_connections(tmp_path: Path) -> None:
    with adapted(tmp_path / "log") as server, ThreadPoolExecutor(1) as pool:
        server.wait_until_ready()
        answer = pool.submit(lambda: server.chat(max_tokens=40, stream=True, ignore_eos=True))
        while server.metrics()["vllm:num_requests_running"] == 0:
            time.sleep(0.02)
        server.process.send_signal(signal.SIGTERM)
        assert answer.result().text.endswith("data: [DONE]\n\n")
        assert server.process.wait(timeout=10) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((ADDRESS, server.http.base_url.port or 0))


def test_a_server_that_ends_by_itself_ends_the_adapter_with_an_error(tmp_path: Path) -> None:
    with adapted(tmp_path / "log", sys.executable, "-c", "raise SystemExit(7)") as server:
        assert server.process.wait(timeout=20) == 1
    assert "ended with code 7" in server.log.read_text()


@pytest.mark.parametrize(
    "words", [[], ["server"], ["--", "model"], ["/no/such/server", "--", "model"], ["true", "--", "m", "--port"]]
)
def test_an_invalid_command_line_is_refused(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rehearsal.adapter", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
