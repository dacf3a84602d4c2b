"""The candidate route counts its own requests and leaks no secret."""

import os
import ssl
import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rollout.adapters.candidate_route import CandidateRoute
from rollout.model.errors import RolloutError

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


def test_the_check_goes_the_candidate_s_way_and_is_counted_as_ours() -> None:
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"data": []})

    checked = route(httpx.Response(200), Moving())
    checked.transport = httpx.MockTransport(handle)
    checked.check("blue")
    assert [request.headers["x-candidate-route"] for request in asked] == ["blue-s3cret"]
    assert checked.sent("blue", START, START + timedelta(seconds=1)) == 1


def test_what_answers_instead_of_the_pods_is_an_error() -> None:
    with pytest.raises(RolloutError, match=r"answers 403, and not from the pods: most likely a rule of the web ACL"):
        route(httpx.Response(403, content=b"<html>"), Moving()).check("blue")


def endpoint(url: str) -> CandidateRoute:
    return CandidateRoute(
        endpoint_url=lambda: url, route_secret=lambda: "s3cret", api_key=lambda: None, served_model_name="chat"
    )


def check_blue(route: CandidateRoute) -> None:
    route.check("blue")


@pytest.mark.parametrize("ask", [CandidateRoute.prepare, check_blue])
def test_a_name_that_does_not_resolve_here_is_named(ask: Callable[[CandidateRoute], None]) -> None:
    with pytest.raises(RolloutError, match=r"the name chat\.invalid does not resolve on this machine.*ROLLOUT_RUNNER"):
        ask(endpoint("https://chat.invalid"))


@pytest.fixture
def tls_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[int]:
    """The port of a server with a certificate for chat.example.com that nobody has signed."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    write_certificate(certificate, key, "chat.example.com")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("OWN_CA", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield listening.server_port
    listening.shutdown()
    listening.server_close()
    thread.join()


def write_certificate(certificate: Path, key: Path, name: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def test_a_certificate_of_a_ca_of_one_s_own_is_told_from_one_for_another_name(
    tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RolloutError, match=r"its certificate is not valid for .*set SSL_CERT_FILE"):
        endpoint(f"https://localhost:{tls_port}").check("blue")
    monkeypatch.setenv("SSL_CERT_FILE", os.environ["OWN_CA"])
    with pytest.raises(RolloutError, match="Set endpoint_url to a name that the certificate has"):
        endpoint(f"https://localhost:{tls_port}").check("blue")
