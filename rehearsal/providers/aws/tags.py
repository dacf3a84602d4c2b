"""The services' tagging calls, one pair per service."""

from collections.abc import Mapping
from typing import Any

from rehearsal.providers.aws.client import Aws


def retag(aws: Aws, service: str, target: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Change a resource's tags from ``old`` to ``new``, with one call to set tags and one to remove tags."""
    setting = {key: value for key, value in new.items() if old.get(key) != value}
    removed = [key for key in old if key not in new]
    client = aws.client(service)
    if removed:
        _remove(client, service, target, removed)
    if setting:
        _set(client, service, target, setting)


def _set(client: Any, service: str, target: str, tags: Mapping[str, str]) -> None:
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    match service:
        case "elbv2":
            client.add_tags(ResourceArns=[target], Tags=tag_list)
        case "ec2":
            client.create_tags(Resources=[target], Tags=tag_list)
        case "eks":
            client.tag_resource(resourceArn=target, tags=dict(tags))
        case "iam":
            client.tag_role(RoleName=target, Tags=tag_list)
        case _:
            client.tag_resource(ResourceARN=target, Tags=tag_list)


def _remove(client: Any, service: str, target: str, keys: list[str]) -> None:
    match service:
        case "elbv2":
            client.remove_tags(ResourceArns=[target], TagKeys=keys)
        case "ec2":
            client.delete_tags(Resources=[target], Tags=[{"Key": key} for key in keys])
        case "eks":
            client.untag_resource(resourceArn=target, tagKeys=keys)
        case "iam":
            client.untag_role(RoleName=target, TagKeys=keys)
        case _:
            client.untag_resource(ResourceARN=target, TagKeys=keys)
