"""Policies that share a resource's converted properties see what each of them would see by itself."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy, policy
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from rehearsal.language_host.pack import share_properties

POLICIES = 3


def request(**properties: Any) -> Any:
    struct = Struct()
    struct.update(properties)
    return analyzer_pb2.AnalyzeRequest(
        type="aws:lb/listenerRule:ListenerRule", urn="urn", name="rule", properties=struct
    )


def analyzed(*requests: Any) -> tuple[list[Any], list[Any]]:
    """Return the properties that each policy saw of each resource, and the answers."""
    seen: list[Any] = []

    def validate(args: Any, report_violation: Any) -> None:
        seen.append(args.props)
        report_violation(f"weight {args.props['weights']['green']}, {args.props['name']}")

    names = [f"policy-{number}" for number in range(POLICIES)]
    policies: list[Any] = [ResourceValidationPolicy(name, "Says what it sees.", validate) for name in names]
    servicer: Any = policy._PolicyAnalyzerServicer(  # pyright: ignore[reportPrivateUsage]
        "pack", "1.0.0", policies, EnforcementLevel.MANDATORY, None
    )
    return seen, [servicer.Analyze(one, None) for one in requests]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    for name in ("json_format", "deserialize_properties", "unknown_checking_proxy"):
        monkeypatch.setattr(policy, name, getattr(policy, name))  # They are put back afterwards.
    rules = [request(name="chat", weights={"green": weight}) for weight in (1, 25, 1)]
    return [*rules, request(name=UNKNOWN_STRING_VALUE, weights={"green": 1})]


def test_the_answers_are_the_same(requests: list[Any]) -> None:
    _, usual = analyzed(*requests)
    share_properties()
    _, shared = analyzed(*requests)
    assert shared == usual
    assert [len(one.diagnostics) for one in usual] == [POLICIES] * 4


def test_the_properties_of_a_resource_are_converted_once(requests: list[Any]) -> None:
    share_properties()
    seen, _ = analyzed(*requests[:2])
    assert len({id(one) for one in seen}) == 2
    assert [one["weights"]["green"] for one in seen] == [1] * POLICIES + [25] * POLICIES
