"""A service that another program declares by the component package: ramped, rolled back, and no request is lost."""

import shutil
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from policies import standalone
from rehearsal.load.records import by_color, started_between, summarize
from rehearsal.report.journal import JournalTail, of_kind
from rehearsal.report.result import read_requests
from rehearsal.report.view import LiveView
from rehearsal.scenarios.scenarios import Scenarios
from rehearsal.world.checkout import SERVICE, STACK
from rehearsal.world.leftovers import left_running
from rehearsal.world.releases import commit_of
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.stack import NEW_STACK
from rehearsal.world.world import World, world
from tests.components.example import ROOT

pytestmark = [pytest.mark.long_world, pytest.mark.timeout(900)]

CONFIG = {
    "rollout": {
        "steps": [{"candidate_percent": 25, "hold_seconds": 3}, {"candidate_percent": 100, "hold_seconds": 3}],
        "soak_seconds": 2,
        "keep_warm_seconds": 600,
    }
}
SETTINGS = RehearsalSettings(open_streams=60, config=CONFIG)
# A program's own resources and config; the ids that a resource would give are outputs.
PROGRAM = '''
import pulumi


class BlueGreenService(pulumi.ComponentResource):
    """What `pulumi package add` would write."""

    endpoint: pulumi.Output[str]

    def __init__(self, name, opts=None, **inputs):
        kind = "vllm-blue-green:index:BlueGreenService"
        super().__init__(kind, name, {**inputs, "endpoint": None}, opts, remote=True)


config = pulumi.Config()
network = config.require_object("network")
platform = pulumi.ComponentResource("acme:index:Platform", "platform")
chat = BlueGreenService(
    "chat",
    pulumi.ResourceOptions(parent=platform),
    clusterName=pulumi.Output.from_input(network["cluster_name"]),
    clusterSecurityGroupId=network["cluster_security_group_id"],
    vpcId=pulumi.Output.from_input(network["vpc_id"]),
    nodeSubnetIds=network["node_subnet_ids"],
    loadBalancerSubnetIds=network["load_balancer_subnet_ids"],
    settings=config.require_object("chat"),
    candidateRouteSecret=config.require_secret("candidate_route_secret"),
)
pulumi.export("endpoint", chat.endpoint)
'''
NETWORK = ("cluster_name", "cluster_security_group_id", "vpc_id", "node_subnet_ids", "load_balancer_subnet_ids")


class Program:
    """The program's folder, and the commands of its engineer."""

    def __init__(self, running: World) -> None:
        self._world = running
        self.folder = running.folder / "models"
        self.file = self.folder / f"Pulumi.{STACK}.yaml"
        self.journal = JournalTail(self.folder / ".rollout" / STACK / f"{SERVICE}.jsonl")

    def write(self) -> None:
        """Write the program beside the checkout of the scripts and the package, with the checkout's config."""
        checkout = self._world.checkout
        shutil.copytree(ROOT / "package", checkout / "package", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(ROOT / "pyproject.toml", checkout)
        # The packages are there already, so Pulumi makes no environment.
        (checkout / "package" / "PulumiPlugin.yaml").write_text("runtime: python\n")
        self.folder.mkdir()
        shutil.copytree(checkout / "evals", self.folder / "evals")
        standalone.write(self.folder / "policies")
        plugins = {"providers": [{"name": "vllm-blue-green", "path": "../checkout/package"}]}
        project = {"name": "models", "runtime": "python", "plugins": plugins}
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        (self.folder / "__main__.py").write_text(PROGRAM)
        theirs = yaml.safe_load((checkout / self.file.name).read_text())["config"]
        ours = {key.partition(":")[2]: theirs[key] for key in theirs if key.startswith("vllm-blue-green:")}
        chat = {key: value for key, value in ours.items() if key not in (*NETWORK, "service_name")}
        keys = {"models:network": {key: ours[key] for key in NETWORK}, f"models:{SERVICE}": chat}
        self.file.write_text(yaml.safe_dump({"config": {"aws:region": theirs["aws:region"], **keys}}))

    def pulumi(self, name: str, *arguments: str) -> None:
        self._world.run(name, "pulumi", *arguments, "--cwd", str(self.folder), "--non-interactive", "--stack", STACK)

    def up(self, name: str, *more: str) -> None:
        self.pulumi(name, "up", "--yes", "--policy-pack", str(self.folder / "policies"), *more)

    def script(self, name: str, *arguments: str) -> None:
        command = (sys.executable, "-m", f"scripts.{name}", "--stack", STACK, "--work-dir", str(self.folder))
        self._world.run(name, *command, *arguments)

    def settings(self) -> dict[str, Any]:
        return yaml.safe_load(self.file.read_text())["config"][f"models:{SERVICE}"]

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        self.journal.look()
        return list(of_kind(self.journal.records, kind))


@pytest.fixture
def running(control_plane_binaries: dict[str, Path], tmp_path: Path) -> Generator[World]:
    """A world without a service."""
    folder = tmp_path / "world"
    with world(folder, SETTINGS, control_plane_binaries, lambda _: None) as started:
        yield started
    assert left_running(folder) == []


def test_a_packaged_service_is_ramped_to_promotion_and_back_without_a_lost_request(running: World) -> None:
    program = Program(running)
    program.write()
    running.run("stack-init", *NEW_STACK, "--cwd", str(program.folder))
    program.pulumi("config-set", "config", "set", "--secret", "candidate_route_secret", "a" * 32)
    program.up("first-up")
    scenarios = Scenarios(running, SETTINGS, LiveView(Console(quiet=True)), program.journal)
    with scenarios.traffic():
        program.script("ramp", "--release", str(running.checkout / "releases" / "b.yaml"))
        promoted, promoted_at = program.settings(), time.time()
        program.up("plain-up", "--expect-no-changes")
        program.script("status")
        rolled_back_at = time.time()
        program.script("rollback")
    records = read_requests(running.requests_log, running.access_log)
    assert summarize(records).failed == 0
    assert (promoted["active_color"], promoted["green_weight"]) == ("green", 100)
    assert promoted["green"]["release"]["model_revision"] == commit_of("b")
    assert program.kinds("promoted")
    between = by_color(started_between(records, promoted_at + 1, rolled_back_at))
    assert between.keys() == {"green"}
    assert program.settings()["green_weight"] == 0
    # The scripts wrote nothing but the service's object.
    assert yaml.safe_load(program.file.read_text())["config"].keys() == {
        *("aws:region", "models:network", f"models:{SERVICE}", "models:candidate_route_secret")
    }
