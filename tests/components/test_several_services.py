"""Several services in one stack: each has its own settings, names, colours, outputs and rule."""

import json
from typing import Any

import pulumi
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.domain.naming import ACTIVE_COLOR_KEY, COLORS, ROLE_KEY, SERVICE_KEY
from tests.components.example import release, run_program
from tests.components.registrations import Registered, Registrations

pytestmark = pytest.mark.slow

AWS_NAME_SUFFIX = 8  # "-" and seven random hex digits, which Pulumi puts after a name that it chooses


def service(number: int, **changes: Any) -> dict[str, Any]:
    """A service that differs from all others in everything that matters."""
    return {
        "active_color": COLORS[number % 2],
        "green_weight": 10 * number,
        "rollout_serial": number,
        "instance_type": ("g6e.2xlarge", "g6.12xlarge")[number % 2],
        "max_stream_seconds": 100 + number,
        "blue": {"replicas": 1 + number, "release": release(model=f"org/blue-{number}")},
        "green": {"replicas": 2 + number, "release": release(model=f"org/green-{number}")},
        **changes,
    }


def run(services: dict[str, Any]) -> Registrations:
    return run_program(blue=None, green=None, instance_type=None, services=services)


def names(count: int) -> list[str]:
    return [f"s{number}" for number in range(count)]


@pytest.fixture(scope="module", params=[1, 2, 10])
def declared(request: pytest.FixtureRequest) -> Registrations:
    return run({name: service(number) for number, name in enumerate(names(request.param))})


def services_of(declared: Registrations) -> dict[str, int]:
    return {name: number for number, name in enumerate(declared.of_type("BlueGreenService"))}


def owner(declared: Registrations, resource: Registered) -> str:
    """The service at the top of a resource's parents."""
    while resource.parent is not None and resource.parent in declared:
        resource = declared[resource.parent]
    return resource.name


def test_every_service_has_the_same_resources_of_its_own(declared: Registrations) -> None:
    kinds: dict[str, list[tuple[str, str]]] = {name: [] for name in services_of(declared)}
    for resource in declared.resources.values():
        name = owner(declared, resource)
        kinds[name].append((resource.token, resource.name.removeprefix(name)))
    assert len({json.dumps(sorted(one)) for one in kinds.values()}) == 1


def test_each_has_its_own_weights_and_colour(declared: Registrations) -> None:
    for name, number in services_of(declared).items():
        rule = declared["ListenerRule", name].inputs
        groups = rule["actions"][0]["forward"]["targetGroups"]
        weights = {group["arn"]: group["weight"] for group in groups}
        assert weights == {
            f"arn:TargetGroup:{name}-blue": 100 - 10 * number,
            f"arn:TargetGroup:{name}-green": 10 * number,
        }
        assert rule["tags"][ACTIVE_COLOR_KEY] == COLORS[number % 2]
        assert rule["listenerArn"] == f"arn:Listener:{name}"


def test_each_has_its_own_sizes_and_releases(declared: Registrations) -> None:
    for name, number in services_of(declared).items():
        for color, replicas in (("blue", 1 + number), ("green", 2 + number)):
            deployment = declared["Deployment", f"{name}-{color}"].inputs
            assert deployment["spec"]["replicas"] == replicas
            assert deployment["metadata"]["namespace"] == name
            assert f"org/{color}-{number}" in json.dumps(deployment)
            group = declared["NodeGroup", f"{name}-{color}"].inputs
            assert group["instanceTypes"] == [("g6e.2xlarge", "g6.12xlarge")[number % 2]]


def test_tags_tell_the_services_apart(declared: Registrations) -> None:
    for resource in declared.resources.values():
        tags = resource.inputs.get("tags", {})
        if ROLE_KEY in tags:
            assert tags[SERVICE_KEY] == owner(declared, resource)


def test_no_service_waits_for_another(declared: Registrations) -> None:
    for reference, resource in declared.resources.items():
        for earlier in declared.precede(reference):
            assert owner(declared, declared[earlier]) == owner(declared, resource)


def test_outputs_are_by_service(declared: Registrations) -> None:
    outputs = declared.stack_outputs()
    assert set(outputs) == set(services_of(declared))
    for name, number in services_of(declared).items():
        assert outputs[name]["green_weight"] == 10 * number
        assert outputs[name]["active_color"] == COLORS[number % 2]
        assert outputs[name]["weighted_rule_arn"] == f"arn:ListenerRule:{name}"
        assert outputs[name]["namespace"] == name


@pytest.mark.parametrize("count", [2, 10])
def test_a_step_of_one_service_changes_its_rule_and_nothing_else(count: int) -> None:
    services = {name: service(number) for number, name in enumerate(names(count))}
    before = run(services)
    after = run({**services, "s1": service(1, green_weight=11)})
    changed = {
        reference for reference, one in after.resources.items() if one.inputs != before.resources[reference].inputs
    }
    assert set(after.resources) == set(before.resources)
    assert changed == {("ListenerRule", "s1")}


WORDS = st.sampled_from(["a", "b", "blue", "green", "candidate", "pods", "clients", "0", "worker", "prompts"])
NAME = st.lists(WORDS, min_size=1, max_size=4).map("-".join).filter(lambda name: len(name) <= 18 and name[0].isalpha())


def pool_of(service: str, other: str) -> bool:
    """Whether the other service's name begins with that of one of the service's pools."""
    return any(f"{other}-".startswith(f"{service}-{color}-") for color in COLORS)


@settings(max_examples=15)
@example("a", "a-blue-candidate")
@example("a-green", "a")
@given(first=NAME, second=NAME)
def test_whatever_the_names_no_two_resources_have_the_same_and_all_fit_aws(first: str, second: str) -> None:
    services = {first: service(1), second: service(2)}
    if pool_of(first, second) or pool_of(second, first):
        with pytest.raises(pulumi.RunError, match="must not begin with"):
            run(services)
        return
    declared = run(services)
    assert declared.count == len(declared.resources)
    for kind in ("TargetGroup", "LoadBalancer"):
        assert all(len(name) + AWS_NAME_SUFFIX <= 32 for name in declared.of_type(kind))
