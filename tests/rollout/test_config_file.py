"""Editing Pulumi.<stack>.yaml: comments, secrets and all else stay; what is not valid is not written."""

from pathlib import Path

import pytest

from rollout.config_file import ConfigFile
from rollout.errors import RefusedError
from tests.rollout.fakes import NEW

STACK_KEYS = """\
  vllm-blue-green:cluster_name: prod
  vllm-blue-green:cluster_security_group_id: sg-0a1b2c3d4e5f60718
  vllm-blue-green:vpc_id: vpc-0a1b2c3d4e5f60718
  vllm-blue-green:node_subnet_ids:
    - subnet-1
  vllm-blue-green:load_balancer_subnet_ids: ["subnet-1", "subnet-2"]
  vllm-blue-green:candidate_route_secret:
    secure: v1:abc=
"""
RELEASE = f"""
      model: acme/assistant
      model_revision: a  # pinned in March
      image: vllm/vllm-openai@sha256:{"a" * 64}
"""
FLAT = f"""\
# Who to ask: the platform team.
encryptionsalt: v1:salt
config:
  aws:region: eu-central-1
{STACK_KEYS}
  vllm-blue-green:service_name: chat
  vllm-blue-green:instance_type: "g6e.2xlarge"
  vllm-blue-green:green_weight: 0  # moved by the ramp
  vllm-blue-green:blue:
    replicas: 2
    release:{RELEASE}
  vllm-blue-green:green:
    replicas: 2
"""
SEVERAL = f"""\
config:
{STACK_KEYS}
  vllm-blue-green:instance_type: g6e.2xlarge
  vllm-blue-green:blue:
    release:{RELEASE}
  vllm-blue-green:services:
    chat:
      # the busy one
      green_weight: 0
    search: {{}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "Pulumi.prod.yaml"
    path.write_text(text)
    return path


def test_the_settings_are_read_as_the_program_reads_them(tmp_path: Path) -> None:
    config = ConfigFile(write(tmp_path, FLAT))
    assert config.service == "chat"
    assert config.read().color("blue").replicas == 2
    assert config.raw("aws:region") == "eu-central-1"
    assert config.raw("kubernetes:context") is None


def test_several_keys_change_at_once_and_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path, FLAT)
    ConfigFile(path).edit({"green_weight": 25, "rollout_serial": 4, "green.release": NEW.model_dump(mode="json")})
    settings = ConfigFile(path).read()
    assert (settings.green_weight, settings.rollout_serial) == (25, 4)
    assert settings.color("green").release == NEW
    assert settings.color("green").replicas == 2
    lines = path.read_text().splitlines()
    changed = "  vllm-blue-green:green_weight: 0  # moved by the ramp"
    assert all(
        line in lines for line in FLAT.splitlines() if line.strip() and line != changed and "load_balancer" not in line
    )
    assert "  vllm-blue-green:green_weight: 25 # moved by the ramp" in [line.replace("  #", " #") for line in lines]


def test_an_edit_can_be_taken_back(tmp_path: Path) -> None:
    path = write(tmp_path, FLAT)
    ConfigFile(path).edit({"green_weight": 25, "green.release": NEW.model_dump(mode="json")})()
    assert path.read_text() == FLAT


def test_an_edit_that_is_not_valid_is_not_written(tmp_path: Path) -> None:
    path = write(tmp_path, FLAT)
    with pytest.raises(RefusedError, match="green_weight"):
        ConfigFile(path).edit({"green_weight": 101})
    assert path.read_text() == FLAT
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_one_of_several_services_is_edited(tmp_path: Path) -> None:
    path = write(tmp_path, SEVERAL)
    config = ConfigFile(path, "chat")
    config.edit({"rollout_serial": 3, "blue.replicas": 5})
    assert config.read().color("blue").replicas == 5
    assert config.read().color("blue").release is not None, "the default's other parts must stay"
    assert ConfigFile(path, "search").read().rollout_serial == 0
    assert "# the busy one" in path.read_text()


def test_with_several_services_one_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"chat, search.*--service"):
        ConfigFile(write(tmp_path, SEVERAL))


def test_json_text_is_unfolded_when_something_in_it_changes(tmp_path: Path) -> None:
    flat = FLAT.replace("  vllm-blue-green:green:\n    replicas: 2\n", "  vllm-blue-green:green: '{\"replicas\": 3}'\n")
    config = ConfigFile(write(tmp_path, flat))
    config.edit({"green.parked": True})
    assert config.read().color("green").replicas == 3
    assert config.read().color("green").parked


@pytest.mark.parametrize("text", ["config: [", "a: 1", "config:\n  x:y: 1\n"])
def test_a_file_that_is_no_stack_config_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RefusedError, match=r"Pulumi\.prod\.yaml"):
        ConfigFile(write(tmp_path, text))


def test_a_missing_file_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="--work-dir"):
        ConfigFile(tmp_path / "Pulumi.nope.yaml")
