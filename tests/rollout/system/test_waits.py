"""Waits: what is awaited, since when, until when at most, whoever waits."""

import re
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from rollout.system import waits
from rollout.system.waits import Wait, current, longest_call_seconds, name_calls, waiting
from tests.rollout.system.test_failures import aws_error, server


@pytest.fixture(autouse=True)
def named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "NAMED_AFTER_SECONDS", 0)


def shown() -> str | None:
    wait = current()
    return None if wait is None else wait.what


def test_the_innermost_wait_is_the_current_one_while_it_lasts() -> None:
    assert shown() is None
    with waiting("the hold"):
        with waiting("AWS"):
            assert shown() == "AWS"
        assert shown() == "the hold"
    assert shown() is None


def test_a_wait_ends_however_its_block_ends() -> None:
    with pytest.raises(KeyboardInterrupt), waiting("AWS"):
        raise KeyboardInterrupt
    assert shown() is None


def test_a_short_wait_needs_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "NAMED_AFTER_SECONDS", 2)
    with waiting("the hold", lasted_seconds=3), waiting("AWS"):
        assert shown() == "the hold"


def test_waits_of_all_threads_are_known() -> None:
    begun, done = threading.Event(), threading.Event()

    def work() -> None:
        with waiting("Pulumi"):
            begun.set()
            done.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(10)
    assert shown() == "Pulumi"
    done.set()
    thread.join()
    assert shown() is None


@given(lasted=st.integers(0, 10**6), most=st.none() | st.integers(1, 10**6))
def test_the_words_say_since_when_and_until_when_at_most(lasted: int, most: int | None) -> None:
    since = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
    wait = Wait(what="AWS", since=since, began=time.monotonic() - lasted, at_most_seconds=most)
    found = re.fullmatch(r"waiting for AWS: since 12:00:00 \((\d+) s\), (.*)", str(wait))
    assert found is not None
    assert abs(int(found[1]) - lasted) <= 1
    end = "without a limit" if most is None else f"until {since + timedelta(seconds=most):%H:%M:%S} UTC at most"
    assert found[2] == end


@given(columns=st.integers(0, 200), what=st.text("ab ", max_size=120))
def test_on_a_narrow_terminal_the_times_stay_whole(columns: int, what: str) -> None:
    wait = Wait(what=what, since=datetime(2026, 11, 29, 12, tzinfo=UTC), began=time.monotonic(), at_most_seconds=60)
    shown = wait.within(columns)
    assert len(shown) <= columns
    if columns >= 80:
        assert shown.endswith(": since 12:00:00 (0 s), until 12:01:00 UTC at most")
    if columns >= len(str(wait)):
        assert shown == str(wait)


def client(url: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=1)
    made = boto3.client(
        "sts",
        region_name="eu-central-1",
        endpoint_url=url,
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=config,
    )
    name_calls(made, at_most_seconds=7)
    return made


@pytest.mark.parametrize("status", [403, 503])
def test_a_call_of_aws_is_named_until_its_answer_or_its_failure(status: int) -> None:
    seen: list[Wait | None] = []
    with server(status, aws_error("AccessDenied")) as (url, _):
        asked = client(url)

        def look(**_: object) -> None:
            seen.append(current())

        asked.meta.events.register("request-created", look)
        with pytest.raises(Exception, match="AccessDenied"):
            asked.get_caller_identity()
    assert [(one.what, one.at_most_seconds) for one in seen if one] == [("AWS (sts GetCallerIdentity)", 7)]
    assert shown() is None


def test_a_call_that_gets_no_answer_is_no_wait_any_more() -> None:
    with pytest.raises(Exception, match=r"127\.0\.0\.1:9"):
        client("http://127.0.0.1:9").get_caller_identity()
    assert shown() is None


def test_a_call_with_all_its_attempts_has_a_limit() -> None:
    assert longest_call_seconds(attempts=1, timeout_seconds=7) == 7
    assert longest_call_seconds(attempts=4, timeout_seconds=7) == 4 * 7 + 1 + 2 + 4
    assert longest_call_seconds(attempts=8, timeout_seconds=7) == 8 * 7 + 1 + 2 + 4 + 8 + 16 + 20 + 20
