"""The launches of node groups' instances, which a fault can make fail, as EC2, Auto Scaling and EKS report them.

moto starts any instance, knows no scaling activities, and finds every node group healthy.
"""

import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from moto.eks import models as eks

from rehearsal.aws.faults import Faults

GROUP_TAG: Final = "eks:nodegroup-name"
_MOST_ACTIVITIES: Final = 100
_MESSAGES: Final[Mapping[str, str]] = {
    "InsufficientInstanceCapacity": "We currently do not have sufficient {type} capacity in the Availability Zone you "
    "requested.",
    "VcpuLimitExceeded": "You have requested more vCPU capacity than your current vCPU limit allows for {type}.",
}


@dataclass(kw_only=True)
class _Group:
    """What happened to one node group."""

    activities: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_MOST_ACTIVITIES))
    """Newest first."""
    issue: dict[str, Any] | None = None
    """EKS keeps it until an instance starts, also when the group is scaled to zero."""


class Launches:
    """The launches of all node groups. Only moto's requests call it, one at a time."""

    def __init__(self, faults: Faults) -> None:
        """Let launches fail as the faults say."""
        self._faults = faults
        self._groups: dict[str, _Group] = {}

    def begin(self, group: str, instance_type: str) -> None:
        """Record a launch.

        Raises:
            EC2ClientError: the current fault lets it fail.
        """
        code = self._faults.launch_error_code
        message = _MESSAGES.get(code, "The launch failed.").format(type=instance_type)
        status_message = (
            f"Could not launch On-Demand Instances. {code} - {message} Launching EC2 instance failed." if code else ""
        )
        now = datetime.now(UTC)
        known = self._groups.setdefault(group, _Group())
        known.activities.appendleft(
            {
                "ActivityId": str(uuid.uuid4()),
                "AutoScalingGroupName": group,
                "Description": "Launching a new EC2 instance",
                "Cause": "An instance was started in response to a difference between desired and actual capacity.",
                "StartTime": now,
                "EndTime": now,
                "StatusCode": "Failed" if code else "Successful",
                **({"StatusMessage": status_message} if code else {}),
                "Progress": 100,
            }
        )
        issue = {"code": "AsgInstanceLaunchFailures", "message": status_message, "resourceIds": [group]}
        known.issue = issue if code else None
        if code:
            raise EC2ClientError(code, message)

    def activities(self, group: str) -> list[dict[str, Any]]:
        """Return the launches of a group, newest first."""
        return list(self._groups[group].activities) if group in self._groups else []

    def issue(self, group: str) -> dict[str, Any] | None:
        """Return what EKS says is wrong with a group. None when it is healthy."""
        return self._groups[group].issue if group in self._groups else None


def install(faults: Faults) -> None:
    """Patch moto's classes. Call once in a process, before its server takes requests."""
    launches = Launches(faults)
    _patch_instances(launches)
    _patch_activities(launches)
    _patch_health(launches)


def _patch_instances(launches: Launches) -> None:
    run = EC2Response.run_instances

    def run_instances(self: EC2Response) -> ActionResult:
        specifications: list[dict[str, Any]] = self._get_param("TagSpecifications", [])  # pyright: ignore[reportPrivateUsage]
        tags = {tag["Key"]: tag["Value"] for one in specifications for tag in one.get("Tags", [])}
        if GROUP_TAG in tags:
            launches.begin(tags[GROUP_TAG], self._get_param("InstanceType", ""))  # pyright: ignore[reportPrivateUsage]
        return run(self)

    EC2Response.run_instances = run_instances


def _patch_activities(launches: Launches) -> None:
    def describe_scaling_activities(self: AutoScalingResponse) -> ActionResult:
        asked = self._get_param("AutoScalingGroupName")  # pyright: ignore[reportPrivateUsage]
        most = int(self._get_param("MaxRecords", _MOST_ACTIVITIES))  # pyright: ignore[reportPrivateUsage]
        backend = eks.eks_backends[self.current_account][self.region]
        groups = [
            name
            for cluster in backend.clusters.values()
            for name, group in cluster.nodegroups.items()
            if asked in _names(group)
        ]
        found = [activity for group in groups for activity in launches.activities(group)]
        return ActionResult({"Activities": [{**one, "AutoScalingGroupName": asked} for one in found[:most]]})

    AutoScalingResponse.describe_scaling_activities = describe_scaling_activities


def _names(group: eks.Nodegroup) -> list[str]:
    """Return the names of a node group's Auto Scaling groups."""
    groups: Any = group.resources["autoScalingGroups"]
    return [one["name"] for one in groups]


def _patch_health(launches: Launches) -> None:
    describe = eks.EKSBackend.describe_nodegroup

    def describe_nodegroup(self: eks.EKSBackend, cluster_name: str, nodegroup_name: str) -> eks.Nodegroup:
        group = describe(self, cluster_name, nodegroup_name)
        issue = launches.issue(nodegroup_name)
        group.status = "DEGRADED" if issue else eks.ACTIVE_STATUS
        group.health = {"issues": [issue] if issue else []}
        return group

    eks.EKSBackend.describe_nodegroup = describe_nodegroup
