"""The typed settings: the only reader of stack config, for the program and for the scripts alike.

A stack serves one service with flat keys, or several under ``services`` (name to settings), for which the flat keys
are the defaults. Secrets are not read here: they stay Pulumi secrets.
"""

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from components.naming import PROJECT
from components.release import Release
from components.rollout_settings import RolloutSettings
from components.service_settings import ColorSettings, ServiceSettings

# Read as Pulumi secrets by whoever needs them, never into these models.
SECRET_KEYS = frozenset({"candidate_route_secret"})

# A target group's name has 32 characters: the service, "-green" and Pulumi's random suffix of 8.
ServiceName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,16}[a-z0-9])?$")]
DEFAULT_SERVICE_NAME = "llm"


class SettingsError(ValueError):
    """The stack config is wrong; the message lists every fault with field, value and fix."""


class Settings(BaseModel):
    """A whole stack: what exists already, and the services on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster_name: Annotated[str, Field(min_length=1, description="Existing EKS cluster.")]
    cluster_security_group_id: Annotated[
        str, Field(pattern=r"^sg-[0-9a-z]+$", description="Security group that EKS gave the cluster's nodes and pods.")
    ]
    vpc_id: Annotated[str, Field(pattern=r"^vpc-[0-9a-z]+$", description="VPC of the cluster.")]
    node_subnet_ids: Annotated[tuple[str, ...], Field(min_length=1, description="Private subnets for the GPU nodes.")]
    load_balancer_subnet_ids: Annotated[
        tuple[str, ...], Field(min_length=2, description="Subnets for the load balancer, in two zones at least.")
    ]
    internet_facing: Annotated[bool, Field(description="True: the load balancer gets public addresses.")] = False
    certificate_arn: Annotated[str | None, Field(description="ACM certificate; with it the listener speaks HTTPS.")] = (
        None
    )
    client_cidrs: Annotated[
        tuple[str, ...], Field(min_length=1, description="Networks that may reach the load balancer.")
    ] = ("10.0.0.0/8",)
    vpc_cni_uses_node_role: Annotated[
        bool, Field(description="True: the VPC CNI has no IAM role of its own and needs the nodes' one.")
    ] = False
    protect: Annotated[
        bool, Field(description="Refuse to delete what requests pass through; set it to false before a teardown.")
    ] = True
    services: Annotated[dict[ServiceName, ServiceSettings], Field(min_length=1, description="Services by name.")]

    @model_validator(mode="after")
    def _keep_namespaces_apart(self) -> Self:
        owners: dict[str, str] = {}
        for name, service in self.services.items():
            namespace = service.namespace_of(name)
            if namespace in owners:
                raise ValueError(f"services {owners[namespace]} and {name} both want the namespace {namespace}")
            owners[namespace] = name
        return self

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> Self:
        """Read stack config as Pulumi gives it: keys ``vllm-blue-green:name`` (or bare), values as strings or JSON.

        An empty value means that the key is not set.

        Raises:
            SettingsError: one message that lists all that is wrong.
        """
        values: dict[str, Any] = {}
        text_keys = _text_keys()
        for key, text in config.items():
            project, _, name = key.rpartition(":")
            if project in ("", PROJECT) and name not in SECRET_KEYS and text != "":
                values[name] = text if name in text_keys else _parse(text)
        stack_values = {key: values.pop(key) for key in set(cls.model_fields) & values.keys()}
        default_name = values.pop("service_name", DEFAULT_SERVICE_NAME)
        flat = not stack_values.get("services")
        services: Any = {default_name: {}} if flat else stack_values["services"]
        if isinstance(services, dict):
            own_values = cast(dict[str, Any], services)
            services = {name: {**values, **own} if isinstance(own, dict) else own for name, own in own_values.items()}
        try:
            return cls.model_validate({**stack_values, "services": services})
        except ValidationError as error:
            raise SettingsError(_explain(error, flat=flat)) from error

    def service(self, name: str | None = None) -> tuple[str, ServiceSettings]:
        """Return a service by name, or the only one.

        Raises:
            SettingsError: no such service, or several and none named.
        """
        if name is None and len(self.services) == 1:
            return next(iter(self.services.items()))
        if name in self.services:
            return name, self.services[name]
        known = ", ".join(self.services)
        raise SettingsError(f"service: {name!r} is not one of this stack's services ({known})")


def _text_keys() -> frozenset[str]:
    """Return the flat keys that are texts, so that a name like 123 or true stays one."""
    fields = {**Settings.model_fields, **ServiceSettings.model_fields}
    texts = frozenset[object]((str, str | None))
    return frozenset({"service_name", *(name for name, field in fields.items() if field.annotation in texts)})


def _parse(text: str) -> Any:
    """Read one config value: JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _explain(error: ValidationError, *, flat: bool) -> str:
    lines: list[str] = []
    for fault in error.errors():
        path = [str(part) for part in fault["loc"]]
        if path[-1:] == ["[key]"]:
            path = ["service_name" if flat else "services"]
        elif path[:1] == ["services"] and flat:
            path = path[2:]
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = f"unknown key{_nearest(path[-1])}"
        elif fault["type"] == "missing":
            message = "is required but not set"
        elif not isinstance(fault["input"], dict | BaseModel):
            message += f" (got {fault['input']!r})"
        where = ".".join(path)
        lines.append(f"{PROJECT}:{where}: {message}" if where else message)
    return "The stack config is not right:\n" + "\n".join(f"  - {line}" for line in lines)


def _nearest(key: str) -> str:
    models: tuple[type[BaseModel], ...] = (Settings, ServiceSettings, ColorSettings, Release, RolloutSettings)
    known = sorted({name for model in models for name in model.model_fields})
    match = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {match[0]}?" if match else ""
