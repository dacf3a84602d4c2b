"""The access to Prometheus: reads secrets when a request needs them, and adds them to that request alone.

No secret is kept, logged or part of a message. A message names where the secret comes from.
"""

import base64
import ssl
from collections.abc import Generator, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from components.config.sections.prometheus_settings import PrometheusSettings, SecretSource, SigV4Settings
from rollout.adapters.secret import LINE, TEXT, WORD, SecretForm, place_of, read_secret, unreadable
from rollout.model.errors import RolloutError
from rollout.system.failures import LOG_IN, describe_error

if TYPE_CHECKING:
    from botocore.credentials import Credentials

SECTION: Final = "rollout.prometheus"


class PrometheusAccess(httpx.Auth):
    """Authenticates requests to Prometheus as the settings say."""

    def __init__(self, settings: PrometheusSettings, folder: Path) -> None:
        """Read nothing yet. Relative paths are below ``folder``."""
        self._settings = settings
        self._folder = folder
        self._credentials: Credentials | None = None

    @property
    def settings(self) -> PrometheusSettings:
        """The settings."""
        return self._settings

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add headers and credential to a request.

        Raises:
            RolloutError: a secret is missing or unusable.
        """
        for name, value in self._headers():
            request.headers[name] = value
        if self._settings.sigv4 is not None:
            self._sign(request, self._settings.sigv4)
        yield request

    def authorities(self) -> ssl.SSLContext | bool:
        """Return how to verify Prometheus' certificate: with the authorities of ``ca_file``, or as usual.

        Raises:
            RolloutError: the file cannot be read, or contains no certificate.
        """
        if self._settings.ca_file is None:
            return True
        path = self._folder / self._settings.ca_file
        try:
            return ssl.create_default_context(cafile=path)
        except ssl.SSLError as error:
            raise RolloutError(
                f"{SECTION}.ca_file: {path} contains no certificate in PEM format ({error.reason}). Write the "
                "authority's certificate there, or set another file"
            ) from error
        except OSError as error:
            raise RolloutError(unreadable(f"{SECTION}.ca_file", path, error)) from error

    def refusal(self, status: int) -> str:
        """Return what a 401 or 403 of Prometheus means: which credential was used, and how to fix that."""
        used = list(self._used())
        if not used:
            ways = f"{SECTION}.bearer_token_from, basic_auth, sigv4 or headers_from"
            return f"to a request without a credential. Set {ways}"
        fix = "Check that it is right and has not expired"
        if status == HTTPStatus.FORBIDDEN:
            fix = "Allow it to query metrics"
        if self._settings.sigv4 is not None:
            fix = f"Allow aps:QueryMetrics for this identity, and check the region and the clock. {LOG_IN}"
        return f"to {' with '.join(used)}. {fix}"

    def _used(self) -> Iterator[str]:
        settings = self._settings
        if settings.sigv4 is not None:
            of = self._credentials
            method = "" if of is None else f" with AWS credentials by {of.method}"
            yield f"a signature for {settings.sigv4.service} in {settings.sigv4.region}{method} ({SECTION}.sigv4)"
        if settings.basic_auth is not None:
            yield f"the user {settings.basic_auth.username}"
        kinds = {"bearer_token_from": "the bearer token", "basic_auth.password_from": "the password"}
        for path, source in settings.secrets.items():
            kind = kinds.get(path, f"the header {path.removeprefix('headers_from.')}")
            yield f"{kind} from {place_of(source)} ({SECTION}.{path})"

    def _headers(self) -> Iterator[tuple[str, str]]:
        settings = self._settings
        yield from settings.headers.items()
        for name, source in settings.headers_from.items():
            yield name, self._read(f"headers_from.{name}", source, LINE)
        if settings.bearer_token_from is not None:
            yield "Authorization", f"Bearer {self._read('bearer_token_from', settings.bearer_token_from, WORD)}"
        if settings.basic_auth is not None:
            password = self._read("basic_auth.password_from", settings.basic_auth.password_from, TEXT)
            both = f"{settings.basic_auth.username}:{password}".encode()
            yield "Authorization", f"Basic {base64.b64encode(both).decode()}"

    def _read(self, path: str, source: SecretSource, form: SecretForm) -> str:
        return read_secret(f"{SECTION}.{path}", source, self._folder, form)

    def _sign(self, request: httpx.Request, sigv4: SigV4Settings) -> None:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        # Signed is what is sent: the URL as it is, and the host that the connection leads to.
        signed: Any = AWSRequest(method=request.method, url=str(request.url), headers={"Host": request.headers["Host"]})
        try:
            credentials = self._aws_credentials().get_frozen_credentials()
            SigV4Auth(credentials, sigv4.service, sigv4.region).add_auth(signed)
        except RolloutError:
            raise
        except Exception as error:  # whatever the source of the credentials raises
            raise RolloutError(f"{SECTION}.sigv4: {describe_error(error)}") from error
        for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token"):
            if name in signed.headers:
                request.headers[name] = signed.headers[name]

    def _aws_credentials(self) -> "Credentials":
        if self._credentials is None:
            import boto3

            # They renew themselves: botocore asks their source again before they expire.
            self._credentials = boto3.Session().get_credentials()
        if self._credentials is None:
            raise RolloutError(
                f"{SECTION}.sigv4: there are no AWS credentials. Set AWS_PROFILE, or log in with `aws sso login`"
            )
        return self._credentials
