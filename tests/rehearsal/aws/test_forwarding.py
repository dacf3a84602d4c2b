"""How requests are forwarded: streaming, headers, connections, and what the client sees when something breaks."""

import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import httpx
import pytest

from tests.rehearsal.aws.account import Account, Service, wait_for
from tests.rehearsal.aws.farm import PORT, Farm, Target

pytestmark = pytest.mark.slow

NewService = Callable[..., Service]


@pytest.fixture
def blue(farm: Farm) -> Target:
    return farm.start("blue")


@pytest.fixture
def service(new_service: NewService, blue: Target) -> Service:
    service = new_service(100, 0)
    service.register("blue", blue)
    return service


def test_a_stream_arrives_chunk_by_chunk(account: Account, service: Service) -> None:
    arrivals: list[float] = []
    with service.http.stream("POST", "/v1/stream/5/100", headers={"x-request-id": f"{service.name}-sse"}) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        chunks = [chunk for chunk in answer.iter_raw() if not arrivals.append(time.monotonic())]
    assert chunks[:2] == [b"data: 0\n\n", b"data: 1\n\n"]
    assert chunks[-1].endswith(b"data: [DONE]\n\n")
    assert arrivals[-1] - arrivals[0] > 0.35
    logged = account.logged(f"{service.name}-sse")
    assert logged["stream"]
    assert logged["bytes_sent"] == sum(map(len, chunks))
    assert logged["target_response_seconds"] < 0.2 < 0.45 < logged["finished_at"] - logged["started_at"]


def test_the_target_sees_the_request_and_the_headers_of_a_load_balancer(service: Service) -> None:
    seen = service.http.put(
        "/v1/a%20b?q=%2F&r", content=b"x" * 100_000, headers={"X-Forwarded-For": "192.0.2.7", "Keep-Alive": "1"}
    ).json()
    assert (seen["method"], seen["path"], seen["body_bytes"]) == ("PUT", "/v1/a%20b?q=%2F&r", 100_000)
    headers = seen["headers"]
    assert headers["host"] == service.dns_name
    assert headers["x-forwarded-for"] == "192.0.2.7, 127.0.0.1"
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("http", "80")
    assert headers["x-amzn-trace-id"].startswith("Root=1-")
    assert "keep-alive" not in headers


def test_a_body_of_unknown_length_is_streamed(service: Service) -> None:
    def parts() -> Generator[bytes]:
        for _ in range(3):
            yield b"x" * 1000
            time.sleep(0.05)

    seen = service.http.post("/v1/echo", content=parts()).json()
    assert seen["body_bytes"] == 3000


def test_a_head_request_gets_only_the_headers(service: Service) -> None:
    answer = service.http.head("/v1/status/200")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "4", b"")


def test_invalid_header_fields_are_dropped_with_the_attribute(service: Service) -> None:
    send = {"x_odd": "1"}
    assert service.http.get("/v1/echo", headers=send).json()["headers"]["x_odd"] == "1"
    service.set_attribute("routing.http.drop_invalid_header_fields.enabled", "true")
    assert "x_odd" not in service.http.get("/v1/echo", headers=send).json()["headers"]


def test_connections_to_targets_are_reused(service: Service, blue: Target) -> None:
    service.names(20)
    assert blue.requests == 20
    assert len(blue.connections) == 1


@pytest.mark.parametrize("status", [204, 304, 429, 500, 503])
def test_the_targets_own_status_passes_through(service: Service, status: int) -> None:
    assert service.http.get(f"/v1/status/{status}").status_code == status
    assert service.counters("blue")["responses_by_status"] == {f"{status // 100}xx": 1}


def test_a_target_that_does_not_listen_is_a_502(account: Account, service: Service, farm: Farm, blue: Target) -> None:
    farm.stop(blue)
    answer = service.http.post("/v1/echo", headers={"x-request-id": f"{service.name}-refused"})
    assert answer.status_code == 502
    assert answer.headers["server"] == "awselb/2.0"
    logged = account.logged(f"{service.name}-refused")
    assert (logged["error"], logged["target_status"]) == ("connection_failed", None)
    assert service.counters("blue")["connection_errors"] == 1


