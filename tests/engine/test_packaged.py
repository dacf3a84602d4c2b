"""A service of another program on the real CLI: guards, settings in the state, and an update of its rule alone."""

import shutil
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import yaml

from components.domain.naming import PROJECT
from rollout.adapters.config_file import ConfigFile
from rollout.adapters.pulumi.stack import PulumiStack
from rollout.model.errors import RefusedError, UpdateFailedError
from tests.components.example import ROOT, SECRET, release
from tests.engine.conftest import World
from tests.engine.fork_server import ForkServer

pytestmark = [pytest.mark.binaries, pytest.mark.timeout(600)]

PROGRAM = """
class BlueGreenService(pulumi.ComponentResource):
    def __init__(self, name, **inputs):
        super().__init__("vllm-blue-green:index:BlueGreenService", name, inputs, remote=True)


config = pulumi.Config()
cluster = Thing("cluster", size=1)
BlueGreenService(
    "chat",
    clusterName=cluster.serial.apply(lambda serial: f"cluster-{serial}"),
    clusterSecurityGroupId="sg-0c",
    vpcId="vpc-0a",
    nodeSubnetIds=cluster.serial.apply(lambda _: ["subnet-1"]),
    loadBalancerSubnetIds=["subnet-3", "subnet-4"],
    instanceType="g6e.2xlarge",
    settings=config.require_object("chat"),
    candidateRouteSecret=config.require_secret("candidate_route_secret"),
)
"""
CHAT: dict[str, Any] = {
    "green_weight": 0,
    "rollout_serial": 7,
    "blue": {"replicas": 1, "release": release()},
    "green": {"replicas": 1, "release": release(model_revision="beef123")},
    "rollout": {"soak_seconds": 90},
}


class Models:
    """The stack of a project called models, which declares the service chat."""

    def __init__(self, world: World) -> None:
        self.world = world
        for plugin in ("aws", "kubernetes"):
            world.plugin(plugin, version(f"pulumi-{plugin}"), "tests.engine.provider.clouds")
        package = world.root / "product" / "package"
        shutil.copytree(ROOT / "package", package, ignore=shutil.ignore_patterns("__pycache__"))
        # Its packages are there already, so Pulumi makes no environment.
        (package / "PulumiPlugin.yaml").write_text("runtime: python\n")
        (package.parent / "components").symlink_to(ROOT / "components")
        shutil.copy2(ROOT / "pyproject.toml", package.parent)
        plugins = {"providers": [{"name": PROJECT, "path": str(package)}]}
        project = {"name": "models", "runtime": "python", "plugins": plugins}
        (world.project / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        world.program(PROGRAM)
        world.open()
        self.file = world.project / "Pulumi.dev.yaml"
        world.pulumi("config", "set", "--secret", "candidate_route_secret", SECRET)
        self.configure()

    def configure(self, **changes: Any) -> None:
        document = yaml.safe_load(self.file.read_text())
        document["config"]["models:chat"] = {**CHAT, **changes}
        self.file.write_text(yaml.safe_dump(document))

    def stack(self) -> PulumiStack:
        return PulumiStack("dev", self.world.project, update_timeout_seconds=300, check=lambda: None)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, warm: ForkServer) -> Iterator[Models]:
    """The stack after its first update."""
    models = Models(World(tmp_path_factory.mktemp("packaged") / "world", warm))
    with models.world.around():
        with pytest.raises(RefusedError, match="its state has no service chat of the component package"):
            ConfigFile(models.file)
        models.world.pulumi("up", "--yes", "--skip-preview")
        models.world.forget_calls()
        yield models


@pytest.fixture
def models(deployed: Models) -> Iterator[Models]:
    """The same stack, with its config as it was."""
    deployed.configure()
    yield deployed
    deployed.configure()
    deployed.world.forget_calls()


def test_the_settings_are_those_of_the_config_and_of_the_state(models: Models) -> None:
    config = ConfigFile(models.file)
    assert config.service == "chat"
    assert config.settings().cluster_name.startswith("cluster-")
    assert config.settings().node_subnet_ids == ("subnet-1",)
    assert config.read().instance_type == "g6e.2xlarge"
    assert config.read().rollout.soak_seconds == 90
    assert models.stack().secret("candidate_route_secret") == SECRET
    with pytest.raises(RefusedError, match="config models:nothing cannot be read"):
        models.stack().secret("nothing")


def test_the_guards_of_a_packaged_service_refuse_in_previews_and_updates(models: Models) -> None:
    models.configure(green_weight=90)
    for command in (models.stack().preview, models.stack().up):
        with pytest.raises(
            UpdateFailedError, match="guard refused: chat: the weight of green, the idle colour, may not"
        ):
            command("leap")
    assert models.world.calls() == []


def test_a_weight_step_updates_the_rule_of_a_packaged_service_alone(models: Models) -> None:
    stack = models.stack()
    rule = stack.rule_in_state("chat")
    assert rule is not None
    assert f"{PROJECT}:index:BlueGreenService$" in rule.urn
    ConfigFile(models.file).edit({"green_weight": 25, "rollout_serial": 8, "green.replicas": 2})
    stack.up("a step", targets=[rule.urn])
    assert models.world.calls() == [("update", "chat")]
    changed = stack.rule_in_state("chat")
    assert changed is not None
    assert sorted(changed.weights.values()) == [25, 75]
    assert changed.rollout_serial == 8
