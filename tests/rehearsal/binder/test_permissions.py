"""The permissions that bindings ask of security groups."""

from typing import Any

import pytest

from rehearsal.binder.permissions import Permission, from_aws, merged, to_aws, wanted_permissions

GROUP, NETWORK = "sg-0123456789abcdef0", "10.0.0.0/8"
POD = {"spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8000}]}, {}]}}


def asked(**port: Any) -> frozenset[Permission]:
    peers = [{"securityGroup": {"groupID": GROUP}}, {"ipBlock": {"cidr": NETWORK}}]
    return wanted_permissions({"ingress": [{"from": peers, "ports": [port]}]}, [POD])


@pytest.mark.parametrize(
    ("port", "protocol", "first", "last"),
    [
        ({"protocol": "TCP", "port": 8080}, "tcp", 8080, 8080),
        ({"protocol": "UDP", "port": "http"}, "udp", 8000, 8000),
        ({}, "tcp", 0, 65535),
    ],
)
def test_ports_are_numbers_names_or_all(port: dict[str, Any], protocol: str, first: int, last: int) -> None:
    assert asked(**port) == {Permission(protocol, first, last, source) for source in (GROUP, NETWORK)}


def test_one_range_of_ports_serves_all_bindings_of_a_load_balancer() -> None:
    together = asked(port=8000) | asked(port=9000)
    assert merged(together) == {
        Permission("tcp", 8000, 9000, GROUP),
        Permission("tcp", 8000, 8000, NETWORK),
        Permission("tcp", 9000, 9000, NETWORK),
    }


def test_only_our_own_permissions_are_recognized_as_ours() -> None:
    ours = Permission("tcp", 8000, 8000, GROUP)
    foreign: Any = {
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "UserIdGroupPairs": [{"GroupId": GROUP, "Description": "by hand"}],
        "IpRanges": [{"CidrIp": NETWORK}],
    }
    described: Any = {"IpPermissions": [*to_aws([ours]), foreign]}
    assert from_aws(described) == {
        ours: True,
        Permission("tcp", 443, 443, GROUP): False,
        Permission("tcp", 443, 443, NETWORK): False,
    }
