"""The provider's configuration and boto3 clients. A client is made on first use, as it loads a large service model."""

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from rehearsal.providers.aws import checking, schema
from rehearsal.providers.provider import Failure, ProviderError
from rehearsal.providers.values import Tree

if TYPE_CHECKING:
    from boto3 import Session

ENDPOINTS = ("cloudwatch", "ec2", "eks", "elb", "elbv2", "iam", "sts")

CONFIG: schema.Properties = {
    "region": schema.string(),
    "profile": schema.string(),
    "accessKey": schema.string(),
    "secretKey": schema.string(),
    "token": schema.string(),
    "endpoints": schema.array(schema.block({name: schema.string() for name in ENDPOINTS})),
    "defaultTags": schema.block({"tags": schema.mapping()}),
    "maxRetries": schema.integer(0),
    "skipCredentialsValidation": schema.boolean(),
    "skipMetadataApiCheck": schema.boolean(),
    "skipRegionValidation": schema.boolean(),
    "skipRequestingAccountId": schema.boolean(),
    "s3UsePathStyle": schema.boolean(),
}
"""The skip* flags and s3UsePathStyle are accepted without effect: this provider makes none of those calls."""

_PLUGIN_KEYS = ("version", "pluginDownloadURL")
_RETRIES = 6


def decoded(config: Tree) -> Tree:
    """Return the configuration with its JSON-encoded values decoded."""
    return {
        name: json.loads(value)
        if isinstance(value, str) and name in CONFIG and CONFIG[name].type in ("list", "block")
        else value
        for name, value in config.items()
        if name not in _PLUGIN_KEYS
    }


def check_config(config: Tree) -> list[Failure]:
    try:
        return checking.check(CONFIG, decoded(config))[1]
    except json.JSONDecodeError as error:
        return [Failure("", f"a value is not valid JSON: {error}")]


@dataclass
class Aws:
    """Access to AWS with the provider's configuration. Missing settings come from the environment."""

    config: Tree = field(default_factory=dict[str, Any])
    _clients: dict[str, Any] = field(default_factory=dict[str, Any])
    _session: "Session | None" = None
    _account_id: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def default_tags(self) -> dict[str, str]:
        return self.config.get("defaultTags", {}).get("tags", {})

    @property
    def account_id(self) -> str:
        if not self._account_id:
            self._account_id = str(self.client("sts").get_caller_identity()["Account"])
        return self._account_id

    @property
    def region(self) -> str:
        return str(self._open_session().region_name)

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service. Threads may share clients, but must not make them concurrently."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make_client(service)
            return self._clients[service]

    def _make_client(self, service: str) -> Any:
        from botocore.config import Config

        endpoints = self.config.get("endpoints", [])
        urls = [entry[service] for entry in endpoints if service in entry]
        settings = Config(
            retries={"max_attempts": self.config.get("maxRetries", _RETRIES), "mode": "standard"},
            connect_timeout=10,
            read_timeout=30,
        )
        session = cast("Any", self._open_session())  # its stubs accept only literal service names
        return session.client(service, endpoint_url=urls[0] if urls else None, config=settings)

    def _open_session(self) -> "Session":
        if self._session is None:
            from boto3 import Session

            config = self.config
            session = Session(
                region_name=config.get("region"),
                profile_name=config.get("profile"),
                aws_access_key_id=config.get("accessKey"),
                aws_secret_access_key=config.get("secretKey"),
                aws_session_token=config.get("token"),
            )
            if not session.region_name:
                raise ProviderError("no AWS region: set aws:region or AWS_REGION")
            self._session = session
        return self._session
