"""The candidate route counts its own requests and leaks no secret."""

import threading
from datetime import UTC, datetime, timedelta

import httpx

from rollout.adapters.candidate_route import CandidateRoute

START = datetime(2026, 11, 21, tzinfo=UTC)


class Moving:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at


def route(answer: httpx.Response | Exception, now: Moving) -> CandidateRoute:
    def handle(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content)

    return CandidateRoute(
        endpoint_url=lambda: "http://service",
        route_secret=lambda: "s3cret",
        api_key=lambda: "sesame",
        served_model_name="chat",
        now=now,
        transport=httpx.MockTransport(handle),
    )


def test_requests_are_counted_by_colour_and_time_whatever_came_of_them() -> None:
    now = Moving()
    broken = route(httpx.ConnectError("refused"), now)
    broken.ask("green", {"prompt": "a"})
    now.at += timedelta(seconds=10)
    broken.ask("green", {"prompt": "a"})
    broken.ask("blue", {"prompt": "a"})
    later = START + timedelta(seconds=10)
    assert broken.sent("green", START, later) == 1
    assert broken.sent("green", START, later + timedelta(seconds=1)) == 2
    assert broken.sent("blue", START, later) == 0


def test_counting_is_safe_between_threads() -> None:
    busy = route(httpx.Response(200, content=b"{}"), Moving())
    threads = [threading.Thread(target=lambda: [busy.ask("blue", {"prompt": "a"}) for _ in range(20)]) for _ in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert busy.sent("blue", START, START + timedelta(seconds=1)) == 80


def test_whatever_goes_wrong_is_the_answers_error_and_shows_no_secret() -> None:
    for answer, message in (
        (httpx.ConnectError("refused"), "refused"),
        (httpx.Response(503, content=b"overloaded"), "status 503: overloaded"),
        (httpx.Response(200, content=b"<html>"), "Expecting value"),
        (httpx.Response(200, content=b"[1]"), "list"),
    ):
        found = route(answer, Moving()).ask("green", {"messages": []})
        assert message in (found.error or "")
        assert "s3cret" not in str(found)
        assert "sesame" not in str(found)
