"""The examples work: each is previewed, the policy pack accepts it, and its README says what it costs."""

import json
import re
from collections.abc import Generator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config.settings import Settings
from components.domain.capacity.capacity import nodes_for, usd_per_hour
from components.domain.naming import COLORS, PROJECT
from package.settings_of import settings_of
from tests.components.example import ROOT, SECRET, run_program_on
from tests.components.registrations import Registrations
from tests.package.host import Package, another_program, output, running_package, secret
from tests.policies.judge import judge
from tests.policies.stacks import as_stack

pytestmark = pytest.mark.slow

FOLDER = ROOT / "examples"
CONFIGS = {
    path.parent.name: path for path in sorted(FOLDER.glob("*/Pulumi.*.yaml")) if path.stem.endswith(path.parent.name)
}
PROGRAMS = {path.parent.name: path for path in sorted(FOLDER.glob("*/Pulumi.yaml"))}
YAML_PROGRAMS = [name for name, path in PROGRAMS.items() if "runtime: yaml" in path.read_text(encoding="utf-8")]
# Stand for what other resources give.
IDS = {
    "cluster_name": "dev",
    "cluster_security_group_id": "sg-0c",
    "vpc_id": "vpc-0a",
    "node_subnet_ids": ["subnet-1"],
    "load_balancer_subnet_ids": ["subnet-1", "subnet-2"],
}
SIZE = {"instance_type": "g6e.2xlarge", "replica_millicpus": 6000}


def config_of(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))["config"]


def as_program_gets_it(name: str) -> dict[str, str]:
    values = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in config_of(CONFIGS[name]).items()
    }
    return {**values, f"{PROJECT}:candidate_route_secret": SECRET}


def settings_in(name: str) -> Settings:
    """The settings of an example; a program's own inputs are those that all examples share."""
    if name in CONFIGS:
        return Settings.from_config(as_program_gets_it(name))
    written = config_of(PROGRAMS[name].with_name("Pulumi.dev.yaml"))["models:chat"]
    own = {key: value for key, value in {**IDS, **SIZE}.items() if key not in written}
    return settings_of("chat", {**own, "settings": written, "candidate_route_secret": SECRET})


@cache
def previewed(name: str) -> Registrations:
    return run_program_on(as_program_gets_it(name))


def cost(settings: Settings) -> str:
    """What the nodes cost, by the arithmetic of the output `headroom_usd_per_hour`."""
    services = settings.services.values()
    reserved = any(service.headroom_mode == "reserved" for service in services)
    full = [
        (one.instance, sum(nodes_for(one.color(color).replicas, one.instance, one.shape(color)) for color in COLORS))
        for one in services
    ]
    now = [(one.instance, sum(pool.desired_nodes for pool in one.pools.values())) for one in services]
    both = sum(usd_per_hour(*nodes) or 0 for nodes in full)
    if reserved:
        return f"{both:.2f} USD an hour ({_names(full)}), whether nodes run in the reservations or not"
    one = sum(usd_per_hour(*nodes) or 0 for nodes in now)
    return f"{one:.2f} USD an hour ({_names(now)}), {both:.2f} while both colours are up"


def _names(nodes: list[tuple[Any, int]]) -> str:
    return " and ".join(f"{count} × {instance.name}" for instance, count in nodes)


def test_there_is_an_example_for_each_way_to_begin() -> None:
    assert set(CONFIGS) == {"own-load-balancer", "joined-listener", "two-services", "reserved-capacity"}
    assert set(PROGRAMS) == {"yaml", "typescript", "pulumi-eks"}
    assert {path.name for path in FOLDER.iterdir()} == {*CONFIGS, *PROGRAMS, "evals"}


@pytest.mark.parametrize("name", [*CONFIGS, *PROGRAMS])
def test_a_readme_is_short_and_says_what_the_example_costs(name: str) -> None:
    text = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30
    assert cost(settings_in(name)) in re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_program_declares_the_example_and_the_pack_accepts_it(name: str) -> None:
    registered = previewed(name)
    services = Settings.from_config(as_program_gets_it(name)).services
    assert set(registered.of_type("BlueGreenService")) == set(services)
    assert [one for one in judge(as_stack(registered)) if one.message is not None] == []


def test_each_example_shows_what_it_is_named_after() -> None:
    own, joined = previewed("own-load-balancer"), previewed("joined-listener")
    assert own.of_type("LoadBalancer").keys() == {"chat"}
    assert not joined.of_type("LoadBalancer")
    assert len(previewed("two-services").of_type("LoadBalancer")) == 2
    reserved = previewed("reserved-capacity").of_type("LaunchTemplate").values()
    assert len([one for one in reserved if "capacityReservationSpecification" in one.inputs]) == len(COLORS)


@pytest.fixture(scope="module")
def package() -> Generator[Package]:
    with running_package() as running:
        yield running


@pytest.mark.parametrize("name", YAML_PROGRAMS)
def test_the_component_takes_the_programs_inputs_in_a_preview(package: Package, name: str) -> None:
    program = yaml.safe_load(PROGRAMS[name].read_text(encoding="utf-8"))
    values = config_of(PROGRAMS[name].with_name("Pulumi.dev.yaml"))
    (component,) = (one for one in program["resources"].values() if one["type"] == f"{PROJECT}:BlueGreenService")

    def evaluated(value: Any) -> Any:
        match value:
            case str() if value == "${candidate_route_secret}":
                return secret(SECRET)
            case str() if value.startswith("${"):
                key = f"{program['name']}:{value[2:-1]}"
                # Before the first update, other resources' outputs are not known.
                return values[key] if key in values else output(None, f"urn:pulumi:dev::models::a:b:C::{value[2:-1]}")
            case Mapping():
                return {key: evaluated(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
            case list():
                return [evaluated(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
            case _:
                return value

    with another_program(package) as preview:
        made = preview.construct(component["name"], evaluated(component["properties"]), preview=True)
        assert preview.monitor.inputs("ListenerRule", "chat")["actions"]
    assert made.state["releaseIds"].keys() == {"blue"}


def test_the_outputs_of_pulumi_eks_are_those_of_its_schema() -> None:
    # https://github.com/pulumi/pulumi-eks/blob/v4.3.0/provider/cmd/pulumi-resource-eks/schema.json
    there = {"kubeconfigJson", "eksCluster.name", "eksCluster.vpcConfig.clusterSecurityGroupId"}
    there |= {"core.vpcId", "core.privateSubnetIds"}
    used = re.findall(r"\$\{cluster\.([\w.]+)\}", PROGRAMS["pulumi-eks"].read_text(encoding="utf-8"))
    assert set(used) == there
