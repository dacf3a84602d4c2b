"""Opens the pods' security groups to load balancers, as the ``networking`` of TargetGroupBindings asks."""

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from rehearsal.binder.permissions import Permission, from_aws, merged, to_aws, wanted_permissions
from rehearsal.kube.client import Json

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

_CLUSTER_TAG = "kubernetes.io/cluster/"

Key = tuple[str, str]
PerGroup = Mapping[str, frozenset[Permission]]
"""Permissions by security group."""


class NetworkingError(Exception):
    """A pod is unknown to AWS, or its security group is ambiguous."""


class Networking:
    """Keeps exactly the permissions that all bindings together need; leaves permissions of others alone.

    Nothing is revoked until every binding has been reconciled once.
    """

    def __init__(self, bindings: Callable[[], Iterable[Json]], find_node: Callable[[str], Json | None]) -> None:
        self._bindings = bindings
        self._find_node = find_node
        self._wanted: dict[Key, PerGroup] = {}
        self._opened: set[str] = set()
        self._groups_of_pods: dict[str, str] = {}
        self._one_at_a_time = asyncio.Lock()

    @cached_property
    def _ec2(self) -> "EC2Client":
        return boto3.client("ec2", region_name=os.environ.get("AWS_REGION", "us-east-1"))

    async def open(self, binding: Json, pods: Iterable[Json]) -> None:
        """Let load balancers reach a binding's pods. Raises NetworkingError and botocore's exceptions."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self._open, binding, list(pods))

    async def close(self, binding: Json) -> None:
        """Revoke what only this binding needed. Raises botocore's exceptions."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self._reconcile, binding, {})

    def _open(self, binding: Json, pods: list[Json]) -> None:
        networking: Json | None = binding["spec"].get("networking")
        pods_by_group: dict[str, list[Json]] = defaultdict(list)
        for pod in pods if networking else []:
            pods_by_group[self._group_of(pod)].append(pod)
        per_group = {group: wanted_permissions(networking or {}, inside) for group, inside in pods_by_group.items()}
        self._reconcile(binding, per_group)

    def _reconcile(self, binding: Json, per_group: PerGroup) -> None:
        self._wanted[_key(binding)] = per_group
        asking = {_key(one) for one in self._bindings() if one["spec"].get("networking")}
        self._wanted = {key: value for key, value in self._wanted.items() if key in asking}
        together: dict[str, set[Permission]] = defaultdict(set)
        for permissions in self._wanted.values():
            for group, one in permissions.items():
                together[group] |= one
        self._opened |= together.keys()
        complete = self._wanted.keys() == asking
        for group in list(self._opened) if complete else together:
            try:
                self._apply(group, merged(together.get(group, set())), may_revoke=complete)
            except ClientError as error:
                if group in together or error.response.get("Error", {}).get("Code") != "InvalidGroup.NotFound":
                    raise
                self._opened.discard(group)

    def _apply(self, group: str, wanted: set[Permission], *, may_revoke: bool) -> None:
        found = from_aws(self._ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0])
        if missing := wanted - found.keys():
            self._ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=to_aws(missing))
        surplus = {permission for permission, is_ours in found.items() if is_ours and permission not in wanted}
        if surplus and may_revoke:
            self._ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=to_aws(surplus))

    def _group_of(self, pod: Json) -> str:
        uid = pod["metadata"]["uid"]
        if uid not in self._groups_of_pods:
            groups = self._groups_at(pod)
            if len(groups) > 1:
                groups = self._tagged(groups)
            if len(groups) != 1:
                raise NetworkingError(f"expected exactly one securityGroup tagged with {_CLUSTER_TAG}, got: {groups}")
            self._groups_of_pods[uid] = groups[0]
        return self._groups_of_pods[uid]

    def _groups_at(self, pod: Json) -> list[str]:
        """Return the security groups of the interface that has the pod's address."""
        node = self._find_node(pod["spec"]["nodeName"])
        identity = node["spec"].get("providerID", "").rpartition("/")[2] if node else ""
        reservations = self._ec2.describe_instances(InstanceIds=[identity])["Reservations"] if identity else []
        for instance in (one for reservation in reservations for one in reservation.get("Instances", [])):
            for interface in instance.get("NetworkInterfaces", []):
                addresses = [entry.get("PrivateIpAddress") for entry in interface.get("PrivateIpAddresses", [])]
                if pod["status"]["podIP"] in addresses:
                    return [group.get("GroupId", "") for group in interface.get("Groups", [])]
        metadata = pod["metadata"]
        raise NetworkingError(f"cannot resolve pod ENI for pods: [{metadata['namespace']}/{metadata['name']}]")

    def _tagged(self, groups: list[str]) -> list[str]:
        described = self._ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
        return [
            one.get("GroupId", "")
            for one in described
            if any(tag.get("Key", "").startswith(_CLUSTER_TAG) for tag in one.get("Tags", []))
        ]


def _key(binding: Json) -> Key:
    return binding["metadata"]["namespace"], binding["metadata"]["name"]
