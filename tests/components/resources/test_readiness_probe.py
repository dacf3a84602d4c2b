"""The readiness probe, against servers that are right, wrong, busy, stuck and draining."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest

from components.resources import readiness_probe
from components.resources.readiness_probe import NotReady, ProbedPod, check_identity, check_inference


@dataclass
class Server:
    """A vLLM as the probe sees it."""

    port: int = 0
    served_model_name: str = "chat"
    root: str = "org/model"
    inference_seconds: float = 0.0
    finish_reason: str = "length"
    status: int = 200
    tokens: int = 1000
    tokens_per_look: int = 0
    api_key: str | None = None

    def start(self) -> Self:
        state = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not self._may():
                    self._answer(b"", 401)
                elif self.path == "/metrics":
                    state.tokens += state.tokens_per_look
                    text = (
                        "# TYPE vllm:generation_tokens_total counter\n"
                        f'vllm:generation_tokens_total{{engine="0",model_name="chat"}} {state.tokens}.0\n'
                        "vllm:prompt_tokens_total 5.0\n"
                    )
                    self._answer(text.encode())
                else:
                    card = {"id": state.served_model_name, "object": "model", "root": state.root}
                    self._answer(json.dumps({"object": "list", "data": [card]}).encode())

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if not self._may():
                    self._answer(b"", 401)
                    return
                time.sleep(state.inference_seconds)
                choice: dict[str, Any] = {"index": 0, "text": " ", "finish_reason": state.finish_reason}
                self._answer(json.dumps({"choices": [choice]}).encode(), state.status)

            def _may(self) -> bool:
                """Ask for the key as vLLM does: for whatever is under /v1."""
                wanted = state.api_key and f"Bearer {state.api_key}"
                return not self.path.startswith("/v1") or self.headers.get("Authorization") == wanted

            def _answer(self, content: bytes, status: int = 200) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                pass

        class QuietServer(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """The probe hangs up on a slow answer; that is what the test wants."""

        self._http = QuietServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def pod(self, threshold_seconds: float = 0.2) -> ProbedPod:
        return ProbedPod("127.0.0.1", self.port, threshold_seconds)


@pytest.fixture
def server() -> Generator[Server]:
    running = Server().start()
    yield running
    running.stop()


def test_a_pod_that_answers_is_ready(server: Server) -> None:
    check_identity(server.pod(), "chat", "org/model")
    check_inference(server.pod(), "chat")


@pytest.mark.parametrize(("name", "root"), [("other", "org/model"), ("chat", "org/other")])
def test_another_model_is_not_ready(server: Server, name: str, root: str) -> None:
    server.served_model_name, server.root = name, root
    with pytest.raises(NotReady, match="other"):
        check_identity(server.pod(), "chat", "org/model")


def test_an_engine_that_generates_nothing_in_time_is_not_ready(server: Server) -> None:
    server.inference_seconds = 0.5
    with pytest.raises(NotReady, match="neither for the probe nor for other requests"):
        check_inference(server.pod(), "chat")


def test_a_busy_engine_stays_ready(server: Server) -> None:
    server.inference_seconds = 0.5
    server.tokens_per_look = 40
    check_inference(server.pod(), "chat")


def test_a_draining_engine_is_not_ready(server: Server) -> None:
    server.finish_reason = "abort"
    with pytest.raises(NotReady, match="abort"):
        check_inference(server.pod(), "chat")


def test_a_failing_inference_is_not_ready(server: Server) -> None:
    server.status = 500
    with pytest.raises(NotReady, match="answered 500"):
        check_inference(server.pod(), "chat")


def _run(port: int, model: str = "org/model", **environment: str) -> subprocess.CompletedProcess[str]:
    options = ["--served-model-name=chat", f"--model={model}", f"--port={port}", "--threshold-seconds=5"]
    return subprocess.run(
        [sys.executable, "-I", readiness_probe.__file__, *options],
        env={"POD_IP": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_as_a_command_it_tells_by_exit_code_and_says_why(server: Server) -> None:
    assert _run(server.port).returncode == 0
    wrong = _run(server.port, model="org/other")
    assert (wrong.returncode, wrong.stderr) == (1, "not ready: chat is org/model, not org/other\n")


def test_a_server_that_is_not_there_is_not_ready() -> None:
    absent = _run(port=1)
    assert absent.returncode == 1
    assert absent.stderr.startswith("not ready: ")
    assert "Traceback" not in absent.stderr


def test_it_has_the_key_that_the_server_asks_for(server: Server) -> None:
    server.api_key = "sesame"
    assert _run(server.port, VLLM_API_KEY="sesame").returncode == 0
    without = _run(server.port)
    assert (without.returncode, without.stderr) == (1, "not ready: /v1/models answered 401\n")


def test_a_key_that_no_header_can_carry_is_not_shown(server: Server) -> None:
    server.api_key = "sesame"
    spoilt = _run(server.port, VLLM_API_KEY="sesame\n")
    assert spoilt.returncode == 1
    assert spoilt.stderr.startswith("not ready: VLLM_API_KEY is not one word of ASCII characters")
    assert "sesame" not in spoilt.stderr
