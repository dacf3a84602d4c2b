"""Sends notifications in background threads, one for each target. It never delays or fails a command.

No URL and no secret is kept, logged or part of a message.
"""

import hashlib
import hmac
import json
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from components.config.sections.notification_settings import EventName, NotificationTarget, SnsSettings, WebhookSettings
from components.config.sections.prometheus_settings import SecretSource, is_loopback
from rollout.adapters.secret import LINE, WORD, place_of, read_secret
from rollout.model.errors import RolloutError, UnavailableError
from rollout.model.notification import Notification
from rollout.system.failures import describe_error
from rollout.system.waits import waiting

TIMESTAMP_HEADER: Final = "X-Rollout-Timestamp"
SIGNATURE_HEADER: Final = "X-Rollout-Signature"
WAITING: Final = 100
"""The most notifications that may wait for one target."""
CLOSE_SECONDS: Final = 3.0
"""How long the end of a command may wait for what is unsent."""
ATTEMPT_SECONDS: Final = 5.0
"""How long one attempt may wait for a connection, and for an answer."""
_LONGEST_DELAY_SECONDS: Final = 15.0
_THREAD: Final = "notifications to "
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long one notification is retried."""

    seconds: float = 60.0
    first_delay_seconds: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """Where notifications go."""

    name: str
    """The setting, for messages."""
    events: frozenset[EventName]
    """The events to send. Empty for all."""
    deliver: Callable[[Notification], None]
    """Tries once. Raises UnavailableError when a later attempt may succeed, another error when none will."""


def open_targets(settings: Sequence[NotificationTarget], folder: Path) -> list[Recipient]:
    """Return the targets of the settings. Relative paths of secrets are below ``folder``."""
    return [
        Recipient(name=name, events=frozenset(one.events), deliver=_deliver_to(one, name, folder))
        for number, one in enumerate(settings)
        for name in [f"rollout.notifications[{number}].{one.kind}"]
    ]


class Notifier:
    """Sends notifications to all targets."""

    def __init__(
        self, targets: Sequence[Recipient], say: Callable[[str], None], patience: Patience | None = None
    ) -> None:
        """Start nothing yet.

        Args:
            targets: the targets.
            say: shows a line. It is called at most once for each target, from any thread.
            patience: how long to retry. Default: a minute.
        """
        self._senders = [_Sender(target, say, patience or Patience()) for target in targets]

    def send(self, notification: Notification) -> None:
        """Send a notification in the background, and return at once."""
        for sender in self._senders:
            sender.put(notification)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Wait until all is sent, but no longer than these seconds. Say what was not sent."""
        deadline = time.monotonic() + seconds
        for sender in self._senders:
            sender.close()
        with waiting("notifications that are still to be sent", at_most_seconds=seconds):
            for sender in self._senders:
                sender.join(deadline)


class _Sender:
    def __init__(self, target: Recipient, say: Callable[[str], None], patience: Patience) -> None:
        self._target = target
        self._say = say
        self._patience = patience
        self._waiting: queue.Queue[Notification | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        self._given_up = threading.Event()
        self._reporting = threading.Lock()
        self._reported = False

    def put(self, notification: Notification) -> None:
        if self._target.events and notification.event not in self._target.events:
            return
        try:
            self._waiting.put_nowait(notification)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"{_THREAD}{self._target.name}", daemon=True)
                self._thread.start()
        except queue.Full:
            self._report(f"{WAITING} notifications are waiting already, so {notification.event} was left out")
        except RuntimeError as error:  # the system gives no further thread
            self._report(describe_error(error))

    def close(self) -> None:
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            self._given_up.set()

    def join(self, deadline: float) -> None:
        if self._thread is None or self._thread.ident is None:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._given_up.set()
            self._report("the command ended before all notifications were delivered; the rest is lost", then="")

    def _run(self) -> None:
        while not self._given_up.is_set() and (notification := self._waiting.get()) is not None:
            try:
                self._deliver(notification)
            except Exception as error:  # no failure of a delivery may go further than a line
                self._report(f"{notification.event} was not delivered: {describe_error(error)}")

    def _deliver(self, notification: Notification) -> None:
        deadline = time.monotonic() + self._patience.seconds
        delay = self._patience.first_delay_seconds
        while True:
            try:
                return self._target.deliver(notification)
            except UnavailableError:
                if time.monotonic() + delay > deadline or self._given_up.wait(delay):
                    raise
            delay = min(2 * delay, _LONGEST_DELAY_SECONDS)

    def _report(self, text: str, then: str = ". The command goes on without it") -> None:
        """Say the first failure. Later ones of the same target are no news."""
        with self._reporting:
            if self._reported:
                return
            self._reported = True
        self._say(f"warning: {self._target.name}: {text}{then}")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a request: HMAC-SHA256 of the timestamp, a dot and the body, in hex."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _deliver_to(target: NotificationTarget, name: str, folder: Path) -> Callable[[Notification], None]:
    if target.webhook is not None:
        settings = target.webhook
        return lambda notification: _to_webhook(settings, name, folder, notification)
    if target.slack is not None:
        source = target.slack.url_from
        return lambda notification: _post(_url(name, source, folder), _slack_body(notification), {})
    assert target.sns is not None
    sns = target.sns
    return lambda notification: _publish(sns, notification)


