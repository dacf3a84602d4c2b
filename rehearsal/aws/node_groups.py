"""What the account's node groups want."""

from rehearsal.aws.api import api_client


def desired_nodes(endpoint_url: str, cluster_name: str) -> int:
    """Return how many nodes all node groups of a cluster want.

    Raises:
        botocore's exceptions: the account does not answer.
    """
    eks = api_client("eks", endpoint_url)
    names = eks.list_nodegroups(clusterName=cluster_name)["nodegroups"]
    groups = (eks.describe_nodegroup(clusterName=cluster_name, nodegroupName=name)["nodegroup"] for name in names)
    return sum(group["scalingConfig"]["desiredSize"] for group in groups)
