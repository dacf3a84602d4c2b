"""A server other than the stand-in: threads instead of asyncio, no code of the rehearsal, no hub.

    python other_server.py MODEL --host A --port P [flags of vllm serve]

It has the parts of vLLM that pods need: the flags below (others are ignored), OpenAI's API, the metrics that the gates
query, the fingerprint in the last chunk of a stream, and the drain on SIGTERM.
"""

import argparse
import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any

TOKENS_PER_SECOND = 20
FIRST_TOKEN_SECONDS = 0.06
BUCKETS_SECONDS = (0.05, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10)
NATURAL_TOKENS = 12


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("model")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--fingerprint-value")
    parser.add_argument("--shutdown-timeout", type=float, default=0)
    parser.add_argument("--max-num-seqs", type=int, default=256)
    return parser.parse_known_args()[0]


class Counts:
    """The metrics, in Prometheus' format."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.values: Counter[str] = Counter()

    def add(self, *names: str) -> None:
        with self.lock:
            self.values.update(names)

    def took(self, name: str, seconds: float) -> None:
        bounds = [f"{bound:g}" for bound in BUCKETS_SECONDS if seconds <= bound]
        self.add(f"{name}_count", *(f'{name}_bucket{{le="{bound}"}}' for bound in [*bounds, "+Inf"]))

    def exposition(self, running: int, waiting: int) -> str:
        with self.lock:
            lines = [f"{name} {value}" for name, value in self.values.items()]
        gauges = [f"vllm:num_requests_running {running}", f"vllm:num_requests_waiting {waiting}"]
        return "\n".join([*lines, *gauges, ""])


OPTIONS = parse()
COUNTS = Counts()
BATCH = threading.Semaphore(OPTIONS.max_num_seqs)
RUNNING = [0]
WAITING = [0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "other/1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Log no requests."""

    def do_GET(self) -> None:
        match self.path:
            case "/health":
                self.answer("")
            case "/metrics":
                self.answer(COUNTS.exposition(RUNNING[0], WAITING[0]), "text/plain; version=0.0.4")
            case "/v1/models":
                card = {"id": OPTIONS.served_model_name, "object": "model", "root": OPTIONS.model}
                self.answer(json.dumps({"object": "list", "data": [card]}))
            case _:
                self.send_error(404)

    def do_POST(self) -> None:
        arrived = time.monotonic()
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat = self.path.endswith("/chat/completions")
        wanted: int = body.get("max_tokens", 16)
        count = wanted if body.get("ignore_eos") else min(wanted, NATURAL_TOKENS)
        reason = "length" if count == wanted else "stop"
        with COUNTS.lock:
            RUNNING[0] += 1
        try:
            pieces = self.generate(arrived, count)
            if body.get("stream"):
                self.stream(pieces, reason, chat=chat)
            else:
                text = "".join(pieces)
                content: dict[str, Any] = (
                    {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
                )
                self.answer(self.chunk({"index": 0, "finish_reason": reason, **content}, last=True))
            COUNTS.add(f'http_requests_total{{handler="{self.path}",method="POST",status="2xx"}}')
            COUNTS.took("vllm:e2e_request_latency_seconds", time.monotonic() - arrived)
            COUNTS.add(f'vllm:request_success_total{{finished_reason="{reason}"}}')
        finally:
            with COUNTS.lock:
                RUNNING[0] -= 1

    def generate(self, arrived: float, count: int) -> Iterator[str]:
        """Yield the tokens at their pace. Only a limited number of requests generate at once."""
        with COUNTS.lock:
            WAITING[0] += 1
        with BATCH:
            with COUNTS.lock:
                WAITING[0] -= 1
            before = time.monotonic()
            due = before + FIRST_TOKEN_SECONDS
            for number in range(count):
                time.sleep(max(0.0, due - time.monotonic()))
                now = time.monotonic()
                if number == 0:
                    COUNTS.took("vllm:time_to_first_token_seconds", now - arrived)
                else:
                    COUNTS.took("vllm:inter_token_latency_seconds", now - before)
                before = now
                COUNTS.add("vllm:generation_tokens_total")
                yield "word "
                due += 1 / TOKENS_PER_SECOND

    def stream(self, pieces: Iterator[str], reason: str, *, chat: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

        def choice(text: str, finish_reason: str | None) -> dict[str, Any]:
            return {
                "index": 0,
                "finish_reason": finish_reason,
                **({"delta": {"content": text}} if chat else {"text": text}),
            }

        for piece in pieces:
            self.send_event(self.chunk(choice(piece, None)))
        self.send_event(self.chunk(choice("", reason), last=True))
        self.send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, choice: dict[str, Any], *, last: bool = False) -> str:
        name = {"system_fingerprint": OPTIONS.fingerprint_value} if last else {}
        return json.dumps({"model": OPTIONS.served_model_name, "choices": [choice], **name})

    def send_event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")

    def answer(self, text: str, content_type: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


def main() -> None:
    server = Server((OPTIONS.host, OPTIONS.port), Handler)
    terminated = threading.Event()

    def on_sigterm(_number: int, _frame: FrameType | None) -> None:
        terminated.set()

    signal.signal(signal.SIGTERM, on_sigterm)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    terminated.wait()
    server.shutdown()
    server.server_close()
    deadline = time.monotonic() + OPTIONS.shutdown_timeout
    while RUNNING[0] and time.monotonic() < deadline:
        time.sleep(0.05)
    sys.exit(0)


if __name__ == "__main__":
    main()
