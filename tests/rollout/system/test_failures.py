"""Errors of libraries, described in one line each: real clients against closed ports and servers that refuse."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ProfileNotFound, SSOTokenLoadError, UnauthorizedSSOTokenError
from kubernetes import client as kubernetes

from rollout.model.errors import RefusedError
from rollout.system.failures import describe_error

# Nothing listens on the discard port.
CLOSED = "http://127.0.0.1:9"


@contextmanager
def server(status: int, body: str) -> Generator[tuple[str, list[str]]]:
    """Run a server that answers every request the same way, and yield its URL and its requests."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.do_GET()

        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", seen
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def aws_error(code: str) -> str:
    return f"<ErrorResponse><Error><Code>{code}</Code><Message>No, because.</Message></Error></ErrorResponse>"


def ask_aws(url: str, attempts: int = 1) -> None:
    config = Config(connect_timeout=2, read_timeout=2, retries={"mode": "standard", "total_max_attempts": attempts})
    session = boto3.Session("x", "precious", region_name="us-east-1")
    session.client("elbv2", endpoint_url=url, config=config).describe_rules()


def words(call: Callable[[], object]) -> str:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever the library has
        call()
    reported = describe_error(raised.value)
    assert "\n" not in reported
    assert "object at 0x" not in reported
    assert "precious" not in reported
    return reported


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ExpiredToken", "the credentials have expired (ExpiredToken: No, because). Log in again"),
        ("RequestExpired", "the credentials have expired"),
        ("InvalidClientTokenId", "the credentials are not valid"),
        ("SignatureDoesNotMatch", "the credentials are not valid"),
        ("AccessDenied", "AWS DescribeRules: AccessDenied: No, because. Allow the action for this identity"),
        ("RuleNotFound", "AWS DescribeRules: RuleNotFound: No, because"),
    ],
)
@pytest.mark.slow
def test_what_aws_refuses_says_what_to_do(code: str, said: str) -> None:
    with server(403, aws_error(code)) as (url, seen):
        assert said in words(lambda: ask_aws(url))
    assert len(seen) == 1


@pytest.mark.slow
def test_throttling_is_retried_before_it_is_reported() -> None:
    with server(400, aws_error("Throttling")) as (url, seen):
        assert "also after retries. Try again later" in words(lambda: ask_aws(url, attempts=2))
    assert len(seen) == 2


@pytest.mark.parametrize("url", [CLOSED, "http://nowhere.invalid"])
def test_an_aws_endpoint_that_is_down_is_named(url: str) -> None:
    reported = words(lambda: ask_aws(url))
    assert f"{url}/ does not answer" in reported
    assert "aws:region" in reported


def test_a_region_a_profile_or_a_login_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    assert "Set aws:region in the stack's config" in words(lambda: boto3.Session().client("elbv2"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "nobody" in words(lambda: boto3.Session().client("elbv2", region_name="us-east-1"))
    assert "aws configure list-profiles" in describe_error(ProfileNotFound(profile="nobody"))
    for error in (UnauthorizedSSOTokenError(), SSOTokenLoadError(error_msg="gone")):
        assert "the login has expired" in describe_error(error)


def test_without_credentials_the_ways_to_get_some_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    client = boto3.Session().client("elbv2", region_name="us-east-1", endpoint_url=CLOSED)
    assert "Set AWS_PROFILE, or log in" in words(client.describe_rules)


def test_credentials_that_ended_while_a_script_ran_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2026-01-01T00:00:00Z")
    client = boto3.Session().client("elbv2", region_name="us-east-1", endpoint_url=CLOSED)
    assert words(client.describe_rules).startswith("AWS: the credentials have expired. Log in again")


def ask_kubernetes(url: str) -> object:
    configuration = kubernetes.Configuration(host=url)
    configuration.retries = 0
    return kubernetes.CoreV1Api(kubernetes.ApiClient(configuration)).list_namespaced_pod("chat")


def test_a_cluster_that_is_down_or_refuses_is_reported_in_one_line() -> None:
    assert words(lambda: ask_kubernetes(CLOSED)).startswith("127.0.0.1:9 does not answer (")
    with server(401, '{"message": "no"}') as (url, _):
        assert words(lambda: ask_kubernetes(url)) == "Kubernetes answers 401 Unauthorized. Log in to the cluster again"
    with server(403, '{"message": "no"}') as (url, _):
        assert "Allow it for this identity" in words(lambda: ask_kubernetes(url))


def test_http_failures_say_why() -> None:
    assert "Connection refused" in words(lambda: httpx.get(CLOSED))
    assert "Name or service not known" in words(lambda: httpx.get("http://nowhere.invalid"))
    with server(404, "<html>") as (url, _):
        assert words(lambda: httpx.get(url).raise_for_status()) == "it answers 404 Not Found"


def test_files_and_faults_of_our_own() -> None:
    assert (
        describe_error(FileNotFoundError(2, "No such file or directory", "/nope")) == "/nope: No such file or directory"
    )
    assert describe_error(OSError(28, "No space left on device")) == "No space left on device"
    assert describe_error(RefusedError("as it is")) == "as it is"
    assert describe_error(KeyError("what\nnot")) == "KeyError: 'what\\nnot'"
