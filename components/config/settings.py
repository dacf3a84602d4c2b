"""The typed settings: the only reader of stack config, for both the program and the scripts.

A stack has one service with flat keys, or several under ``services`` (name to settings). With several, the flat keys
are the defaults. Secrets are not read here: they stay Pulumi secrets.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final, Self, cast

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from components.config.reading import route_secret
from components.config.reading.explain import explain, homes, nearest_name, unknown_key
from components.config.reading.forms import (
    CERTIFICATE,
    EKS_NAME,
    NETWORK,
    POLICY,
    REGION,
    SECURITY_GROUP,
    SERVICE_NAME,
    SUBNET,
    VPC,
    all_different,
)
from components.config.reading.model import STRICT, Items, from_text
from components.config.reading.values import ConfigValues, read_values, without_empty
from components.config.reading.violations import Path, Violation, shown, text_violations, wrong
from components.config.sections.router_settings import AccessLogs, clashes
from components.config.service_settings import ColorSettings, ServiceSettings
from components.domain.naming import COLORS, PROJECT

__all__ = ["ColorSettings", "ServiceSettings", "Settings", "SettingsError"]

# The program reads these as Pulumi secrets; they never get into these models.
SECRET_KEYS: Final = frozenset({route_secret.KEY})

DEFAULT_SERVICE_NAME: Final = "llm"
PREFIX: Final = f"{PROJECT}:"
# An Application Load Balancer needs subnets in at least two zones.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html
_LEAST_SUBNETS: Final = 2

_POOL: Final = re.compile(rf"-({'|'.join(COLORS)})(?=-|$)")

ServiceName = Annotated[str, SERVICE_NAME]


class SettingsError(ValueError):
    """The stack config is invalid; the message lists every violation with field, value and fix."""


class Settings(BaseModel):
    """A whole stack: the existing infrastructure that it uses, and its services."""

    model_config = STRICT

    cluster_name: Annotated[str, EKS_NAME, Field(description="Existing EKS cluster.")]
    cluster_security_group_id: Annotated[
        str, SECURITY_GROUP, Field(description="Cluster security group, which EKS created for nodes and pods.")
    ]
    vpc_id: Annotated[str, VPC, Field(description="VPC of the cluster.")]
    node_subnet_ids: Annotated[
        Items[Annotated[str, SUBNET]],
        Field(min_length=1, description="Private subnets for the GPU nodes."),
    ]
    load_balancer_subnet_ids: Annotated[
        Items[Annotated[str, SUBNET]],
        Field(
            description="Subnets for the load balancer, in at least two zones; required unless every service joins a "
            "listener."
        ),
    ] = ()
    internet_facing: Annotated[bool, Field(description="True: the load balancer gets public addresses.")] = False
    certificate_arn: Annotated[
        str | None, CERTIFICATE, Field(description="ACM certificate; with it, the listener uses HTTPS.")
    ] = None
    client_cidrs: Annotated[
        Items[Annotated[str, NETWORK]],
        Field(min_length=1, description="Networks that may reach the load balancer."),
    ] = ("10.0.0.0/8",)
    access_logs: Annotated[
        AccessLogs | None, Field(description="Where load balancers write their access logs. Default: nowhere.")
    ] = None
    vpc_cni_uses_node_role: Annotated[
        bool, Field(description="True: the VPC CNI has no IAM role of its own and uses the nodes' role.")
    ] = False
    node_permissions_boundary_arn: Annotated[
        str | None, POLICY, Field(description="Permissions boundary for the nodes' roles, if the account requires one.")
    ] = None
    protect: Annotated[
        bool,
        Field(description="True: refuse to delete resources that requests pass through. Set false before a teardown."),
    ] = True
    services: Annotated[dict[ServiceName, ServiceSettings], Field(min_length=1, description="Services by name.")]

    @field_validator("node_subnet_ids", "load_balancer_subnet_ids", "client_cidrs")
    @classmethod
    def _be_different(cls, items: tuple[str, ...]) -> tuple[str, ...]:
        return all_different(items)

    @model_validator(mode="after")
    def _keep_namespaces_apart(self) -> Self:
        owners: dict[str, str] = {}
        for name, service in self.services.items():
            namespace = service.namespace_of(name)
            if namespace in owners:
                what = f"must be different for the services {owners[namespace]} and {name}"
                fix = "Leave it out to take the service's own name."
                raise wrong(Violation(("services", name, "namespace"), what, fix, namespace))
            owners[namespace] = name
        return self

    @model_validator(mode="after")
    def _keep_names_apart(self) -> Self:
        """Refuse a service name that begins with another service's ``<service>-<colour>``: resources would collide."""
        for name in self.services:
            for pool in _POOL.finditer(name):
                other = name[: pool.start()]
                if other in self.services:
                    what = f"must not begin with {name[: pool.end()]}, the name of a pool of the service {other}"
                    raise wrong(Violation(("services", name), what, "Choose another name for one of the two."))
        return self

    @model_validator(mode="after")
    def _keep_adapters_apart_from_the_model(self) -> Self:
        """Refuse an adapter by the name that clients request the model by: vLLM would give them the adapter."""
        found = [
            Violation(
                ("services", name, color, "release", "lora_adapters", service.model_name(name)),
                "must have another name than the model that clients request",
                "Rename the adapter, or set served_model_name.",
            )
            for name, service in self.services.items()
            for color in COLORS
            if (release := service.color(color).release) and service.model_name(name) in release.lora_adapters
        ]
        if found:
            raise wrong(*found)
        return self

    @model_validator(mode="after")
    def _place_load_balancers(self) -> Self:
        if all(service.listener for service in self.services.values()):
            return self
        violations: list[Violation] = []
        subnets = self.load_balancer_subnet_ids
        if len(subnets) < _LEAST_SUBNETS:
            what = f"must be a list of at least {_LEAST_SUBNETS}, in two zones, unless every service joins a listener"
            fix = 'E.g. ["subnet-0a1b2c3d4e5f60711", "subnet-0a1b2c3d4e5f60712"].'
            violations.append(Violation(("load_balancer_subnet_ids",), what, fix, subnets))
        if self.internet_facing and self.certificate_arn is None:
            what = "is not set, but internet_facing is true: prompts and answers would cross the internet unencrypted"
            violations.append(Violation(("certificate_arn",), what, f"Set it to {CERTIFICATE.expected}."))
        if violations:
            raise wrong(*violations)
        return self

    @model_validator(mode="after")
    def _keep_rules_apart(self) -> Self:
        listeners = {name: service.listener for name, service in self.services.items() if service.listener is not None}
        cohorts = {name: service.rollout.cohorts for name, service in self.services.items()}
        found = clashes(listeners, cohorts)
        if violations := [replace(violation, path=("services", *violation.path)) for violation in found]:
            raise wrong(*violations)
        return self

    @classmethod
    def from_config(cls, config: Mapping[str, str], more: Iterable[Violation] = ()) -> Self:
        """Read stack config as Pulumi passes it: keys ``vllm-blue-green:name`` (or bare), values as strings or JSON.

        An empty value means that the key is not set.

        Args:
            config: the config; the values of SECRET_KEYS are not read.
            more: what the caller has found, about the secret for example, to add to the list.

        Raises:
            SettingsError: one message that lists every violation.
        """
        open_config = {key: text for key, text in config.items() if key.removeprefix(PREFIX) not in SECRET_KEYS}
        read = read_values(open_config, known=_FIELDS.keys(), texts=_TEXT_KEYS, elsewhere=homes(cls))
        for name, value in read.values.items():
            if not isinstance(value, str):  # flat texts are read already
                read.values[name] = from_text(value, _FIELDS[name])
        return cls._checked(read, (), tuple(more), region=config.get("aws:region"), prefix=PREFIX)

    @classmethod
    def from_object(
        cls, service: str, values: Mapping[str, Any], more: Iterable[Violation] = (), *, region: str | None, prefix: str
    ) -> Self:
        """Read the config of another program that declares the service: one object with all of its settings.

        Args:
            service: the service, which is also the object's key.
            values: the object.
            more: what the caller has found, by paths from the program's config.
            region: the stack's region, if it is known.
            prefix: what the keys of the program's config begin with.

        Raises:
            SettingsError: one message that lists every violation.
        """
        read = object_values(values)
        read.values[_NAME_KEY] = service
        return cls._checked(read, (service,), tuple(more), region=region, prefix=prefix)

    @classmethod
    def _checked(
        cls, read: ConfigValues, under: Path, more: Sequence[Violation], *, region: str | None, prefix: str
    ) -> Self:
        layout = _Layout(read)
        if region and (hint := REGION.check(region)) is not None:
            # The key is the provider's, not this project's.
            fix = f" {hint}" if hint else ""
            read.foreign_violations.append(f"aws:region: must be {REGION.expected} (got {shown(region)}).{fix}")
            region = None
        found = [*read.violations, *text_violations(read.values), *layout.unused_violations()]
        try:
            settings = cls.model_validate(layout.tree)
        except ValidationError as error:
            found += layout.placed(explain(error, cls))
        else:
            found += layout.placed(_region_violations(settings, region))
            if not (found or more or read.foreign_violations):
                return settings
        found = [*(replace(one, path=(*under, *one.path)) for one in found), *more]
        lines = dict.fromkeys([*read.foreign_violations, *(violation.line(prefix) for violation in found)])
        raise SettingsError("The stack config is invalid:\n" + "\n".join(f"  - {line}" for line in lines))

    def service(self, name: str | None = None) -> tuple[str, ServiceSettings]:
        """Return a service by name, or the only one.

        Raises:
            SettingsError: there is no such service, or there are several and none is named.
        """
        if name is None and len(self.services) == 1:
            return next(iter(self.services.items()))
        if name in self.services:
            return name, self.services[name]
        known = ", ".join(self.services)
        if name is None:
            raise SettingsError(f"service: must be named, since this stack has several ({known})")
        nearest = nearest_name(name, self.services)
        hint = f". Did you mean {nearest}?" if nearest else ""
        raise SettingsError(f"service: {shown(name)} is not one of this stack's services ({known}){hint}")


