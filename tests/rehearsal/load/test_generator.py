"""The generator against small servers that work or misbehave."""

import asyncio
import io
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rehearsal.load.client import Client, Origin
from rehearsal.load.generator import generate
from rehearsal.load.mix import Call, Mix, load_prompts
from rehearsal.load.records import Record, read_records, summarize

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FINGERPRINT = "green-0123456789ab"
CALL = Call([{"role": "user", "content": "hello"}], stream=True, max_tokens=3)


def event(text: str = "word", finish_reason: str | None = None) -> bytes:
    """Return a chunk. As in vLLM, only the last one has the fingerprint."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    name = {"system_fingerprint": FINGERPRINT} if finish_reason else {}
    return b"data: " + json.dumps({"choices": [choice], **name}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def streaming(*parts: bytes, cut: bool = False) -> Handler:
    """Return a handler that streams these parts, and drops the connection at the end if `cut`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for part in parts:
            await response.write(part)
            await asyncio.sleep(0.005)
        if cut and request.transport:
            request.transport.close()
        return response

    return handle


def answering(status: int, finish_reason: str = "stop") -> Handler:
    """Return a handler that answers without streaming."""

    async def handle(_request: web.Request) -> web.StreamResponse:
        choice = {"message": {"content": "hi"}, "finish_reason": finish_reason}
        return web.json_response({"choices": [choice], "system_fingerprint": FINGERPRINT}, status=status)

    return handle


async def reset(request: web.Request) -> web.StreamResponse:
    """Drop the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def serve(handler: Handler) -> TestServer:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    return TestServer(app)


def ask(handler: Handler, *, stream: bool) -> Record:
    """Send one request to a server with this handler."""

    async def scenario() -> Record:
        async with serve(handler) as server, Client.session() as session:
            call = Call(CALL.messages, stream=stream, max_tokens=3)
            return await Client(session, str(server.make_url("")), "tiny").send(call)

    return asyncio.run(scenario())


def test_a_whole_stream_is_complete_and_has_its_colour() -> None:
    record = ask(streaming(event(), event(), event("", "length"), DONE), stream=True)
    assert not record.failed
    assert (record.color, record.release, record.finish_reason) == ("green", "0123456789ab", "length")
    assert record.chunks == 3
    assert record.ttft_seconds is not None
    assert 0 < record.ttft_seconds < record.duration_seconds


def test_events_that_arrive_in_pieces_are_still_understood() -> None:
    whole = event() + event("", "stop") + DONE
    cut_anywhere = [whole[at : at + 7] for at in range(150, len(whole), 7)]
    record = ask(streaming(whole[:150], *cut_anywhere), stream=True)
    assert not record.failed
    assert record.chunks == 2


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (streaming(event(), event()), "stream ended without [DONE]"),
        (streaming(event(), DONE), "finish_reason None"),
        (streaming(event(), event("", "abort"), DONE), "finish_reason abort"),
        (streaming(event(), b'data: {"error": {"message": "engine died"}}\n\n', DONE), "engine died"),
        (streaming(event(), event(), cut=True), "ClientPayloadError"),
        (streaming(event('a text with "finish_reason": "stop" in it'), DONE), "finish_reason None"),
    ],
)
def test_a_stream_that_does_not_end_properly_is_broken(handler: Handler, error: str) -> None:
    record = ask(handler, stream=True)
    assert record.broken
    assert error in (record.error or "")


@pytest.mark.parametrize(
    ("handler", "status", "error"),
    [
        (answering(500), 500, "HTTP 500"),
        (answering(503), 503, "HTTP 503"),
        (answering(200, "abort"), 200, "finish_reason abort"),
        (reset, None, "ServerDisconnectedError"),
    ],
)
def test_failures_of_whole_answers_are_recorded_and_not_retried(
    handler: Handler, status: int | None, error: str
) -> None:
    calls = 0

    async def counted(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        return await handler(request)

    record = ask(counted, stream=False)
    assert record.failed
    assert (record.status, calls) == (status, 1)
    assert error in (record.error or "")


def test_requests_carry_ids_that_logs_can_be_joined_by() -> None:
    seen: list[tuple[str, str]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append((request.headers["x-request-id"], request.headers["x-amzn-trace-id"]))
        return await answering(200)(request)

    record = ask(handle, stream=False)
    assert seen == [(record.id, f"Root=1-{int(record.started_at):08x}-{record.id}")]


def test_a_fingerprint_of_another_form_gives_no_colour() -> None:
    assert Origin.of("vllm-0.33.0-tp2-abcdef12") == Origin.of(None) == Origin.of("blue-") == Origin(None, None)


@pytest.mark.slow
def test_requests_leave_at_the_fixed_rate_however_slow_the_answers(tmp_path: Path) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        await asyncio.sleep(0.5)
        return await (streaming(event(), event("", "stop"), DONE) if body.get("stream") else answering(200))(request)

    async def scenario(status: io.StringIO) -> None:
        async with serve(slow) as server:
            await generate(
                url=str(server.make_url("")),
                model="tiny",
                rate_per_second=40,
                mix=Mix(load_prompts(), 10, 40),
                out=tmp_path / "requests.jsonl",
                status=status,
                stop_after_seconds=2.2,
            )

    status = io.StringIO()
    asyncio.run(scenario(status))
    records = read_records(tmp_path / "requests.jsonl")
    assert 80 <= len(records) <= 92
    assert summarize(records).failed == 0
    starts = sorted(record.started_at for record in records)
    assert sum(starts[0] + 1 <= start < starts[0] + 2 for start in starts) == pytest.approx(40, abs=4)
    lines = [json.loads(line) for line in status.getvalue().splitlines()]
    assert len(lines) == 3
    assert lines[-1]["started"] == lines[-1]["finished"] == len(records)
    assert lines[-1]["open_streams"] == 0
    assert lines[1]["by_color"]["green"]["rate"] > 0


def test_clients_give_up_when_their_patience_ends(tmp_path: Path) -> None:
    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError

    async def scenario() -> None:
        async with serve(never) as server:
            await generate(
                url=str(server.make_url("")),
                model="tiny",
                rate_per_second=20,
                mix=Mix(load_prompts(), 10, 20),
                out=tmp_path / "requests.jsonl",
                status=io.StringIO(),
                patience_seconds=0.2,
                stop_after_seconds=0.3,
            )

    asyncio.run(scenario())
    records = read_records(tmp_path / "requests.jsonl")
    assert records
    assert all(record.failed and record.status is None for record in records)
    assert max(record.duration_seconds for record in records) < 1


def test_sigterm_ends_the_traffic_but_not_open_requests(tmp_path: Path) -> None:
    out = tmp_path / "requests.jsonl"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port: int = listener.getsockname()[1]
        command = [sys.executable, "-m", "rehearsal.load", "--url", f"http://127.0.0.1:{port}", "--model", "tiny"]
        process = subprocess.Popen(
            [*command, "--out", str(out), "--rate", "2", "--open-streams", "1"],
            stdout=subprocess.DEVNULL,
        )
        try:
            listener.settimeout(20)
            connection, _ = listener.accept()
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert process.poll() is None, "it waits for the answer"
            with connection:
                connection.settimeout(5)
                connection.recv(65536)
                body = event("hi", "stop") + DONE
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                assert process.wait(timeout=10) == 0
        finally:
            process.kill()
            process.wait()
    (record,) = read_records(out)
    assert not record.failed
