"""Notifications arrive signed, and a target that fails, is slow or hangs costs nothing but a line."""

import json
import logging
import time
from pathlib import Path
from threading import Event
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from components.config.sections.notification_settings import NotificationTarget
from rollout.adapters.notifier import WAITING, Notifier, Patience, open_targets
from rollout.model.notification import Notification, Origin
from rollout.report.notifications import Following, follow
from tests.rollout.fakes import START, World
from tests.rollout.report.test_read import ramp
from tests.webhook import PATH, SECRET, is_genuine, serving

ORIGIN = Origin(stack="prod", service="chat", options="--stack prod")
QUICK = Patience(seconds=2.0, first_delay_seconds=0.01)


def note(event: Any = "ended", text: str = "chat (prod): ended: <promoted> & done") -> Notification:
    return Notification(event=event, id="1", at=START, origin=ORIGIN, rollout="r1", text=text, details={"n": 1})


def notifier(kind: str, monkeypatch: pytest.MonkeyPatch, url: str, **more: Any) -> tuple[Notifier, list[str]]:
    monkeypatch.setenv("HOOK_URL", url)
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    signed = {"signing_secret_from": {"env": "HOOK_SECRET"}} if kind == "webhook" else {}
    target = NotificationTarget.model_validate({kind: {"url_from": {"env": "HOOK_URL"}, **signed}, **more})
    said: list[str] = []
    return Notifier(open_targets([target], Path()), said.append, QUICK), said


