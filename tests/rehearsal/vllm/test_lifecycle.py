"""From start to exit: the cold start, the keep-alive, and SIGTERM with and without time to drain."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.rehearsal.vllm.server_process import FAST, MODEL, ServerProcess

pytestmark = pytest.mark.slow

# A stream of this pace and length takes about a second.
SLOW = {**FAST, "tokens_per_second": 20}
STREAM = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "go on"}],
    "stream": True,
    "max_tokens": 20,
    "min_tokens": 20,
}
ENDLESS = {**STREAM, "max_tokens": 200, "min_tokens": 200}


def finish_reason_of(lines: Iterator[str]) -> str | None:
    """Read a stream to its end and return the finish reason."""
    data = [line.removeprefix("data: ") for line in lines if line]
    assert data[-1] == "[DONE]"
    last: dict[str, Any] = json.loads(data[-2])
    return last["choices"][0]["finish_reason"]


def test_connections_are_refused_until_the_model_is_loaded(tmp_path: Path) -> None:
    started = time.monotonic()
    with ServerProcess(tmp_path, behavior={**FAST, "cold_start_seconds": 1.5}) as server:
        refused = 0
        while time.monotonic() < started + 1.2:
            with pytest.raises(httpx.ConnectError):
                server.http.get("/health")
            refused += 1
            time.sleep(0.2)
        server.wait_until_ready()
        assert refused >= 4
        assert time.monotonic() - started >= 1.5


def test_sigterm_while_loading_ends_with_the_tell_tale_interrupt(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, behavior={**FAST, "faults": {"never_ready": True}}) as server:
        deadline = time.monotonic() + 10
        while "Loading model" not in server.log.read_text():
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.02)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", server.port))
        server.terminate()
        assert server.exit_code() == -signal.SIGINT
        assert "KeyboardInterrupt: terminated" in server.log.read_text()


def test_sigterm_aborts_running_requests_by_default(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, behavior=SLOW) as server:
        server.wait_until_ready()
        with server.http.stream("POST", "/v1/chat/completions", json=ENDLESS) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.terminate()
            assert answer.status_code == 200
            assert finish_reason_of(lines) == "abort", "otherwise it would be length"
        assert server.exit_code() == 0


def test_with_a_shutdown_timeout_running_requests_finish_and_new_ones_are_aborted(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--shutdown-timeout", "10", behavior=SLOW) as server:
        server.wait_until_ready()
        with server.http.stream("POST", "/v1/chat/completions", json=STREAM) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.terminate()
            time.sleep(0.1)
            late = server.chat("too late")
            assert (late.status_code, late.json()["choices"][0]["finish_reason"]) == (200, "abort")
            assert server.http.get("/health").status_code == 200, "vLLM stays healthy while it drains"
            assert finish_reason_of(lines) == "length"
        assert server.exit_code() == 0


def test_requests_that_outlast_the_shutdown_timeout_are_aborted(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--shutdown-timeout", "1", behavior=SLOW) as server:
        server.wait_until_ready()
        with server.http.stream("POST", "/v1/chat/completions", json=ENDLESS) as answer:
            lines = answer.iter_lines()
            next(lines)
            sent = time.monotonic()
            server.terminate()
            assert finish_reason_of(lines) == "abort"
            assert time.monotonic() - sent > 0.9
        assert server.exit_code() == 0


def test_idle_connections_are_closed_after_the_keep_alive_time(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(5)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        answered = time.monotonic()
        assert connection.recv(4096) == b"", "closed by the server"
        assert 0.8 < time.monotonic() - answered < 2.5


def test_a_crash_ends_the_process_in_the_middle_of_its_streams(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, behavior={**SLOW, "faults": {"crash_after_seconds": 0.5}}) as server:
        server.wait_until_ready()
        with pytest.raises(httpx.TransportError):
            server.chat("go on", stream=True, max_tokens=100, min_tokens=100)
        assert server.exit_code() == 1
        assert "EngineDeadError" in server.log.read_text()


@pytest.mark.parametrize(
    ("flags", "revision", "status", "message"),
    [
        ([], "gone", 1, "gone is not a valid git identifier"),
        (["--disable-log-requests"], "main", 2, "unrecognized arguments: --disable-log-requests"),
        (["--chat-template", "/no/such/template.jinja"], "main", 1, "no such file"),
    ],
)
def test_a_pod_that_cannot_start_exits_with_the_reason(
    tmp_path: Path, flags: list[str], revision: str, status: int, message: str
) -> None:
    with ServerProcess(tmp_path, *flags, revision=revision) as server:
        assert server.exit_code() == status
        assert message in server.log.read_text()


def test_a_port_that_is_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "rehearsal.vllm", "test/model", "--revision", "main"]
        hub = tmp_path / "hub.yaml"
        hub.write_text("test/model@main: {}\n")
        done = subprocess.run(
            [*command, "--host", "127.0.0.1", "--port", port],
            env={**os.environ, "REHEARSAL_MODEL_HUB": str(hub)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"cannot listen on --host 127.0.0.1 --port {port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
