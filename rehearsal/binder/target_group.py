"""Reads, registers and deregisters the targets of a target group in the AWS API."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import boto3

from rehearsal.binder.endpoints import Target

if TYPE_CHECKING:
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client
    from mypy_boto3_elbv2.type_defs import TargetDescriptionTypeDef

_LEAVING = ("draining", "unhealthy.draining")


@dataclass(frozen=True, kw_only=True)
class Health:
    """The load balancer's verdict on one target."""

    state: str
    reason: str = ""
    description: str = ""

    @property
    def healthy(self) -> bool:
        return self.state == "healthy"

    @property
    def leaving(self) -> bool:
        """Whether it is deregistered and only finishes its requests."""
        return self.state in _LEAVING


class TargetGroups:
    """Blocking calls; botocore's exceptions pass through."""

    @cached_property
    def _elbv2(self) -> "ElasticLoadBalancingv2Client":
        return boto3.client("elbv2", region_name=os.environ.get("AWS_REGION", "us-east-1"))

    def arn_of(self, name: str) -> str:
        return self._elbv2.describe_target_groups(Names=[name])["TargetGroups"][0].get("TargetGroupArn", "")

    def health(self, arn: str) -> dict[Target, Health]:
        """Return every target of the group, including those that drain."""
        answer = self._elbv2.describe_target_health(TargetGroupArn=arn)
        found: dict[Target, Health] = {}
        for description in answer["TargetHealthDescriptions"]:
            target, health = description.get("Target", {"Id": ""}), description.get("TargetHealth", {})
            found[Target(target["Id"], target.get("Port", 0))] = Health(
                state=health.get("State", ""),
                reason=health.get("Reason", ""),
                description=health.get("Description", ""),
            )
        return found

    def register(self, arn: str, targets: Collection[Target]) -> None:
        self._elbv2.register_targets(TargetGroupArn=arn, Targets=_described(targets))

    def deregister(self, arn: str, targets: Collection[Target]) -> None:
        self._elbv2.deregister_targets(TargetGroupArn=arn, Targets=_described(targets))


def _described(targets: Collection[Target]) -> "list[TargetDescriptionTypeDef]":
    return [{"Id": target.address, "Port": target.port} for target in sorted(targets)]
