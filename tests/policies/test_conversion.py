"""The pack shares conversions within a request, and gives exactly the same results as without."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pulumi_policy.policy as library
import pytest
from google.protobuf import json_format
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import (
    Policy,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)

from policies.catalogue import LEVEL, POLICIES
from policies.conversion import convert_once, share
from policies.policy import About, Options, ResourcePolicy
from policies.resources import DEPLOYMENT, LISTENER_RULE
from tests.policies.edits import UNKNOWN, edited
from tests.policies.stacks import CONFIGS, Declared, Stack, stack

pytestmark = pytest.mark.slow

METHODS = ["Analyze", "AnalyzeStack", "_get_enforcement_level", "_get_resource_options", "_get_provider_resource"]
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = {SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "value": {"password": ["hunter2"]}}
ASSET = {SIGNATURE: "c44067f5952c0a294b673a41bacd8c17", "text": "hello"}
WEIGHT = "actions[0].forward.targetGroups[1].weight"
STRANGE = Declared(type="test:index:Thing", name="thing", props={"a": SECRET, "b": [ASSET, None, {"c": 1.5}], "d": {}})
EMPTY = [Declared(type="test:index:Thing", name=name, props={}, protect=name == "kept") for name in ("kept", "left")]
STACKS: dict[str, Callable[[], Stack]] = {
    **{name: lambda name=name: stack(name) for name in CONFIGS},
    "refused": lambda: edited(stack("ramp"), {"ListenerRule chat": {WEIGHT: 26}}),
    "unknown": lambda: edited(stack("ramp"), {"ListenerRule chat": {WEIGHT: UNKNOWN}}),
    "strange": lambda: {one.key: one for one in (STRANGE, *EMPTY)},
}


def seen(args: ResourceValidationArgs | PolicyResource) -> str:
    """Everything that a policy may read, as text."""
    options = {**vars(args.opts), "custom_timeouts": vars(args.opts.custom_timeouts)}
    provider = args.provider and (args.provider.urn, plain(args.provider.props))
    return json.dumps([args.resource_type, args.name, plain(args.props), options, provider], default=str)


def plain(value: Any) -> Any:
    if isinstance(value, str | int | float | None):
        return value
    if hasattr(value, "keys"):
        return {key: plain(value[key]) for key in value}
    return [plain(item) for item in value] if hasattr(value, "__len__") else f"{type(value).__name__} {value.text}"


def tell(args: ResourceValidationArgs, report: ReportViolation) -> None:
    report(seen(args), None)


def tell_all(args: StackValidationArgs, report: ReportViolation) -> None:
    for resource in args.resources:
        near = [resource.parent, *resource.dependencies, *resource.property_dependencies.get("a", [])]
        report(seen(resource) + str([one and one.urn for one in near]), resource.urn)


WITNESSES: list[Policy] = [
    *(ResourceValidationPolicy(f"tell-{number}", "What must be reported.", tell) for number in range(2)),
    *(StackValidationPolicy(f"tell-all-{number}", "What must be reported.", tell_all) for number in range(2)),
]


def servicer() -> Any:
    make = vars(library)["_PolicyAnalyzerServicer"]
    return make("pack", "1.0.0", [*POLICIES, *WITNESSES], LEVEL)


def request(resource: Declared, message: Any = analyzer_pb2.AnalyzeRequest) -> Any:
    described = message(type=resource.type, name=resource.name, urn=resource.urn)
    json_format.ParseDict(resource.props, described.properties)
    described.options.protect = resource.protect
    described.options.ignoreChanges.extend(resource.ignore_changes)
    described.provider.urn = "urn:provider"
    described.provider.properties["region"] = "us-east-1"
    return described


def stack_request(resources: Stack) -> Any:
    whole = analyzer_pb2.AnalyzeStackRequest()
    for resource in resources.values():
        whole.resources.append(request(resource, analyzer_pb2.AnalyzerResource))
    first, *others = whole.resources
    for other in others:
        other.parent = first.urn
        other.dependencies.append(first.urn)
        other.propertyDependencies["a"].urns.append(first.urn)
    return whole


def answers(pack: Any, resources: Stack) -> list[Any]:
    """The pack's violations for each resource, then for the stack."""
    each = [pack.Analyze(request(resource), None) for resource in resources.values()]
    return [*each, pack.AnalyzeStack(stack_request(resources), None)]


