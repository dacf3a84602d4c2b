"""A security group's ingress, as bindings ask for it and as AWS spells it: pure functions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rehearsal.kube.client import Json

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import IpPermissionTypeDef, SecurityGroupTypeDef

_OURS = "elbv2.k8s.aws/targetGroupBinding=shared"
"""Description of the permissions that a controller may revoke."""


@dataclass(frozen=True, order=True)
class Permission:
    """Ports that a security group or a network may reach."""

    protocol: str
    first_port: int
    last_port: int
    source: str
    """A security group's id, or a network."""

    @property
    def is_from_group(self) -> bool:
        return self.source.startswith("sg-")


def wanted_permissions(networking: Json, pods: Sequence[Json]) -> frozenset[Permission]:
    """Return the permissions that a binding's ``networking`` asks for. Ports may be container port names."""
    return frozenset(
        Permission(protocol=(port.get("protocol") or "TCP").lower(), first_port=first, last_port=last, source=source)
        for rule in networking.get("ingress") or []
        for source in map(_source, rule["from"])
        for port in rule["ports"]
        for first, last in _ports(port.get("port"), pods)
    )


def merged(permissions: Iterable[Permission]) -> set[Permission]:
    """Merge the ports of each protocol and source security group into one range. Networks keep theirs."""
    found: dict[tuple[str, str], Permission] = {}
    for one in permissions:
        key = one.protocol, one.source if one.is_from_group else str(one)
        known = found.get(key, one)
        found[key] = replace(
            one, first_port=min(one.first_port, known.first_port), last_port=max(one.last_port, known.last_port)
        )
    return set(found.values())


def from_aws(group: "SecurityGroupTypeDef") -> dict[Permission, bool]:
    """Return a group's permissions, each with whether a controller added it."""
    found: dict[Permission, bool] = {}
    for entry in group.get("IpPermissions", []):
        sources = [(pair.get("GroupId", ""), pair.get("Description")) for pair in entry.get("UserIdGroupPairs", [])]
        sources += [(network.get("CidrIp", ""), network.get("Description")) for network in entry.get("IpRanges", [])]
        for source, description in sources:
            permission = Permission(
                protocol=entry.get("IpProtocol", ""),
                first_port=entry.get("FromPort", 0),
                last_port=entry.get("ToPort", 65535),
                source=source,
            )
            found[permission] = description == _OURS
    return found


def to_aws(permissions: Iterable[Permission]) -> "list[IpPermissionTypeDef]":
    return [_described(permission) for permission in sorted(permissions)]


def _described(permission: Permission) -> "IpPermissionTypeDef":
    described: IpPermissionTypeDef = {
        "IpProtocol": permission.protocol,
        "FromPort": permission.first_port,
        "ToPort": permission.last_port,
    }
    if permission.is_from_group:
        described["UserIdGroupPairs"] = [{"GroupId": permission.source, "Description": _OURS}]
    else:
        described["IpRanges"] = [{"CidrIp": permission.source, "Description": _OURS}]
    return described


def _source(peer: Json) -> str:
    return peer["securityGroup"]["groupID"] if "securityGroup" in peer else peer["ipBlock"]["cidr"]


def _ports(port: int | str | None, pods: Iterable[Json]) -> set[tuple[int, int]]:
    if port is None:
        return {(0, 65535)}
    if isinstance(port, int):
        return {(port, port)}
    containers = (container for pod in pods for container in pod["spec"]["containers"])
    named = (entry for container in containers for entry in container.get("ports", []) if entry.get("name") == port)
    return {(entry["containerPort"], entry["containerPort"]) for entry in named}
