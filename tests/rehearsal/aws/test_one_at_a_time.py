"""moto is not made for threads: a role added while another request looks for one is a 500."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from rehearsal.aws.faults import Faults
from rehearsal.aws.moto import api_server
from rehearsal.system.processes import free_port

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication


def test_the_api_answers_one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    two = threading.Barrier(2)

    def application(_: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        try:
            two.wait(timeout=0.3)
        except threading.BrokenBarrierError:
            two.reset()
            start_response("200 OK", [("Content-Length", "0")])
        else:
            start_response("500 Internal Server Error", [("Content-Length", "0")])
        return []

    def dispatcher(_: object) -> "WSGIApplication":
        return application

    monkeypatch.setattr(api_server, "DomainDispatcherApplication", dispatcher)
    port = free_port()
    api_server.start_api_server(port, Faults(weight_lag_seconds=0, deregistration_propagation_seconds=0))

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(httpx.get, [f"http://127.0.0.1:{port}"] * 2))

    assert [answer.status_code for answer in answers] == [200, 200]
