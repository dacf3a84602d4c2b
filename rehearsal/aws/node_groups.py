"""What the account's node groups want."""

from typing import Any

import boto3


def desired_nodes(endpoint_url: str, cluster_name: str) -> int:
    """Return how many nodes all node groups of a cluster want.

    Raises:
        botocore's exceptions: the account does not answer.
    """
    eks = api_client("eks", endpoint_url)
    names = eks.list_nodegroups(clusterName=cluster_name)["nodegroups"]
    groups = (eks.describe_nodegroup(clusterName=cluster_name, nodegroupName=name)["nodegroup"] for name in names)
    return sum(group["scalingConfig"]["desiredSize"] for group in groups)


def api_client(service: str, endpoint_url: str, region: str = "us-east-1") -> Any:
    """Return a client of one of the account's services."""
    session = boto3.Session(aws_access_key_id="rehearsal", aws_secret_access_key="rehearsal", region_name=region)
    return session.client(service, endpoint_url=endpoint_url)  # pyright: ignore[reportCallIssue, reportArgumentType]
