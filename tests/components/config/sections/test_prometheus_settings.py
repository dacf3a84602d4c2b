"""Which settings of the access to Prometheus are refused, with which message, and that no message shows a secret."""

from typing import Any

import pytest

from components.config.sections.prometheus_settings import PrometheusSettings, is_loopback
from tests.components.config.test_settings import settings, violations

TOKEN = {"bearer_token_from": {"env": "PROMETHEUS_TOKEN"}}
BASIC = {"basic_auth": {"username": "metrics", "password_from": {"file": "/run/secrets/prometheus"}}}
SIGV4 = {"sigv4": {"region": "eu-central-1"}}
BOTH = "both set the header Authorization. Remove one of them."


def of(**prometheus: Any) -> dict[str, Any]:
    return {"rollout": {"prometheus": prometheus}}


@pytest.mark.parametrize(
    "given",
    [
        {},
        TOKEN,
        BASIC,
        SIGV4,
        {"headers": {"X-Scope-OrgID": "tenant-1|tenant-2"}, **TOKEN},
        {"headers_from": {"Authorization": {"env": "WHOLE_HEADER"}}},
        {"headers_from": {"X-Api-Key": {"file": "keys/prometheus"}}, **BASIC},
        {"ca_file": "/etc/ssl/internal-ca.pem"},
    ],
)
def test_each_way_of_access_is_accepted(given: dict[str, Any]) -> None:
    (service,) = settings(**of(**given)).services.values()
    assert service.rollout.prometheus == PrometheusSettings.model_validate(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**TOKEN, **BASIC}, f"basic_auth: must not be set with bearer_token_from: {BOTH}"),
        ({**TOKEN, **SIGV4}, f"sigv4: must not be set with bearer_token_from: {BOTH}"),
        ({**BASIC, **SIGV4}, f"sigv4: must not be set with basic_auth: {BOTH}"),
        (
            {**TOKEN, "headers_from": {"authorization": {"env": "A"}}},
            f"headers_from.authorization: must not be set with bearer_token_from: {BOTH}",
        ),
        ({"bearer_token_from": {}}, "bearer_token_from: must have exactly one of env and file (got none)"),
        (
            {"bearer_token_from": {"env": "A", "file": "b"}},
            "bearer_token_from: must have exactly one of env and file (got both)",
        ),
        ({"bearer_token_from": {"env": "A-B"}}, "bearer_token_from.env: must be the name of an environment variable"),
        ({"bearer_token_from": {"fiel": "b"}}, "bearer_token_from.fiel: is not a known key. Did you mean file?"),
        (
            {"bearer_token_from": "precious"},
            "bearer_token_from: must be an object with the key env or the key file. Remove it, and name the variable",
        ),
        (
            {"basic_auth": {"username": "me", "password_from": "precious"}},
            "basic_auth.password_from: must be an object with the key env or the key file",
        ),
        ({"basic_auth": {"password_from": {"env": "A"}}}, "basic_auth.username: is required but not set"),
        ({"basic_auth": {"username": "a:b", "password_from": {"env": "A"}}}, "basic_auth.username: must be a user"),
        ({"sigv4": {}}, "sigv4.region: is required but not set. Set it to an AWS region, e.g. eu-central-1."),
        (
            {"sigv4": {"region": "Frankfurt"}},
            'sigv4.region: must be an AWS region, e.g. eu-central-1 (got "Frankfurt")',
        ),
        (
            {"headers": {"Authorization": "Bearer precious"}},
            "headers.Authorization: would put a secret into plain config. Remove it, and name in headers_from where",
        ),
        ({"headers": {"Authorization": " Bearer precious"}}, "headers.Authorization: would put a secret into plain"),
        ({"headers": {"X-Api-Key": ["precious"]}}, "headers.X-Api-Key: would put a secret into plain config"),
        ({"headers": {"X-Api-Key": "precious"}}, "headers.X-Api-Key: would put a secret into plain config"),
        ({"headers": {"Cookie": "a=precious"}}, "headers.Cookie: would put a secret into plain config"),
        ({"headers": {"Host": "b"}}, "headers.Host: is set by the HTTP client. Remove it."),
        ({"headers_from": {"host": {"env": "A"}}}, "headers_from.host: is set by the HTTP client. Remove it."),
        ({"headers": {"X Y": "b"}}, 'must be the name of an HTTP header, e.g. X-Scope-OrgID (got "X Y")'),
        ({"headers": {"X-Y": "b\n"}}, "headers.X-Y: must be the value of an HTTP header"),
        (
            {"headers": {"X-Y": "b"}, "headers_from": {"x-y": {"env": "A"}}},
            "headers_from.x-y: must not be named more than once. Remove one of them.",
        ),
        ({"headers_from": {"X-Api-Key": "precious"}}, "headers_from.X-Api-Key: must be an object with the key env"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    (line,) = violations(**of(**given))
    assert message in line
    assert line.startswith("rollout.prometheus.")
    assert "precious" not in line


@pytest.mark.parametrize(
    ("access", "named"),
    [
        (TOKEN, "bearer_token_from"),
        (BASIC, "basic_auth.password_from"),
        (SIGV4, "sigv4"),
        ({"headers_from": {"X-Api-Key": {"env": "A"}}}, "headers_from.X-Api-Key"),
    ],
)
def test_no_secret_is_sent_in_clear_text(access: dict[str, Any], named: str) -> None:
    url = "http://mimir.monitoring.svc:8080"
    (line,) = violations(rollout={"prometheus_url": url, "prometheus": access})
    what = f"must begin with https://, because rollout.prometheus.{named} would be sent in clear text"
    assert line.startswith(f'rollout.prometheus_url: {what} (got "{url}"). Begin it with https://, use a tunnel')
    for allowed in ("https://mimir.monitoring.svc", "HTTPS://mimir", "http://127.0.0.1:9090", "http://[::1]:9090"):
        assert settings(rollout={"prometheus_url": allowed, "prometheus": access})


def test_what_is_no_secret_may_be_sent_in_clear_text() -> None:
    headers = {"headers": {"X-Scope-OrgID": "tenant-1"}}
    assert settings(rollout={"prometheus_url": "http://mimir.monitoring.svc:8080", "prometheus": headers})


def test_authorities_without_tls_have_no_effect() -> None:
    (line,) = violations(rollout={"prometheus_url": "http://127.0.0.1:9090", "prometheus": {"ca_file": "ca.pem"}})
    assert line.startswith("rollout.prometheus_url: must begin with https:// because rollout.prometheus.ca_file is set")


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.9.9.9", "::1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.com", "10.0.0.1", "notlocalhost", ""])
def test_nothing_else_is_this_machine(host: str) -> None:
    assert not is_loopback(host)
