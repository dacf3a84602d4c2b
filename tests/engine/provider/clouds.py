"""The plugins `pulumi-resource-aws` and `pulumi-resource-kubernetes`: any resource is a file, as of the test's plugin.

Beside its inputs a resource has what programs read of it: an ARN, a DNS name, and the version of a launch template,
which an update raises and a preview of one cannot know.
"""

# ruff: noqa: N802, ARG002 (a servicer carries the protocol's method names and arguments)

from typing import Any

from rehearsal.engine.protocol import provider_pb2
from rehearsal.engine.values import from_struct, to_struct

from tests.engine.provider.__main__ import TestProvider, serve

VERSION = "latestVersion"


class Clouds(TestProvider):
    """Accepts resources of any type."""

    def Check(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Create(self, request: Any, context: Any) -> Any:
        answer = super().Create(request, context)
        if request.preview:
            return answer
        name = request.urn.rsplit("::", 1)[-1]
        suffix = f"{request.type.rpartition(':')[2]}/{name}"
        outputs = {"arn": _arn(request.type, name), "arnSuffix": suffix, "dnsName": f"{name}.example", VERSION: 1}
        return provider_pb2.CreateResponse(
            id=answer.id, properties=to_struct({**outputs, "name": name, **from_struct(answer.properties)})
        )

    def Update(self, request: Any, context: Any) -> Any:
        outputs = {**from_struct(request.olds), **from_struct(super().Update(request, context).properties)}
        outputs[VERSION] = int(str(outputs[VERSION])) + 1
        if request.preview:
            del outputs[VERSION]
        return provider_pb2.UpdateResponse(properties=to_struct(outputs))


def _arn(type_: str, name: str) -> str:
    """Return an ARN as AWS would where programs and policies read more of it than that it is one."""
    if type_ == "aws:lb/targetGroup:TargetGroup":
        return f"arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/{name}-0a1b2c3/0123456789abcdef"
    return f"arn:{type_}:{name}"


if __name__ == "__main__":
    serve(Clouds())
