"""The tests' example as inputs of the packaged service."""

from typing import Any

from tests.components.example import IMAGE, SECRET
from tests.package.host import secret


def release(**changes: Any) -> dict[str, Any]:
    return {"model": "org/model", "modelRevision": "c0ffee0", "image": IMAGE, **changes}


def inputs(**changes: Any) -> dict[str, Any]:
    """The inputs of the tests' example, as a program in another language passes them."""
    return {
        "clusterName": "main",
        "clusterSecurityGroupId": "sg-0c",
        "vpcId": "vpc-0a",
        "nodeSubnetIds": ["subnet-1", "subnet-2"],
        "loadBalancerSubnetIds": ["subnet-3", "subnet-4"],
        "candidateRouteSecret": secret(SECRET),
        "instanceType": "g6e.2xlarge",
        "blue": {"replicas": 2, "release": release()},
        "green": {"replicas": 2},
        **changes,
    }
