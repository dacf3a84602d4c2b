"""Access to Prometheus, against real servers on this machine: credentials, authorities, redirects, and no leaks."""

import base64
import hashlib
import hmac
import json
import logging
import re
import ssl
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from components.config.sections.prometheus_settings import PrometheusSettings
from rehearsal.controlplane.certificates import Certificates, write_certificates
from rollout.adapters.prometheus import Prometheus
from rollout.adapters.prometheus_access import PrometheusAccess
from rollout.model.errors import RefusedError, RolloutError

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
EMPTY = {"status": "success", "data": {"resultType": "vector", "result": []}}
SECRET = "precious-token-of-the-metrics"
WORKSPACE = "/workspaces/ws-0a1b2c3d"


@dataclass
class Server:
    """A server in place of Prometheus, and the requests that it got: paths as they were sent, and headers."""

    url: str = ""
    status: int = 200
    location: str = ""
    paths: list[str] = field(default_factory=list[str])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


@contextmanager
def running(certificates: Certificates | None = None) -> Generator[Server]:
    seen = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.paths.append(self.path)
            seen.headers.append({name.lower(): value for name, value in self.headers.items()})
            body = json.dumps(EMPTY).encode()
            self.send_response(seen.status)
            if seen.location:
                self.send_header("Location", seen.location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server, certificates.server_key)
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    seen.url = f"http{'s' if certificates else ''}://127.0.0.1:{listening.server_port}"
    try:
        yield seen
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


@pytest.fixture
def server() -> Generator[Server]:
    with running() as one:
        yield one


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials but those that a test sets."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


def prometheus(url: str, folder: Path = Path(), **settings: Any) -> Prometheus:
    return Prometheus(url, "chat", access=PrometheusAccess(PrometheusSettings.model_validate(settings), folder))


def ask(one: Prometheus) -> None:
    assert one.running_requests("blue") is None


def error_of(one: Prometheus) -> str:
    with pytest.raises(RolloutError) as raised:
        ask(one)
    return str(raised.value)


def test_without_settings_no_credential_is_sent(server: Server) -> None:
    ask(prometheus(server.url))
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
@pytest.mark.parametrize("kind", ["env", "file"])
def test_a_bearer_token_comes_from_a_variable_or_a_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, ending: str
) -> None:
    monkeypatch.setenv("TOKEN", SECRET + ending)
    (tmp_path / "token").write_text(SECRET + ending)
    source = {"env": "TOKEN"} if kind == "env" else {"file": "token"}
    ask(prometheus(server.url, tmp_path, bearer_token_from=source))
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"


def test_a_user_and_a_password_are_sent_as_basic_authentication(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "pässword: with colon")
    ask(prometheus(server.url, basic_auth={"username": "me", "password_from": {"env": "PASSWORD"}}))
    kind, _, both = server.headers[0]["authorization"].partition(" ")
    assert (kind, base64.b64decode(both).decode()) == ("Basic", "me:pässword: with colon")


