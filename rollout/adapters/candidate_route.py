"""The candidate route: requests to one colour at any weight, with a header that contains the stack's secret."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpx

from components.domain.naming import CANDIDATE_ROUTE_HEADER, Color
from rollout.adapters.closed_loop import ClosedLoop
from rollout.adapters.event_stream import BrokenStreamError, EventStream, answer_of
from rollout.model.answers import Answer, path_of, read_error
from rollout.model.errors import RolloutError
from rollout.model.route_answers import answer_violation
from rollout.system.endpoint_key import FIX, VARIABLE
from rollout.system.failures import describe_error
from rollout.system.waits import waiting

MODELS_PATH = "/v1/models"
CONNECT_TIMEOUT_SECONDS = 10.0


@dataclass(kw_only=True)
class CandidateRoute:
    """Sends requests to either colour as a client would, and counts them: they are not client traffic.

    Safe to use from several threads.
    """

    endpoint_url: Callable[[], str]
    route_secret: Callable[[], str]
    api_key: Callable[[], str | None]
    served_model_name: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    transport: httpx.BaseTransport | None = None
    _sent: list[tuple[Color, datetime]] = field(default_factory=list[tuple[Color, datetime]], init=False)
    _counting: threading.Lock = field(default_factory=threading.Lock, init=False)

    def prepare(self) -> None:
        """Find the secrets and call the endpoint. Every answer is accepted except 401.

        Raises:
            RolloutError: a secret is missing or unusable, or the endpoint does not answer, or answers 401.
        """
        self.route_secret()
        url = self.endpoint_url()
        try:
            with waiting(f"the endpoint {url}", at_most_seconds=3 * CONNECT_TIMEOUT_SECONDS):
                answer = self._client.get(MODELS_PATH, timeout=CONNECT_TIMEOUT_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(url, error) from error
        if answer.status_code == 401:
            reason = f"it rejects the key in {VARIABLE}" if self.api_key() else "it asks for an API key"
            raise RolloutError(f"the endpoint {url} answers 401: {reason}; {FIX}")

    def check(self, color: Color) -> None:
        """Make sure that a request on the candidate route is answered by a colour's pods.

        Raises:
            RolloutError: it is not; the message says what answers instead, and how to fix it.
        """
        url = self.endpoint_url()
        self._count(color)
        try:
            with waiting(f"{color} behind the endpoint {url}", at_most_seconds=3 * CONNECT_TIMEOUT_SECONDS):
                answer = self._client.get(MODELS_PATH, headers=self.headers(color), timeout=CONNECT_TIMEOUT_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(url, error) from error
        if violation := answer_violation(answer.status_code, answer.headers, answer.text, url=url):
            raise RolloutError(violation)

    def models(self, color: Color, *, timeout_seconds: float = 60.0) -> Mapping[str, str | None]:
        """Return the models that a colour serves, by served name.

        Raises:
            RolloutError: the colour does not return them.
        """
        self._count(color)
        try:
            with waiting(f"the models of {color}", at_most_seconds=3 * timeout_seconds):
                response = self._client.get(MODELS_PATH, headers=self.headers(color), timeout=timeout_seconds)
            if response.status_code != 200:
                raise RolloutError(read_error(response.status_code, response.text))
            return {card["id"]: card.get("root") for card in response.json()["data"]}
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise RolloutError(str(error) or type(error).__name__) from error

    def ask(
        self, color: Color, body: Mapping[str, Any], *, stream: bool = False, timeout_seconds: float = 60.0
    ) -> Answer:
        """Send a chat or a completion request, depending on the body. Any failure becomes the answer's ``error``."""
        asked = {"model": self.served_model_name, **body, "stream": stream}
        self._count(color)
        began = time.monotonic()
        try:
            with self._client.stream(
                "POST", path_of(body), json=asked, headers=self.headers(color), timeout=timeout_seconds
            ) as response:
                answer = _read(response, began, stream=stream)
        except (httpx.HTTPError, BrokenStreamError, ValueError, LookupError, TypeError, AttributeError) as error:
            answer = Answer(status=None, error=str(error) or type(error).__name__)
        return replace(answer, total_seconds=time.monotonic() - began)

    def closed_loop(self, color: Color, bodies: Iterator[Mapping[str, Any]], *, timeout_seconds: float) -> ClosedLoop:
        """Return a loop that sends streamed requests to a colour while its context is entered.

        Args:
            color: the colour.
            bodies: the requests, one after the other. It must not end.
            timeout_seconds: the longest time without a byte of an answer.
        """
        return ClosedLoop(
            base_url=self.endpoint_url(),
            headers={**self._credential, **self.headers(color)},
            requests=({"model": self.served_model_name, **body, "stream": True} for body in bodies),
            timeout_seconds=timeout_seconds,
            count=lambda: self._count(color),
        )

    def headers(self, color: Color) -> Mapping[str, str]:
        """Return the secret header that routes a request to a colour."""
        return {CANDIDATE_ROUTE_HEADER: f"{color}-{self.route_secret()}"}

    @contextmanager
    def forward(
        self,
        color: Color,
        method: str,
        path: str,
        *,
        content: bytes,
        headers: Mapping[str, str],
        timeout_seconds: float = 60.0,
    ) -> Generator[httpx.Response]:
        """Forward another client's request to a colour, and yield the response while it arrives.

        Raises:
            httpx.HTTPError: the endpoint does not answer.
        """
        self._count(color)
        # Our headers come last: the client must not choose the colour or the key.
        sent = {**headers, **self._client.headers, **self.headers(color)}
        with self._client.stream(method, path, content=content, headers=sent, timeout=timeout_seconds) as response:
            yield response

    def sent(self, color: Color, start: datetime, end: datetime) -> int:
        """Return how many requests this route sent to a colour in a window."""
        with self._counting:
            return sum(to == color and start <= at < end for to, at in self._sent)

    def _count(self, color: Color) -> None:
        with self._counting:
            self._sent.append((color, self.now()))

    @cached_property
    def _client(self) -> httpx.Client:
        # Without a limit of connections: the check that sends decides how many requests are open at once.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        return httpx.Client(
            base_url=self.endpoint_url(), headers=self._credential, transport=self.transport, limits=limits
        )

    @cached_property
    def _credential(self) -> Mapping[str, str]:
        key = self.api_key()
        return {} if key is None else {"Authorization": f"Bearer {key}"}


