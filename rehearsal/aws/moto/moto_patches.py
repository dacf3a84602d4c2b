"""All changes that the rehearsal makes to moto inside its process, each with its reason."""

import functools
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Protocol, SupportsFloat, cast

from moto.cloudwatch import models as cloudwatch
from moto.core.config import default_user_config
from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response
from moto.elbv2 import models as elbv2
from moto.elbv2.exceptions import TargetGroupNotFoundError, TooManyTagsError, ValidationError
from moto.iam import models as iam
from moto.servicequotas import models as service_quotas
from moto.utilities.utils import get_partition

from rehearsal.aws.topology import TargetKey
from rehearsal.system.addresses import loopback_of


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """What DescribeTargetHealth reports about one target."""

    state: str
    reason: str | None = None
    description: str | None = None


class Account(Protocol):
    """The data plane, as the patched backend calls it from moto's threads."""

    def changed(self, backend: elbv2.ELBv2Backend, at: float) -> None:
        """Report a change of load balancing at this time (epoch seconds). Calls are serial, in the order of changes."""
        ...

    def target_health(self, target_group_arn: str, target: TargetKey) -> TargetHealth:
        """Return the health of a registered target."""
        ...


MUTATIONS = (
    "add_tags",
    "create_listener",
    "create_load_balancer",
    "create_rule",
    "create_target_group",
    "delete_listener",
    "delete_load_balancer",
    "delete_rule",
    "delete_target_group",
    "deregister_targets",
    "modify_listener",
    "modify_load_balancer_attributes",
    "modify_rule",
    "modify_target_group",
    "modify_target_group_attributes",
    "register_targets",
    "remove_tags",
    "set_rule_priorities",
)

LOAD_BALANCER_DEFAULTS = {
    "idle_timeout.timeout_seconds": "60",
    "client_keep_alive.seconds": "3600",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http2.enabled": "true",
    "load_balancing.cross_zone.enabled": "true",
}

VCPU_QUOTAS = {
    "L-DB2E81BA": ("Running On-Demand G and VT instances", 768.0),
    "L-417A185B": ("Running On-Demand P instances", 768.0),
}

