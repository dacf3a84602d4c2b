"""`pulumi new` makes a project of a clone of this repository, and the project works."""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from tests.components.example import ROOT, SECRET
from tests.engine.conftest import World
from tests.engine.fork_server import ForkServer

pytestmark = [pytest.mark.binaries, pytest.mark.timeout(300)]

NEW = ("--yes", "--offline", "--non-interactive")
ANSWERS = {
    "cluster_name": "main",
    "cluster_security_group_id": "sg-0c",
    "vpc_id": "vpc-0a",
    "node_subnet_ids": '["subnet-1", "subnet-2"]',
    "load_balancer_subnet_ids": '["subnet-3", "subnet-4"]',
}


def tracked() -> list[Path]:
    """The files that a clone would have; those that are new count too."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    # The virtual environment of a checkout may be a link.
    return [path for name in listed.stdout.split("\0") if name and not (path := ROOT / name).is_symlink()]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone."""
    clone = tmp_path_factory.mktemp("template") / "clone"
    for path in tracked():
        if path.exists():
            target = clone / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return clone


@pytest.fixture
def here(tmp_path: Path, warm: ForkServer) -> World:
    """A world without a stack of its own, with fake clouds."""
    world = World(tmp_path / "world", warm, secrets_provider="passphrase")
    for plugin in ("aws", "kubernetes"):
        world.plugin(plugin, version(f"pulumi-{plugin}"), "tests.engine.provider.clouds")
    return world


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_new_project_is_the_repository_without_its_questions(template: Path, here: World, tmp_path: Path) -> None:
    here.pulumi("new", str(template), *NEW, "--generate-only", "--dir", str(tmp_path / "mine"))
    made, source = files(tmp_path / "mine"), files(template)
    project = yaml.safe_load(made.pop("Pulumi.yaml"))
    expected = yaml.safe_load(source.pop("Pulumi.yaml"))
    assert made == source
    assert expected.pop("template")["config"]
    assert project.pop("config").items() >= expected.pop("config").items()
    assert project == expected


def test_a_new_stack_has_the_answers_and_previews(template: Path, here: World, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    answers = [word for key, value in ANSWERS.items() for word in ("--config", f"{key}={value}")]
    said = here.pulumi("new", str(template), *NEW, "--stack", "prod", "--dir", str(mine), *answers).stdout
    assert "docs/real-cluster.md says what the cluster needs." in said
    asked = yaml.safe_load((template / "Pulumi.yaml").read_text(encoding="utf-8"))["template"]["config"]
    defaults = {key: question["default"] for key, question in asked.items() if "default" in question}
    config = yaml.safe_load((mine / "Pulumi.prod.yaml").read_text(encoding="utf-8"))["config"]
    assert {key.removeprefix("vllm-blue-green:"): value for key, value in config.items()} == {**defaults, **ANSWERS}
    in_stack = ("--cwd", str(mine), "--stack", "prod", "--non-interactive")
    refused = here.pulumi("preview", *in_stack, status=None)
    assert "candidate_route_secret" in refused.stdout + refused.stderr
    here.pulumi("config", "set", *in_stack, "--secret", "candidate_route_secret", SECRET)
    previewed = here.pulumi("preview", *in_stack).stdout
    assert re.search(r"ListenerRule\s+llm\s+create", previewed), previewed


def test_a_project_of_another_name_is_refused_before_anything_is_declared(
    template: Path, here: World, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    here.pulumi("new", str(template), *NEW, "--name", "mine", "--stack", "prod", "--dir", str(mine))
    answer = here.pulumi("preview", "--cwd", str(mine), "--stack", "prod", status=None)
    text = re.sub(r"\s+", " ", answer.stdout + answer.stderr)
    assert (
        "the project is named mine, but its config keys begin with vllm-blue-green: Set name: vllm-blue-green" in text
    )
    assert "Traceback" not in text
    assert "ListenerRule" not in text