def object_values(values: Mapping[str, Any]) -> ConfigValues:
    """Read the settings of one service from an object. As in flat config, an empty value means that it is not set."""
    read = ConfigValues()
    known = _FIELDS.keys() - {_NAME_KEY, "services"}
    for name, value in values.items():
        if name in SECRET_KEYS:
            read.violations.append(route_secret.in_plain_text())
        elif name not in known:
            read.violations.append(unknown_key((name,), known, homes(Settings)))
        elif value not in ("", None):
            read.values[name] = from_text(value, _FIELDS[name])
    return read


class _Layout:
    """The values as the tree that the models expect, with a mapping from its paths back to the config's keys."""

    def __init__(self, read: ConfigValues) -> None:
        values = dict(read.values)
        stack_values = {name: values.pop(name) for name in set(Settings.model_fields) & values.keys()}
        self._name: str = values.pop(_NAME_KEY, DEFAULT_SERVICE_NAME)
        self._defaults = values
        self._flat = stack_values.get("services", {}) == {}
        given: Any = {self._name: {}} if self._flat else stack_values["services"]
        self._own = cast(dict[str, Any], given) if isinstance(given, dict) else {}
        services = {
            name: without_empty({**values, **own}) if isinstance(own, dict) else own for name, own in self._own.items()
        }
        self.tree: dict[str, Any] = {**stack_values, "services": services if isinstance(given, dict) else given}

    def placed(self, violations: Iterable[Violation]) -> Iterator[Violation]:
        """Yield each violation with the path that its value has in the config."""
        for violation in violations:
            yield Violation(self._path(violation), violation.what, violation.fix, violation.value)

    def unused_violations(self) -> Iterator[Violation]:
        """Find violations in flat keys that every service overrides, which the models therefore never see."""
        if not self._flat and (hint := SERVICE_NAME.check(self._name)) is not None:
            yield Violation((_NAME_KEY,), f"must be {SERVICE_NAME.expected}", hint, self._name)
        try:
            ServiceSettings.model_validate(self._defaults)
        except ValidationError as error:
            for violation in explain(error, ServiceSettings):
                used = any(violation.path[0] not in own for own in self._own.values()) if violation.path else True
                if not used and not violation.what.startswith("is required"):
                    yield violation

    def _path(self, violation: Violation) -> Path:
        match violation.path:
            case ("services", _) if self._flat:
                return (_NAME_KEY,)
            case ("services", str(name), str(key), *_) if self._flat or key not in self._own.get(name, {}):
                return violation.path[2:]
            case _:
                return violation.path