def test_a_target_that_resets_before_its_answer_is_a_502(account: Account, service: Service, blue: Target) -> None:
    answer = service.http.get("/v1/reset", headers={"x-request-id": f"{service.name}-reset"})
    assert answer.status_code == 502
    assert account.logged(f"{service.name}-reset")["error"] == "target_closed"
    assert blue.requests == 1


@contextmanager
def closes_its_second_request(target: Target) -> Generator[list[bytes]]:
    """Run a server that keeps a connection alive, then closes it on the second request."""
    requests: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while received := connection.recv(65536):
                    if b"/health" not in received:
                        requests.append(received)
                    if len(requests) == 2:
                        break
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with socket.create_server((target.loopback, PORT)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield requests
        listener.shutdown(socket.SHUT_RDWR)


def test_a_kept_connection_that_the_target_closes_is_a_502_and_not_sent_again(
    new_service: NewService,
) -> None:
    service, target = new_service(100, 0), Target("closing")
    with closes_its_second_request(target) as requests:
        service.register("blue", target, healthy=False)
        assert service.http.get("/v1/echo").text == "ok"
        assert service.http.get("/v1/echo").status_code == 502
        assert len(requests) == 2


def test_a_broken_answer_also_breaks_off_at_the_client(account: Account, service: Service) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        service.http.get("/v1/break", headers={"x-request-id": f"{service.name}-break"})
    logged = account.logged(f"{service.name}-break")
    assert (logged["elb_status"], logged["error"], logged["bytes_sent"]) == (200, "target_closed", 4)


def test_silence_longer_than_the_idle_timeout_is_a_504(account: Account, service: Service) -> None:
    service.set_attribute("idle_timeout.timeout_seconds", "1")
    answer = service.http.get("/v1/slow/3000", headers={"x-request-id": f"{service.name}-idle"})
    assert answer.status_code == 504
    assert account.logged(f"{service.name}-idle")["error"] == "idle_timeout"


def test_a_silent_stream_is_cut_after_the_idle_timeout(account: Account, service: Service) -> None:
    service.set_attribute("idle_timeout.timeout_seconds", "1")
    with pytest.raises(httpx.RemoteProtocolError):
        service.http.get("/v1/stream/2/3000", headers={"x-request-id": f"{service.name}-silent"})
    logged = account.logged(f"{service.name}-silent")
    assert (logged["elb_status"], logged["error"]) == (200, "idle_timeout")


@pytest.mark.parametrize(("path", "status"), [("/v1/slow/5000", 460), ("/v1/stream/100/50", 200)])
def test_a_client_that_disconnects_ends_the_request_at_the_target(
    account: Account, service: Service, blue: Target, path: str, status: int
) -> None:
    request_id = f"{service.name}-gone"
    with (
        suppress(httpx.ReadTimeout),
        service.http.stream("GET", path, headers={"x-request-id": request_id}, timeout=0.3) as answer,
    ):
        chunks = answer.iter_raw()
        next(chunks)
    wait_for(lambda: blue.cancelled == 1)
    logged = account.logged(request_id)
    assert (logged["elb_status"], logged["error"]) == (status, "client_closed")
    assert service.counters("blue")["in_flight"] == 0


def test_the_access_log_names_the_target_that_answered(account: Account, service: Service, blue: Target) -> None:
    before = time.time()
    service.http.post("/v1/status/500", headers={"x-request-id": f"{service.name}-line"})
    logged = account.logged(f"{service.name}-line")
    assert before <= logged["started_at"] <= logged["finished_at"] <= time.time()
    expected = {
        "method": "POST",
        "path": "/v1/status/500",
        "load_balancer": service.name,
        "rule": "weighted",
        "target_group_arn": service.groups["blue"],
        "color": "blue",
        "target": f"{blue.address}:{PORT}",
        "elb_status": 500,
        "target_status": 500,
        "bytes_sent": 4,
        "stream": False,
        "error": None,
    }
    assert {name: logged[name] for name in expected} == expected