def test_headers_are_sent_with_every_request(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", f"ApiKey {SECRET}")
    one = prometheus(
        server.url, headers={"X-Scope-OrgID": "tenant-1|tenant-2"}, headers_from={"Authorization": {"env": "KEY"}}
    )
    ask(one)
    one.counters(NOW)
    for headers in server.headers:
        assert headers["x-scope-orgid"] == "tenant-1|tenant-2"
        assert headers["authorization"] == f"ApiKey {SECRET}"
    assert len(server.headers) == 2


def test_a_secret_that_is_renewed_is_read_again(server: Server, tmp_path: Path) -> None:
    one = prometheus(server.url, bearer_token_from={"file": str(tmp_path / "token")})
    for token in ("first", "second"):
        (tmp_path / "token").write_text(token)
        ask(one)
    assert [headers["authorization"] for headers in server.headers] == ["Bearer first", "Bearer second"]


# SigV4, computed here a second time, from what the server got.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html


def signature(path: str, headers: Mapping[str, str], key: str) -> str:
    given = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(.+), SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        headers["authorization"],
    )
    assert given is not None
    scope, names = given[2], given[3].split(";")
    where, _, query = path.partition("?")
    pairs = sorted(
        (quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~"))
        for name, _, value in (one.partition("=") for one in query.split("&"))
    )
    canonical = "\n".join(
        [
            "GET",
            quote(where, safe="/-_.~"),
            "&".join("=".join(pair) for pair in pairs),
            *(f"{name}:{headers[name].strip()}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(b"").hexdigest(),
        ]
    )
    to_sign = "\n".join(
        ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    derived = f"AWS4{key}".encode()
    for part in scope.split("/"):
        derived = hmac.new(derived, part.encode(), "sha256").digest()
    return hmac.new(derived, to_sign.encode(), "sha256").hexdigest()


@pytest.mark.parametrize("session_token", ["", "token/of+the==session"])
@pytest.mark.parametrize("service", ["aps", "other"])
def test_a_signature_is_over_what_is_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch, service: str, session_token: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    if session_token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", session_token)
    sigv4 = {"region": "eu-central-1"} | ({} if service == "aps" else {"service": service})
    one = prometheus(server.url + WORKSPACE, sigv4=sigv4, headers={"X-Scope-OrgID": "a  b"})
    one.counters(NOW)  # its query has spaces, quotes, braces, stars and bars
    (path,), (headers,) = server.paths, server.headers
    assert path.startswith(f"{WORKSPACE}/api/v1/query?query=sum%20by%20")
    assert "+" not in path
    assert f"/eu-central-1/{service}/aws4_request, " in headers["authorization"]
    assert "SignedHeaders=host;x-amz-date" in headers["authorization"]
    assert headers.get("x-amz-security-token", "") == session_token
    assert ("x-amz-security-token" in headers["authorization"]) == bool(session_token)
    assert headers["authorization"].endswith(signature(path, headers, SECRET))
    assert not headers["authorization"].endswith(signature(path, headers, "another"))


def test_without_aws_credentials_nothing_is_sent(server: Server) -> None:
    message = error_of(prometheus(server.url, sigv4={"region": "eu-central-1"}))
    assert message.startswith("rollout.prometheus.sigv4: there are no AWS credentials. Set AWS_PROFILE, or log in")
    assert server.paths == []


def test_a_profile_that_does_not_exist_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    message = error_of(prometheus(server.url, sigv4={"region": "eu-central-1"}))
    assert message.startswith("rollout.prometheus.sigv4: AWS: The config profile (nobody) could not be found")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("authority"))


def test_a_private_authority_is_trusted_if_it_is_named(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    with running(certificates) as server:
        access: Any = {"bearer_token_from": {"env": "TOKEN"}}
        ask(prometheus(server.url, ca_file=str(certificates.authority), **access))
        assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
        message = error_of(prometheus(server.url, **access))
        assert "CERTIFICATE_VERIFY_FAILED" in message
        assert "If a private authority has issued its certificate, set rollout.prometheus.ca_file" in message
        other = write_certificates(tmp_path / "other")
        assert "CERTIFICATE_VERIFY_FAILED" in error_of(prometheus(server.url, ca_file=str(other.authority), **access))
        assert len(server.headers) == 1, "a server that is not trusted gets no token"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "ca.pem cannot be read (No such file or directory). Mount or write it, or set another path"),
        (b"", "ca.pem contains no certificate in PEM format"),
        (b"not a certificate", "ca.pem contains no certificate in PEM format"),
    ],
)
def test_a_bad_file_of_authorities_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    found = error_of(prometheus("https://127.0.0.1:9", tmp_path, ca_file="ca.pem"))
    assert found.startswith("rollout.prometheus.ca_file: ")
    assert message in found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not set. Set it to the secret, or name another one"),
        ("", "is empty. Put the secret there, or name another place"),
        ("\n", "is empty"),
        ("two precious words", "must be one word of printable ASCII. It is not shown."),
        ("precious\nprecious", "must be one word of printable ASCII"),
        ("précious", "must be one word of printable ASCII"),
    ],
)
def test_a_variable_without_a_usable_token_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch, content: str | None, message: str
) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    if content is not None:
        monkeypatch.setenv("TOKEN", content)
    found = error_of(prometheus(server.url, bearer_token_from={"env": "TOKEN"}))
    assert found.startswith("rollout.prometheus.bearer_token_from")
    assert f"the variable TOKEN {message}" in found or f"the content of the variable TOKEN {message}" in found
    assert "cious" not in found
    assert server.paths == []