def _unreachable(url: str, error: Exception) -> RolloutError:
    """Return why the endpoint does not answer, with the fix."""
    reason, host = describe_error(error), urlsplit(url).hostname
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return RolloutError(
                f"the endpoint {url} does not answer ({reason}): the name {host} does not resolve on this machine. If "
                "it is in a private hosted zone, run the script where that is known (in CI: ROLLOUT_RUNNER); else "
                "check endpoint_url"
            )
        if isinstance(cause, ssl.SSLCertVerificationError):
            other_name = "mismatch" in cause.verify_message  # OpenSSL: "Hostname mismatch", "IP address mismatch"
            fix = (
                "Set endpoint_url to a name that the certificate has"
                if other_name
                else "If a CA of your own has signed it, set SSL_CERT_FILE to a file with that CA"
            )
            return RolloutError(
                f"the endpoint {url} does not answer ({reason}): its certificate is not valid for {host} here. {fix}"
            )
        cause = cause.__cause__ or cause.__context__
    return RolloutError(f"the endpoint {url} does not answer ({reason}); check endpoint_url, DNS and the network")


def _read(response: httpx.Response, began: float, *, stream: bool) -> Answer:
    if response.status_code != 200:
        response.read()
        return Answer(status=response.status_code, error=read_error(response.status_code, response.text))
    if not stream:
        response.read()
        return answer_of([response.json()], response.status_code)
    events = EventStream(began)
    for line in response.iter_lines():
        if events.read(line, time.monotonic()):
            break
    return events.answer(response.status_code)
