"""The plugins `pulumi-resource-aws` and `pulumi-resource-kubernetes`: any resource is a file, as with the test plugin.

Besides its inputs a resource has the outputs that programs read: an ARN, a DNS name, and the version of a launch
template. An update increases the version, so its preview does not know it.
"""

from rehearsal.providers.plugin import serve
from rehearsal.providers.provider import Resource
from rehearsal.providers.values import Tree
from tests.engine.provider.__main__ import TestProvider

VERSION = "latestVersion"


class Clouds(TestProvider):
    """Returns the outputs of both clouds."""

    def create(
        self, resource: Resource, inputs: Tree, *, preview: bool, timeout_seconds: float | None
    ) -> tuple[str, Tree]:
        identity, state = super().create(resource, inputs, preview=preview, timeout_seconds=timeout_seconds)
        if preview:
            return identity, state
        suffix = f"{resource.type.rpartition(':')[2]}/{resource.name}"
        outputs = {"arn": _arn(resource), "arnSuffix": suffix, "dnsName": f"{resource.name}.example", VERSION: 1}
        return identity, {**outputs, "name": resource.name, **state}

    def update(
        self,
        resource: Resource,
        old_inputs: Tree,
        old_state: Tree,
        new: Tree,
        *,
        preview: bool,
        timeout_seconds: float | None,
    ) -> Tree:
        state = super().update(resource, old_inputs, old_state, new, preview=preview, timeout_seconds=timeout_seconds)
        outputs = {**old_state, **state, VERSION: old_state[VERSION] + 1}
        if preview:
            del outputs[VERSION]
        return outputs


def _arn(resource: Resource) -> str:
    """Return an ARN in AWS's form where programs and policies read its parts."""
    if resource.type == "aws:lb/targetGroup:TargetGroup":
        name = resource.name
        return f"arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/{name}-0a1b2c3/0123456789abcdef"
    return f"arn:{resource.type}:{resource.name}"


if __name__ == "__main__":
    serve(Clouds())