_DRAINING = TargetHealth("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
_NOT_REGISTERED = TargetHealth("unused", "Target.NotRegistered", "Target is not registered to the target group")


def install(account: Account, region: str) -> None:
    """Patch moto's classes. Call once in a process, before its server takes requests."""
    _load_managed_policies(region)
    _load_no_images()
    _patch_attributes()
    _patch_tag_limit()
    _patch_validation()
    _patch_targets(account)
    _patch_metrics()
    _patch_room()
    _patch_mutations(account)  # last, so that it wraps the patched methods


def _load_managed_policies(region: str) -> None:
    """Load AWS's managed IAM policies, which moto leaves out by default; node roles attach some of them.

    moto also makes a backend for each other partition of AWS as soon as it looks for an access key. Each would have
    1600 policies of its own, a second of CPU time altogether.
    """
    default_user_config["iam"] = {"load_aws_managed_policies": True}
    partition, load = get_partition(region), iam.IAMBackend._init_aws_policies  # pyright: ignore[reportPrivateUsage]

    def init_aws_policies(self: iam.IAMBackend) -> list[iam.ManagedPolicy]:
        return load(self) if self.partition == partition else []

    iam.IAMBackend._init_aws_policies = init_aws_policies  # pyright: ignore[reportPrivateUsage]


def _load_no_images() -> None:
    """Leave out moto's own machine images. No node runs one, and an account would list a thousand of them.

    https://docs.getmoto.org/en/latest/docs/configuration/environment_variables.html
    """
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"


def _patch_attributes() -> None:
    """Correct three differences to AWS. moto omits load balancer attributes that were never set, where AWS returns
    their defaults. It refuses a deregistration delay of 3600 s, which AWS accepts. It accepts any idle timeout."""
    backend = elbv2.ELBv2Backend
    create = backend.create_load_balancer
    modify_balancer = backend.modify_load_balancer_attributes
    modify_group = backend.modify_target_group_attributes

    def create_load_balancer(self: elbv2.ELBv2Backend, *args: Any, **kwargs: Any) -> elbv2.FakeLoadBalancer:
        balancer = create(self, *args, **kwargs)
        balancer.attrs.update(LOAD_BALANCER_DEFAULTS)
        return balancer

    def modify_load_balancer_attributes(self: elbv2.ELBv2Backend, arn: str, attrs: dict[str, Any]) -> dict[str, Any]:
        idle_timeout = attrs.get("idle_timeout.timeout_seconds")
        if idle_timeout is not None and not 1 <= int(idle_timeout) <= 4000:
            raise ValidationError("'idle_timeout.timeout_seconds' must be between 1 and 4000 inclusive")
        return modify_balancer(self, arn, attrs)

    def modify_target_group_attributes(
        self: elbv2.ELBv2Backend, target_group_arn: str, attributes: dict[str, Any]
    ) -> None:
        longest = {
            name: value
            for name, value in attributes.items()
            if name == "deregistration_delay.timeout_seconds" and value == "3600"
        }
        rest = {name: value for name, value in attributes.items() if name not in longest}
        modify_group(self, target_group_arn, rest)
        self.target_groups[target_group_arn].attributes.update(longest)

    backend.create_load_balancer = create_load_balancer
    backend.modify_load_balancer_attributes = modify_load_balancer_attributes
    backend.modify_target_group_attributes = modify_target_group_attributes


def _patch_tag_limit() -> None:
    """Allow 50 tags on a resource as AWS does; moto allows 10, which the weighted rule and default tags may exceed."""

    def add_tags(self: elbv2.ELBv2Backend, resource_arns: Iterable[str], tags: list[dict[str, str]]) -> None:
        for arn in resource_arns:
            self._get_resource_by_arn(arn)  # pyright: ignore[reportPrivateUsage]
            existing = self.tagging_service.get_tag_dict_for_resource(arn)
            if len(existing.keys() | {tag["Key"] for tag in tags}) > 50:
                raise TooManyTagsError()
            self.tagging_service.tag_resource(arn, tags)

    elbv2.ELBv2Backend.add_tags = add_tags


def _patch_validation() -> None:
    """Validate forward actions. moto accepts any weight, any number of target groups and any stickiness, and does not
    check a modified default action at all."""
    backend = elbv2.ELBv2Backend
    validate = backend._validate_actions  # pyright: ignore[reportPrivateUsage]
    modify = backend.modify_listener

    def _validate_actions(self: elbv2.ELBv2Backend, actions: list[elbv2.FakeAction]) -> None:
        for action in actions:
            if action.type == "forward" and "ForwardConfig" in action.data:
                _check_forward(action.data["ForwardConfig"])
        validate(self, actions)

    def modify_listener(
        self: elbv2.ELBv2Backend,
        arn: str,
        port: str | None = None,
        protocol: str | None = None,
        ssl_policy: str | None = None,
        certificates: list[dict[str, Any]] | None = None,
        actions: list[dict[str, Any]] | None = None,
    ) -> elbv2.FakeListener:
        wanted = actions or []
        _validate_actions(self, [cast(elbv2.FakeAction, elbv2.FakeAction(action)) for action in wanted])
        return modify(self, arn, port, protocol, ssl_policy, certificates, wanted)

    backend._validate_actions = _validate_actions  # pyright: ignore[reportPrivateUsage]
    backend.modify_listener = modify_listener


def _check_forward(config: Mapping[str, Any]) -> None:
    groups: Sequence[Mapping[str, Any]] = config.get("TargetGroups", ())
    if not 1 <= len(groups) <= 5:
        raise ValidationError("A forward action must have between 1 and 5 target groups")
    for group in groups:
        if not 0 <= int(group.get("Weight", 1)) <= 999:
            raise ValidationError(f"Weight '{group['Weight']}' must be between 0 and 999 inclusive")
    stickiness: Mapping[str, Any] = config.get("TargetGroupStickinessConfig", {})
    enabled = str(stickiness.get("Enabled", False)).lower() == "true"
    duration = stickiness.get("DurationSeconds")
    if (enabled and duration is None) or (duration is not None and not 1 <= int(duration) <= 604800):
        raise ValidationError("Target group stickiness duration must be between 1 and 604800 seconds inclusive")


def _patch_targets(account: Account) -> None:
    """Make targets behave as in AWS. moto reports every registered target as healthy, forgets deregistered targets at
    once, treats an address on two ports as one target, accepts any text as an address or an ARN, and refuses to
    deregister a target that is not registered, which AWS allows."""

    def key_of(group: elbv2.FakeTargetGroup, target: Mapping[str, Any]) -> TargetKey:
        return TargetKey(target["Id"], int(target.get("Port") or group.port))

    def register(self: elbv2.FakeTargetGroup, targets: Sequence[Mapping[str, Any]]) -> None:
        for target in targets:
            key = key_of(self, target)
            _check_address(key.address)
            self.targets[_name(key)] = {"Id": key.address, "Port": key.port}
            self.deregistered_targets.pop(_name(key), None)

    def deregister(self: elbv2.FakeTargetGroup, targets: Sequence[Mapping[str, Any]]) -> None:
        for target in targets:
            name = _name(key_of(self, target))
            registered = self.targets.pop(name, None)
            if registered:
                self.deregistered_targets[name] = registered | {"DeregisteredAt": time.time()}

    def draining(group: elbv2.FakeTargetGroup) -> list[dict[str, Any]]:
        """Return the deregistered targets; they drain until the delay is over, even without open requests."""
        delay = int(group.attributes["deregistration_delay.timeout_seconds"])
        now = time.time()
        for name, target in list(group.deregistered_targets.items()):
            if now >= target["DeregisteredAt"] + delay:
                group.deregistered_targets.pop(name, None)
        return list(group.deregistered_targets.values())

    def describe_target_health(
        self: elbv2.ELBv2Backend, target_group_arn: str, targets: Sequence[Mapping[str, Any]]
    ) -> list[elbv2.FakeHealthStatus]:
        group = self.target_groups.get(target_group_arn)
        if not target_group_arn.startswith("arn:"):
            raise ValidationError(f"'{target_group_arn}' is not a valid target group ARN")
        if group is None:
            raise TargetGroupNotFoundError()
        leaving = {key_of(group, one) for one in draining(group)}
        registered = [key_of(group, one) for one in list(group.targets.values())]
        asked = [key_of(group, one) for one in targets] or [*registered, *sorted(leaving)]

        def status(key: TargetKey) -> elbv2.FakeHealthStatus:
            if key in registered:
                seen = account.target_health(target_group_arn, key)
            else:
                seen = _DRAINING if key in leaving else _NOT_REGISTERED
            port = str(key.port)
            answer = elbv2.FakeHealthStatus(key.address, port, port, seen.state, seen.reason, seen.description)
            return cast(elbv2.FakeHealthStatus, answer)

        return [status(key) for key in asked]

    elbv2.FakeTargetGroup.register = register
    elbv2.FakeTargetGroup.deregister = deregister
    elbv2.ELBv2Backend.describe_target_health = describe_target_health


def _check_address(address: str) -> None:
    try:
        loopback_of(address)
    except ValueError as error:
        raise ValidationError(f"The IP address '{address}' is not a valid IPv4 address of the VPC") from error


def _name(key: TargetKey) -> str:
    return f"{key.address}:{key.port}"


class Distribution(cloudwatch.MetricAggregatedDatum):
    """A data point that keeps its values, so that percentiles can be computed over several points."""

    def __init__(self, namespace: str, name: str, dimensions: list[dict[str, str]], at: Any, values: list[float]):
        super().__init__(namespace, name, min(values), max(values), len(values), sum(values), dimensions, at, None)
        self.values = values


def _patch_metrics() -> None:
    """Correct three limits of moto. It has no percentiles. A query finds its metric only if it names the dimensions in
    the order in which they were put. Each period of each query scans all points of all metrics, which takes many
    seconds for ten minutes of short periods."""
    get_statistic = cloudwatch.Statistics.get_statistics_for_type
    get_data = cloudwatch.CloudWatchBackend.get_metric_data

    def get_metric_data(
        self: cloudwatch.CloudWatchBackend,
        queries: list[dict[str, Any]],
        start_time: datetime,
        end_time: datetime,
        scan_by: str = "TimestampAscending",
    ) -> list[dict[str, Any]]:
        if not all("MetricStat" in query for query in queries):
            return get_data(self, queries, start_time, end_time, scan_by)
        points: defaultdict[str, list[cloudwatch.MetricDatumBase]] = defaultdict(list)
        for point in self.get_all_metrics():
            if start_time.replace(microsecond=0) <= point.timestamp < end_time:
                points[point.name].append(point)
        found: list[dict[str, Any]] = []
        for query in queries:
            metric = query["MetricStat"]["Metric"]
            asked = {(one["Name"], one["Value"]) for one in metric.get("Dimensions", [])}
            of_metric = [one for one in points[metric["MetricName"]] if asked in (set(), _named(one))]
            alone = cast(cloudwatch.CloudWatchBackend, SimpleNamespace(get_all_metrics=of_metric.copy))
            found += get_data(alone, [query], start_time, end_time, scan_by)
        return found

    def get_statistics_for_type(self: cloudwatch.Statistics, stat: str) -> SupportsFloat | None:
        if not stat.startswith("p"):
            return get_statistic(self, stat)
        values = self.metric_single_values_list
        for datum in self.metric_data:
            if isinstance(datum, Distribution):
                values.extend(datum.values)
        values.sort()
        return values[max(0, math.ceil(len(values) * float(stat[1:]) / 100) - 1)] if values else None

    def before(self: cloudwatch.Dimension, other: cloudwatch.Dimension) -> bool:
        return (self.name or "", self.value or "") < (other.name or "", other.value or "")

    cloudwatch.CloudWatchBackend.get_metric_data = get_metric_data
    cloudwatch.Statistics.get_statistics_for_type = get_statistics_for_type
    cloudwatch.Dimension.__lt__ = before


def _named(point: cloudwatch.MetricDatumBase) -> set[tuple[str, str]]:
    return {(one.name or "", one.value or "") for one in point.dimensions}


def _patch_room() -> None:
    """Add EC2 quotas, an empty list of capacity reservations and AWS's own key for volumes; moto has none of them."""
    known = service_quotas.ServiceQuotasBackend.get_service_quota

    def get_service_quota(
        self: service_quotas.ServiceQuotasBackend, service_code: str, quota_code: str
    ) -> dict[str, Any]:
        if service_code == "ec2" and quota_code in VCPU_QUOTAS:
            name, vcpus = VCPU_QUOTAS[quota_code]
            return {
                "ServiceCode": service_code,
                "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
                "QuotaCode": quota_code,
                "QuotaName": name,
                "Value": vcpus,
                "Unit": "None",
                "Adjustable": True,
                "GlobalQuota": False,
            }
        return known(self, service_code, quota_code)

    def describe_capacity_reservations(_: EC2Response) -> ActionResult:
        return ActionResult({"CapacityReservations": []})

    def get_ebs_default_kms_key_id(_: EC2Response) -> ActionResult:
        return ActionResult({"KmsKeyId": "alias/aws/ebs"})

    service_quotas.ServiceQuotasBackend.get_service_quota = get_service_quota
    EC2Response.get_ebs_default_kms_key_id = get_ebs_default_kms_key_id  # pyright: ignore[reportAttributeAccessIssue]
    EC2Response.describe_capacity_reservations = describe_capacity_reservations  # pyright: ignore[reportAttributeAccessIssue]


def _patch_mutations(account: Account) -> None:
    """Report every change to the data plane, in order: the API answers one request at a time."""

    def observed(change: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(change)
        def changed(self: elbv2.ELBv2Backend, *args: Any, **kwargs: Any) -> Any:
            result = change(self, *args, **kwargs)
            account.changed(self, time.time())
            return result

        return changed

    for name in MUTATIONS:
        setattr(elbv2.ELBv2Backend, name, observed(getattr(elbv2.ELBv2Backend, name)))
