"""Clients of the account's services."""

from typing import Any


def api_client(service: str, endpoint_url: str, region: str = "us-east-1") -> Any:
    """Return a client of one of the account's services."""
    import boto3  # Most commands of the rehearsal need no client, and should not wait for the import.

    session = boto3.Session(aws_access_key_id="rehearsal", aws_secret_access_key="rehearsal", region_name=region)
    return session.client(service, endpoint_url=endpoint_url)  # pyright: ignore[reportCallIssue, reportArgumentType]
