"""The closed loop keeps as many requests open as it was told, and cuts them off at its end."""

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import pytest

from components.domain.naming import CANDIDATE_ROUTE_HEADER
from rollout.adapters.candidate_route import CandidateRoute

USAGE = {"prompt_tokens": 7, "completion_tokens": 6}


class Server:
    """Streams answers of three events of two tokens each, and counts."""

    def __init__(self) -> None:
        self.release = threading.Event()
        """Lets answers go on after their first event."""
        self.release.set()
        self.status = 200
        self.open = 0
        self.most_open = 0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[Any] = set()
        self.cut = 0
        """How many answers could not be sent to their end."""
        self.lock = threading.Lock()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with server.lock:
                    server.bodies.append(body)
                    server.headers.append(dict(self.headers))
                    server.connections.add(self.client_address)
                    server.open += 1
                    server.most_open = max(server.most_open, server.open)
                try:
                    self._answer()
                except OSError:
                    server.cut += 1
                    self.close_connection = True
                finally:
                    with server.lock:
                        server.open -= 1

            def _answer(self) -> None:
                if server.status != 200:
                    self.send_response(server.status)
                    self.send_header("Content-Length", "4")
                    self.end_headers()
                    self.wfile.write(b"busy")
                    return
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for finish in (None, None, "stop"):
                    self._event({"choices": [{"delta": {"content": "two "}, "finish_reason": finish}]})
                    while not server.release.wait(0.02):
                        self._chunk(b": waiting\n\n")
                self._event({"choices": [], "usage": USAGE})
                self._chunk(b"data: [DONE]\n\n")
                self._chunk(b"")

            def _event(self, event: Any) -> None:
                self._chunk(f"data: {json.dumps(event)}\n\n".encode())

            def _chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                self.wfile.flush()

            def handle(self) -> None:
                with suppress(ConnectionError):  # a client that is gone
                    super().handle()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        return Handler


@pytest.fixture
def server() -> Generator[tuple[Server, CandidateRoute]]:
    counts = Server()
    with running(counts) as port:
        yield (
            counts,
            CandidateRoute(
                endpoint_url=lambda: f"http://127.0.0.1:{port}",
                route_secret=lambda: "s3cret",
                api_key=lambda: "sesame",
                served_model_name="chat",
            ),
        )


@contextmanager
def running(counts: Server) -> Generator[int]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), counts.handler())
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield listening.server_address[1]
    finally:
        counts.release.set()
        listening.shutdown()
        thread.join()
        listening.server_close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def prompts() -> Generator[dict[str, Any]]:
    for number in count():
        yield {"prompt": f"question {number}", "stream_options": {"include_usage": True}}


def test_so_many_requests_are_open_and_their_answers_are_read(server: tuple[Server, CandidateRoute]) -> None:
    seen, route = server
    seen.release.clear()
    with route.closed_loop("green", prompts(), timeout_seconds=5) as loop:
        loop.keep_open(3)
        until(lambda: seen.open == 3)
        seen.release.set()
        until(lambda: len(seen.bodies) > 30)
    answers = loop.answers()
    assert len(answers) >= 27
    assert {answer.error for answer in answers} == {None}
    first = answers[0]
    assert (first.prompt_tokens, first.output_tokens, len(first.inter_token_seconds)) == (7, 6, 2)
    assert seen.most_open == 3
    assert len(seen.connections) <= 4, "connections are used again"
    assert len({body["prompt"] for body in seen.bodies}) == len(seen.bodies)
    assert {(body["model"], body["stream"]) for body in seen.bodies} == {("chat", True)}
    sent = seen.headers[0]
    assert (sent[CANDIDATE_ROUTE_HEADER], sent["Authorization"]) == ("green-s3cret", "Bearer sesame")


def test_open_requests_are_cut_off_at_the_end(server: tuple[Server, CandidateRoute]) -> None:
    seen, route = server
    seen.release.clear()
    with route.closed_loop("green", prompts(), timeout_seconds=60) as loop:
        loop.keep_open(4)
        until(lambda: loop.open_tokens() == 4)
        assert loop.waiting_seconds() == []
        began = time.monotonic()
    assert time.monotonic() - began < 1
    until(lambda: seen.cut == 4)
    assert loop.answers() == []


def test_fewer_open_requests_are_reached_as_answers_end(server: tuple[Server, CandidateRoute]) -> None:
    seen, route = server
    seen.release.clear()
    with route.closed_loop("green", prompts(), timeout_seconds=60) as loop:
        loop.keep_open(6)
        until(lambda: seen.open == 6)
        loop.keep_open(2)
        time.sleep(0.05)
        assert seen.open == 6
        seen.release.set()
        until(lambda: len(seen.bodies) > 6 and seen.open <= 2)
        seen.release.clear()
        until(lambda: seen.open == 2)
        time.sleep(0.05)
        assert seen.open == 2


def test_a_server_that_refuses_is_not_stormed(server: tuple[Server, CandidateRoute]) -> None:
    seen, route = server
    seen.status = 503
    with route.closed_loop("green", prompts(), timeout_seconds=5) as loop:
        loop.keep_open(2)
        time.sleep(0.5)
        answers = loop.answers()
    assert {answer.error for answer in answers} == {"status 503: busy"}
    assert 4 <= len(answers) <= 8


def test_its_requests_are_counted_as_our_own(server: tuple[Server, CandidateRoute]) -> None:
    seen, route = server
    began = route.now()
    with route.closed_loop("green", prompts(), timeout_seconds=5) as loop:
        loop.keep_open(1)
        until(lambda: len(seen.bodies) > 3)
    assert route.sent("green", began, route.now()) >= len(seen.bodies)
    assert route.sent("blue", began, route.now()) == 0