def _to_webhook(settings: WebhookSettings, name: str, folder: Path, notification: Notification) -> None:
    body, headers = _json(notification.as_json()), dict[str, str]()
    if (source := settings.signing_secret_from) is not None:
        secret = read_secret(f"{name}.signing_secret_from", source, folder, LINE)
        timestamp = str(int(time.time()))
        headers = {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: f"v1={signature(secret, timestamp, body)}"}
    _post(_url(name, settings.url_from, folder), body, headers)


def _slack_body(notification: Notification) -> bytes:
    # https://docs.slack.dev/messaging/formatting-message-text#escaping
    text = notification.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _json({"text": text})


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def _url(name: str, source: SecretSource, folder: Path) -> str:
    """Read a URL.

    Raises:
        RolloutError: it is missing, is no URL, or would be sent in clear text. The message does not show it.
    """
    field = f"{name}.url_from"
    url = read_secret(field, source, folder, WORD, what="the URL")
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        usable = usable and bool(parts.hostname) and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable:
        what = "a URL that begins with https:// (http:// only to this machine)"
        # No cause: its message may contain a part of the URL.
        raise RolloutError(f"{field}: {place_of(source)} must contain {what}. It is not shown. Correct it") from None
    return url


class _WithoutOurs(logging.Filter):
    """Leaves out what the HTTP client logs of our requests: URLs, and answers that may repeat them."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.threadName or "").startswith(_THREAD)


# https://www.python-httpx.org/logging/ and https://www.encode.io/httpcore/logging/; a filter is not inherited.
for _name in ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))):
    logging.getLogger(_name).addFilter(_WithoutOurs())


def _post(url: str, body: bytes, headers: dict[str, str]) -> None:
    """Send a body once. Redirects are not followed: they would carry it elsewhere."""
    headers = {"Content-Type": "application/json", "User-Agent": "vllm-blue-green", **headers}
    try:
        with (
            httpx.Client(timeout=ATTEMPT_SECONDS, follow_redirects=False) as client,
            client.stream("POST", url, content=body, headers=headers) as answer,
        ):
            status = answer.status_code
    except httpx.TimeoutException:
        raise UnavailableError(f"no answer within {ATTEMPT_SECONDS:g} s") from None
    except httpx.HTTPError as error:
        # Its message may contain the URL.
        raise UnavailableError(f"no connection ({type(error).__name__}). Check URL, network and certificate") from None
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
        raise UnavailableError(f"the server answers {status}")
    if status < HTTPStatus.BAD_REQUEST:
        raise RolloutError(f"the server answers {status}, and redirects are not followed. Set the URL that it leads to")
    raise RolloutError(f"the server answers {status}. Check the URL and the server's log")


def _publish(settings: SnsSettings, notification: Notification) -> None:
    import boto3
    from botocore import exceptions as aws
    from botocore.config import Config

    config = Config(
        connect_timeout=ATTEMPT_SECONDS,
        read_timeout=ATTEMPT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    client: Any = boto3.client("sns", region_name=settings.topic_arn.split(":")[3], config=config)
    # The subject has at most 100 characters of printable ASCII.
    # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    subject = re.sub(r"[^ -~]", "?", f"{notification.origin.service}: {notification.event}")[:99]
    try:
        client.publish(
            TopicArn=settings.topic_arn,
            Subject=subject,
            Message=_json(notification.as_json()).decode(),
            MessageAttributes={"event": {"DataType": "String", "StringValue": notification.event}},
        )
    except aws.ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnavailableError(describe_error(error)) from error
        if error.response.get("Error", {}).get("Code") in ("Throttled", "Throttling", "ThrottlingException"):
            raise UnavailableError(describe_error(error)) from error
        raise
    except (aws.HTTPClientError, aws.ConnectionError) as error:
        raise UnavailableError(describe_error(error)) from error
