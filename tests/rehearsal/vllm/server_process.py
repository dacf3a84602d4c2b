"""Starts the stand-in as the kubelet does: its own process, with the arguments of `vllm serve`."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

MODEL = "acme/tiny"
READY_TIMEOUT_SECONDS = 20.0
FAST = {"cold_start_seconds": 0, "ttft_seconds": 0.02, "ttft_cached_seconds": 0.01, "tokens_per_second": 200}


class ServerProcess:
    """One server with its own hub, in which `acme/tiny@main` has `behavior`."""

    def __init__(
        self,
        folder: Path,
        *flags: str,
        behavior: Mapping[str, Any] = FAST,
        environment: Mapping[str, str] | None = None,
        revision: str = "main",
    ) -> None:
        hub = folder / "hub.yaml"
        hub.write_text(yaml.safe_dump({f"{MODEL}@main": dict(behavior)}))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        # A new connection per request, so that no test uses one that the server is about to close.
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=15, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self.log = folder / "server.log"
        command = [sys.executable, "-m", "rehearsal.vllm", MODEL, "--revision", revision, *flags]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port)],
                env={**os.environ, "REHEARSAL_MODEL_HUB": str(hub), **(environment or {})},
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()

    def wait_until_ready(self) -> Self:
        """Wait for /health. Raises AssertionError when the process ends instead."""
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.http.get("/health").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        """Wait for the end of the process and return its exit code."""
        return self.process.wait(timeout=15)

    def chat(self, text: str = "hello", **more: Any) -> httpx.Response:
        """Send a chat completion with one user message."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}
        return self.http.post("/v1/chat/completions", json=body)

    def metrics(self) -> dict[str, float]:
        """Return all samples by their printed name and labels."""
        lines = self.http.get("/metrics").text.splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}