UNUSABLE: list[tuple[Callable[[Path], object], str]] = [
    (lambda _: None, "cannot be read (No such file or directory). Mount or write it, or set another path"),
    (lambda path: path.mkdir(), "cannot be read (Is a directory)"),
    (lambda path: path.write_bytes(b"\xffprecious"), "is not text in UTF-8. Write the secret there"),
    (lambda path: path.write_text(""), "is empty. Put the secret there"),
    (lambda path: path.write_text("pre\x00cious"), "must be one line of text without control characters"),
]


@pytest.mark.parametrize(("write", "message"), UNUSABLE)
def test_a_file_without_a_usable_password_is_named(
    server: Server, tmp_path: Path, write: Callable[[Path], object], message: str
) -> None:
    write(tmp_path / "password")
    basic = {"username": "me", "password_from": {"file": "password"}}
    found = error_of(prometheus(server.url, tmp_path, basic_auth=basic))
    assert found.startswith("rollout.prometheus.basic_auth.password_from")
    assert message in found
    assert "cious" not in found
    assert server.paths == []


TOKEN: Any = {"bearer_token_from": {"env": "TOKEN"}}
USED: list[tuple[Any, int, str]] = [
    ({}, 401, "401 Unauthorized to a request without a credential. Set rollout.prometheus.bearer_token_from"),
    (
        TOKEN,
        401,
        "401 Unauthorized to the bearer token from the variable TOKEN (rollout.prometheus.bearer_token_from). Check",
    ),
    (TOKEN, 403, "403 Forbidden to the bearer token from the variable TOKEN (rollout.prometheus.bearer_token_from)"),
    (
        {"basic_auth": {"username": "me", "password_from": {"file": "token"}}},
        401,
        "401 Unauthorized to the user me with the password from the file token (rollout.prometheus.basic_auth.pass",
    ),
    (
        {"headers_from": {"X-Api-Key": {"env": "TOKEN"}}},
        403,
        "403 Forbidden to the header X-Api-Key from the variable TOKEN (rollout.prometheus.headers_from.X-Api-Key)",
    ),
    (
        {"sigv4": {"region": "us-east-1"}},
        403,
        "403 Forbidden to a signature for aps in us-east-1 with AWS credentials by env (rollout.prometheus.sigv4). "
        "Allow aps:QueryMetrics",
    ),
]


@pytest.mark.parametrize(("settings", "status", "message"), USED)
def test_a_credential_that_is_not_accepted_is_named_and_never_shown(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    status: int,
    message: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TOKEN", SECRET)
    (tmp_path / "token").write_text(SECRET)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    one = prometheus(server.url, tmp_path, **settings)
    ask(one)
    server.status = status
    found = error_of(one)
    assert f"Prometheus at {server.url} answers {message}" in found
    encoded = base64.b64encode(f"me:{SECRET}".encode()).decode()
    for text in (found, caplog.text):
        assert SECRET not in text
        assert encoded not in text
    assert caplog.records, "a test that sees no log proves nothing"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_gets_neither_the_credential_nor_a_request(
    server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    with running() as other:
        server.status, server.location = status, f"{other.url}/login?state={SECRET}"
        message = error_of(prometheus(server.url, **TOKEN))
        assert f'redirects to "{other.url}/", and credentials must not follow. Set rollout.prometheus_url' in message
        assert SECRET not in message
        assert other.paths == []


def test_a_url_from_the_environment_is_held_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_URL", "http://mimir.monitoring.svc")
    access = PrometheusAccess(PrometheusSettings.model_validate(TOKEN), Path())
    with pytest.raises(RefusedError) as raised:
        Prometheus(None, "chat", access=access)
    assert str(raised.value).startswith(
        "the variable PROMETHEUS_URL: must begin with https://, because rollout.prometheus.bearer_token_from would be "
        'sent in clear text (got "http://mimir.monitoring.svc"). Begin it with https://'
    )


def test_no_proxy_sees_a_secret_on_its_way_to_this_machine(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    with running() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        ask(prometheus(server.url, **TOKEN))
        assert (len(server.paths), len(proxy.paths)) == (1, 0)
        ask(prometheus(server.url))
        assert (len(server.paths), len(proxy.paths)) == (1, 1), "without a secret, a proxy is used as ever"