@pytest.fixture
def restored() -> Iterator[None]:
    """Undo the changes to the library."""
    before = dict(vars(library))
    yield
    library.__dict__.clear()
    library.__dict__.update(before)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("name", STACKS)
def test_answers_are_the_same(name: str) -> None:
    resources = STACKS[name]()
    without = answers(servicer(), resources)
    assert convert_once()
    assert answers(servicer(), resources) == without
    assert all(f"tell-{number}" in str(without[0]) for number in range(2))


@pytest.mark.usefixtures("restored")
def test_requests_at_the_same_time_share_nothing() -> None:
    stacks = [make() for make in STACKS.values()]
    without = [answers(servicer(), resources) for resources in stacks]
    assert convert_once()
    pack = servicer()
    start = threading.Barrier(4)

    def judge(number: int) -> list[list[Any]]:
        start.wait()
        turns = [*stacks[number:], *stacks[:number]]
        found = [answers(pack, resources) for resources in turns]
        return [*found[len(stacks) - number :], *found[: len(stacks) - number]]

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(judge, range(4)):
            assert found == without


@pytest.mark.usefixtures("restored")
def test_a_request_converts_each_resource_once(monkeypatch: pytest.MonkeyPatch) -> None:
    converted: Counter[str] = Counter()

    def count(message: Any) -> Any:
        properties = json_format.MessageToDict(message)
        converted[str(properties.get("kind", "provider"))] += 1
        return properties

    monkeypatch.setattr(library, "json_format", SimpleNamespace(MessageToDict=count))
    resource = stack("ramp")["Deployment chat-blue"]
    servicer().Analyze(request(resource), None)
    assert converted["Deployment"] > 2
    converted.clear()
    assert convert_once()
    pack = servicer()
    pack.Analyze(request(resource), None)
    assert converted == {"Deployment": 1, "provider": 1}
    pack.Analyze(request(resource), None)
    assert converted == {"Deployment": 2, "provider": 2}


@pytest.mark.usefixtures("restored")
def test_policies_on_other_types_are_passed_over() -> None:
    asked: list[str] = []

    class Counting(ResourcePolicy):
        def validate(
            self,
            args: ResourceValidationArgs,
            report_violation: ReportViolation,  # noqa: ARG002 - the library's signature
        ) -> None:
            asked.append(f"{self.name} {args.resource_type}")

    def counting(name: str, *types: str) -> Policy:
        about = About(name=name, description="x", why="x", fix="x", severity=Severity.LOW, options=Options, types=types)
        return Counting(lambda _, __: None, about)

    assert convert_once()
    make = vars(library)["_PolicyAnalyzerServicer"]
    pack = make("pack", "1.0.0", [counting("one", LISTENER_RULE), counting("both", LISTENER_RULE, DEPLOYMENT)], LEVEL)
    pack.Analyze(request(stack("ramp")["Deployment chat-blue"]), None)
    pack.Analyze(request(stack("ramp")["ListenerRule chat"]), None)
    pack.Analyze(request(STRANGE), None)
    assert asked == [f"both {DEPLOYMENT}", f"one {LISTENER_RULE}", f"both {LISTENER_RULE}"]
    asked.clear()
    other = "aws:alb/listenerRule:ListenerRule"
    pack.Analyze(request(replace(stack("ramp")["ListenerRule chat"], type=other)), None)
    assert asked == [f"one {other}", f"both {other}"]


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("missing", ["json_format", "deserialize_properties", "unknown_checking_proxy"])
def test_another_library_is_left_as_it_is(missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    setattr(library, missing, print)
    before = dict(vars(library))
    assert not convert_once()
    assert vars(library) == before
    assert capsys.readouterr().err.startswith(f"pulumi_policy is not as expected ({missing}): ")


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("missing", METHODS)
def test_another_servicer_is_left_as_it_is(missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    other = SimpleNamespace(**{name: print for name in METHODS if name != missing})
    library.__dict__["_PolicyAnalyzerServicer"] = other
    assert not convert_once()
    assert vars(library)["_PolicyAnalyzerServicer"] is other
    assert f"({missing})" in capsys.readouterr().err


def test_nothing_is_shared_outside_of_a_request() -> None:
    given = {"a": 1}
    assert share("copy", dict, given) == share("copy", dict, given)
    assert share("copy", dict, given) is not share("copy", dict, given)
