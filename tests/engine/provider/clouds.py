"""The plugins `pulumi-resource-aws` and `pulumi-resource-kubernetes`: any resource is a file, as of the test's plugin.

Beside its inputs a resource has what programs read of it: an ARN, a DNS name, and the version of a launch template,
which an update raises and a preview of one cannot know.
"""

from rehearsal.providers.plugin import serve
from rehearsal.providers.provider import Resource
from rehearsal.providers.values import Tree
from tests.engine.provider.__main__ import TestProvider

VERSION = "latestVersion"


class Clouds(TestProvider):
    """Has the outputs of both clouds."""

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
    """Return an ARN as AWS would where programs and policies read more of it than that it is one."""
    if resource.type == "aws:lb/targetGroup:TargetGroup":
        name = resource.name
        return f"arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/{name}-0a1b2c3/0123456789abcdef"
    return f"arn:{resource.type}:{resource.name}"


if __name__ == "__main__":
    serve(Clouds())
