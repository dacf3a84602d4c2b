"""Settings of the access to Prometheus: credentials by reference, headers, and the authorities to trust."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Self, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.reading.forms import PATH, REGION, Form, matching
from components.config.reading.model import STRICT
from components.config.reading.secret_values import names_secret
from components.config.reading.violations import Violation, wrong
from components.config.release.environment import VARIABLE_NAME

USERNAME: Final = Form("a user name without colons", "metrics", matching(r"[^\x00-\x1f\x7f:]{1,200}"))
SIGNING_NAME: Final = Form("the name of an AWS service in signatures", "aps", matching(r"[a-z][a-z0-9-]{1,40}"))
# https://www.rfc-editor.org/rfc/rfc9110#section-5.1
HEADER_NAME: Final = Form("the name of an HTTP header", "X-Scope-OrgID", matching(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}"))
HEADER_VALUE: Final = Form(
    "the value of an HTTP header: printable ASCII that neither begins nor ends with a space",
    "tenant-1",
    matching(r"[!-~]([ -~]{0,998}[!-~])?"),
)
AUTHORIZATION: Final = "authorization"
# They say how the request is sent, or whom the connection leads to.
_OF_THE_CLIENT: Final = frozenset(
    {"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
_Value = TypeVar("_Value")

_ALSO_SECRET: Final = frozenset({AUTHORIZATION, "proxy-authorization", "cookie"})


class SecretSource(BaseModel):
    """Where the scripts read a secret at each request: a variable of their environment, or a file."""

    model_config = STRICT

    env: Annotated[
        str | None, VARIABLE_NAME, Field(description="Name of the environment variable that contains the secret.")
    ] = None
    file: Annotated[
        str | None,
        PATH,
        Field(description="Path of the file that contains the secret; an absolute path, or one below Pulumi.yaml."),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _be_no_value(cls, source: object) -> object:
        if isinstance(source, dict):
            return cast(object, source)
        # The value is not shown: it may be the secret itself.
        fix = "Remove it, and name the variable or the file that contains the value."
        raise wrong(Violation((), "must be an object with the key env or the key file", fix))

    @model_validator(mode="after")
    def _have_one_source(self) -> Self:
        if (self.env is None) == (self.file is None):
            got = "none" if self.env is None else "both"
            raise wrong(Violation((), f"must have exactly one of env and file (got {got})"))
        return self


class BasicAuthSettings(BaseModel):
    """A user name and a password."""

    model_config = STRICT

    username: Annotated[str, USERNAME, Field(description="User name; with Grafana Cloud the number of the instance.")]
    password_from: Annotated[SecretSource, Field(description="Where the password is read.")]


class SigV4Settings(BaseModel):
    """Signatures with AWS credentials, as Amazon Managed Service for Prometheus requires them.

    https://docs.aws.amazon.com/prometheus/latest/userguide/AMP-onboard-query-APIs.html
    """

    model_config = STRICT

    region: Annotated[str, REGION, Field(description="Region of the workspace.")]
    service: Annotated[str, SIGNING_NAME, Field(description="Service that the signatures are for.")] = "aps"


class PrometheusSettings(BaseModel):
    """How the scripts prove to Prometheus who they are. Secrets are named, never given."""

    model_config = STRICT

    bearer_token_from: Annotated[SecretSource | None, Field(description="Where a bearer token is read.")] = None
    basic_auth: Annotated[BasicAuthSettings | None, Field(description="Basic authentication.")] = None
    sigv4: Annotated[
        SigV4Settings | None,
        Field(description="Signatures with the scripts' AWS credentials, for Amazon Managed Service for Prometheus."),
    ] = None
    headers: Annotated[
        dict[Annotated[str, HEADER_NAME], Annotated[str, HEADER_VALUE]],
        Field(description="Further headers, e.g. X-Scope-OrgID: tenant-1 for Mimir and Cortex. Not for secrets."),
    ] = {}
    headers_from: Annotated[
        dict[Annotated[str, HEADER_NAME], SecretSource],
        Field(
            description="Headers whose values are secrets: for each name, where its value is read.",
            examples=[{"X-Api-Key": {"env": "PROMETHEUS_KEY"}}],
        ),
    ] = {}
    ca_file: Annotated[
        str | None,
        PATH,
        Field(
            description="PEM file of the only certificate authorities to trust. Default: the public ones.",
            examples=["/etc/ssl/internal-ca.pem"],
        ),
    ] = None

    @property
    def secrets(self) -> Mapping[str, SecretSource]:
        """The sources of all secrets, by the paths of their settings."""
        basic = self.basic_auth
        found = {
            "bearer_token_from": self.bearer_token_from,
            "basic_auth.password_from": None if basic is None else basic.password_from,
            **{f"headers_from.{name}": source for name, source in self.headers_from.items()},
        }
        return {path: source for path, source in found.items() if source is not None}

    def url_violation(self, url: str) -> Violation | None:
        """Return why these settings and a valid URL do not fit together. None when they do."""
        parts = urlsplit(url)
        if parts.scheme == "https":
            return None
        if self.ca_file is not None:
            what = "must begin with https:// because rollout.prometheus.ca_file is set"
            return Violation((), what, "Begin it with https://, or remove ca_file.", url)
        secret = "sigv4" if self.sigv4 is not None else next(iter(self.secrets), None)
        if secret is None or is_loopback(parts.hostname or ""):
            return None
        what = f"must begin with https://, because rollout.prometheus.{secret} would be sent in clear text"
        return Violation((), what, f"Begin it with https://, use a tunnel to 127.0.0.1, or remove {secret}.", url)

    @field_validator("headers", mode="before")
    @classmethod
    def _hold_no_secrets(cls, headers: object) -> object:
        return refuse_secret_headers(headers, "Remove it, and name in headers_from where its value is read.")

    @field_validator("headers", "headers_from")
    @classmethod
    def _leave_the_clients_own_alone(cls, headers: dict[str, object]) -> dict[str, object]:
        return refuse_headers_of_the_client(headers)

    @model_validator(mode="after")
    def _authenticate_in_one_way(self) -> Self:
        if violations := (*self._second_ways(), *self._second_values()):
            raise wrong(*violations)
        return self

    def _second_ways(self) -> Iterator[Violation]:
        ways = {name: (name,) for name in ("bearer_token_from", "basic_auth", "sigv4") if getattr(self, name)}
        ways |= {f"headers_from.{name}": ("headers_from", name) for name in self.headers_from if _is_credential(name)}
        for other in list(ways)[1:]:
            what = f"must not be set with {next(iter(ways))}: both set the header Authorization"
            yield Violation(ways[other], what, "Remove one of them.")

    def _second_values(self) -> Iterator[Violation]:
        seen: set[str] = set()
        for section, names in (("headers", self.headers), ("headers_from", self.headers_from)):
            for name in names:
                if name.lower() in seen and not _is_credential(name):
                    yield Violation((section, name), "must not be named more than once", "Remove one of them.")
                seen.add(name.lower())


def refuse_secret_headers(headers: object, fix: str) -> object:
    """Return the headers of plain config, unless their names say that their values are secrets.

    It comes before any other check, whose message would show the value.

    Raises:
        ValueError: some are. Each is named with the fix.
    """
    names = (
        [name for name in cast(dict[object, object], headers) if isinstance(name, str)]
        if isinstance(headers, dict)
        else []
    )
    if secret := [name for name in names if name.lower() in _ALSO_SECRET or names_secret(name)]:
        raise wrong(*(Violation((name,), "would put a secret into plain config", fix) for name in secret))
    return headers


def refuse_headers_of_the_client(headers: dict[str, _Value]) -> dict[str, _Value]:
    """Return headers, unless they say how the request is sent, or whom the connection leads to.

    Raises:
        ValueError: some do. Each is named.
    """
    if found := [name for name in headers if name.lower() in _OF_THE_CLIENT]:
        raise wrong(*(Violation((name,), "is set by the HTTP client", "Remove it.") for name in found))
    return headers


def is_loopback(host: str) -> bool:
    """Return whether a host of a URL is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_credential(header: str) -> bool:
    return header.lower() == AUTHORIZATION