def _region_violations(settings: Settings, region: str | None) -> Iterator[Violation]:
    arn = settings.certificate_arn
    if arn and region and arn.split(":")[3] != region:
        what = f"must be in the load balancer's region, aws:region {region}"
        yield Violation(("certificate_arn",), what, "Request or import the certificate there.", arn)
    for name, service in settings.services.items():
        of_service: dict[Path, str] = {
            ("alarms", "topic_arns", position): topic for position, topic in enumerate(service.alarms.topic_arns)
        }
        if service.listener is not None:
            of_service["listener", "arn"] = service.listener.arn
        if service.nodes.volume_kms_key_arn is not None:
            of_service["nodes", "volume_kms_key_arn"] = service.nodes.volume_kms_key_arn
        for color in COLORS:
            if (reservation := service.color(color).reservation) and reservation.resource_group_arn is not None:
                of_service[color, "reservation", "resource_group_arn"] = reservation.resource_group_arn
        for path, one in of_service.items():
            if region and one.split(":")[3] != region:
                yield Violation(
                    ("services", name, *path), f"must be in the stack's region, aws:region {region}", "", one
                )


_NAME_KEY: Final = "service_name"


_FIELDS: Final[Mapping[str, Any]] = {
    _NAME_KEY: str,
    **{name: field.annotation for name, field in {**Settings.model_fields, **ServiceSettings.model_fields}.items()},
}
"""The type of each flat key."""
_TEXTS: Final = (str, str | None, datetime | None)
_TEXT_KEYS: Final = frozenset(name for name, annotation in _FIELDS.items() if annotation in _TEXTS)
"""The flat keys whose values are texts, so that a value like 123 or true stays a text."""