def test_a_webhook_gets_json_whose_signature_can_be_recomputed(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as (server, url):
        sender, said = notifier("webhook", monkeypatch, url)
        sender.send(note())
        sender.close()
    ((path, headers, body),) = server.requests
    assert (path, said) == (PATH, [])
    assert json.loads(body) == note().as_json()
    assert abs(time.time() - int(headers["X-Rollout-Timestamp"])) < 60
    assert is_genuine(headers, body)
    assert not is_genuine(headers, body + b" ")


def test_slack_gets_escaped_text_and_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as (server, url):
        sender, said = notifier("slack", monkeypatch, url)
        sender.send(note())
        sender.close()
    ((_, headers, body),) = server.requests
    assert json.loads(body) == {"text": "chat (prod): ended: &lt;promoted&gt; &amp; done"}
    assert not [name for name in headers if name.startswith("X-Rollout")]
    assert said == []


def test_only_chosen_events_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as (server, url):
        sender, _ = notifier("webhook", monkeypatch, url, events=["paused"])
        sender.send(note("ended"))
        sender.send(note("paused"))
        sender.close()
    assert [json.loads(body)["event"] for _, _, body in server.requests] == ["paused"]


def test_a_passing_failure_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as (server, url):
        server.answers = [503, 429]
        sender, said = notifier("webhook", monkeypatch, url)
        sender.send(note())
        sender.close()
    assert (len(server.requests), said) == (3, [])


@pytest.mark.parametrize(
    ("status", "message"), [(400, "answers 400"), (404, "answers 404"), (302, "redirects are not followed")]
)
def test_a_lasting_failure_is_a_line_once_and_redirects_are_not_followed(
    status: int, message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving() as (server, url):
        server.answers, server.location = [status] * 2, url
        sender, said = notifier("webhook", monkeypatch, url)
        sender.send(note())
        sender.send(note())
        sender.close()
    assert len(server.requests) == 2
    (line,) = said
    assert message in line
    assert line.startswith("warning: rollout.notifications[0].webhook: ended was not delivered")
    assert "precious" not in line + caplog.text
    assert SECRET not in line + caplog.text


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://hooks.example.com/precious", "begins with https://"),
        ("ftp://hooks.example.com/precious", "begins with https://"),
        ("https://", "begins with https://"),
        ("https://[precious", "begins with https://"),
        ("https://a:precious/", "begins with https://"),
        ("two precious words", "one word"),
        ("http://127.0.0.1:1/precious", "no connection (ConnectError)"),
    ],
)
def test_a_url_that_cannot_be_used_is_not_shown(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sender, said = notifier("slack", monkeypatch, url)
    sender.send(note())
    sender.close()
    (line,) = said
    assert message in line
    assert "precious" not in line


def test_a_missing_secret_is_a_line_that_names_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, said = notifier("webhook", monkeypatch, "https://127.0.0.1:1/")
    monkeypatch.delenv("HOOK_SECRET")
    sender.send(note())
    sender.close()
    (line,) = said
    assert "webhook.signing_secret_from.env: the variable HOOK_SECRET is not set" in line


def test_a_missing_url_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, said = notifier("slack", monkeypatch, "https://127.0.0.1:1/")
    monkeypatch.delenv("HOOK_URL")
    sender.send(note())
    sender.close()
    (line,) = said
    assert "slack.url_from.env: the variable HOOK_URL is not set. Set it to the URL, or name another one" in line


def followed(sender: Notifier | None) -> tuple[str | None, float, float]:
    """Return a failing rollout's outcome, its time by the fakes' clock, and the real seconds that it took."""
    world = World()
    world.error_rate["green"] = 0.3
    known, write = Following(), world.journal.write

    def write_and_send(body: Any) -> None:
        nonlocal known
        write(body)
        known, found = follow(known, world.journal.kept[-1], ORIGIN)
        if found is not None and sender is not None:
            sender.send(found)

    world.journal.write = write_and_send
    began = time.monotonic()
    report = ramp(world)
    return report.outcome, world.clock.elapsed, time.monotonic() - began


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_a_rollout_ends_alike_and_in_the_same_time_whatever_its_targets_do(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, elapsed, _ = followed(None)
    with serving() as (server, url):
        if how == "hangs":
            server.hang = Event()
        else:
            server.answers = [500] * 1000
        sender, said = notifier("webhook", monkeypatch, url)
        seen, took, seconds = followed(sender)
        assert (seen, took) == (outcome, elapsed)
        assert seconds < 4  # one hanging attempt alone takes 5
        began = time.monotonic()
        sender.close(0.5)
        assert time.monotonic() - began < 1.5
        assert len(said) == 1
        assert ("The command goes on without it" in said[0]) is not ("the command ended before" in said[0])


def test_what_does_not_fit_is_left_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as (server, url):
        server.hang = Event()
        sender, said = notifier("webhook", monkeypatch, url)
        began = time.monotonic()
        for _ in range(WAITING + 2):
            sender.send(note())
        assert time.monotonic() - began < 2
        assert said == [f"{line}" for line in said if "are waiting already" in line]
        assert len(said) == 1
        sender.close(0.1)
        assert len(said) == 1


def test_a_topic_gets_the_same_json(monkeypatch: pytest.MonkeyPatch) -> None:
    arn = "arn:aws:sns:eu-central-1:123456789012:rollouts"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client: Any = boto3.client("sns", region_name="eu-central-1")
    opened: list[Any] = []

    def open_client(service: str, **options: Any) -> Any:
        opened.append((service, options["region_name"]))
        return client

    monkeypatch.setattr(boto3, "client", open_client)
    said: list[str] = []
    target = NotificationTarget.model_validate({"sns": {"topic_arn": arn}})
    with Stubber(client) as stub:
        expected = {
            "TopicArn": arn,
            "Subject": "chat: ended",
            "Message": json.dumps(note().as_json(), ensure_ascii=False),
            "MessageAttributes": {"event": {"DataType": "String", "StringValue": "ended"}},
        }
        stub.add_client_error("publish", "InternalError", "try again", http_status_code=500, expected_params=expected)
        stub.add_response("publish", {"MessageId": "1"}, expected)
        stub.add_client_error(
            "publish", "AuthorizationError", "no", http_status_code=403, expected_params={**expected, "Message": ANY}
        )
        sender = Notifier(open_targets([target], Path()), said.append, QUICK)
        sender.send(note())
        sender.send(note())
        sender.close()
        stub.assert_no_pending_responses()
    assert opened == [("sns", "eu-central-1")] * 3
    (line,) = said
    assert "rollout.notifications[0].sns: ended was not delivered: AWS Publish: AuthorizationError" in line
