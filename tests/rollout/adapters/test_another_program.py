"""The config of another program: a service is one object, and the program gives the rest to the component itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.automation import CommandResult

from rollout.adapters import config_file
from rollout.adapters.config_file import ConfigFile
from rollout.adapters.pulumi.declared import declared_in, read_declared
from rollout.model.errors import RefusedError
from tests.components.example import config, release

DECLARED = {
    "cluster_name": "main",
    "cluster_security_group_id": "sg-0c",
    "vpc_id": "vpc-0a",
    "node_subnet_ids": ["subnet-1", "subnet-2"],
    "load_balancer_subnet_ids": ["subnet-3", "subnet-4"],
}
CHAT = {
    "instance_type": "g6e.2xlarge",
    "green_weight": 0,
    "blue": {"replicas": 2, "release": release()},
    "green": {"replicas": 2},
    "rollout": {"soak_seconds": 90},
}
SECRET = {"secure": "v1:abc:def"}
SIGNATURE = "4dabf18193072939515e22adb298388d"


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the state says that the program gives by itself."""
    found: dict[str, Any] = dict(DECLARED)

    def read_declared(*_: object) -> dict[str, Any]:
        return found

    monkeypatch.setattr(config_file, "read_declared", read_declared)
    return found


def write(folder: Path, *, project: str = "", **keys: Any) -> Path:
    """Write the stack of a project called models. Keys are without the project's name."""
    (folder / "Pulumi.yaml").write_text(f"name: models\nruntime: nodejs\n{project}")
    path = folder / "Pulumi.prod.yaml"
    values = {"candidate_route_secret": SECRET, "chat": CHAT, **keys}
    whole = {f"models:{key}": value for key, value in values.items() if value is not None}
    path.write_text(yaml.safe_dump({"config": {"aws:region": "us-east-1", **whole}}, sort_keys=False))
    return path


def keys_of(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())["config"]


def refusal(path: Path, service: str | None = None) -> str:
    before = path.read_bytes()
    with pytest.raises(RefusedError) as raised:
        ConfigFile(path, service)
    assert path.read_bytes() == before
    return str(raised.value)


def test_the_settings_are_those_of_the_object_and_of_the_program(tmp_path: Path) -> None:
    chat = ConfigFile(write(tmp_path, replicas=3, theme={"color": "red"}))
    assert chat.service == "chat"
    assert chat.read().rollout.soak_seconds == 90
    assert chat.settings().cluster_name == "main"
    assert chat.raw("aws:region") == "us-east-1"


def test_the_object_takes_precedence_over_what_the_program_gave_at_the_last_update(tmp_path: Path) -> None:
    path = write(tmp_path, chat={**CHAT, "cluster_name": "other"})
    assert ConfigFile(path).settings().cluster_name == "other"


def test_a_stack_may_be_named_with_the_programs_own_project(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert config_file.stack_file(tmp_path, "acme/models/prod") == path
    with pytest.raises(RefusedError, match="is a stack of project vllm-blue-green, but this is project models"):
        config_file.stack_file(tmp_path, "acme/vllm-blue-green/prod")


def test_an_edit_changes_the_object_alone(tmp_path: Path) -> None:
    path = write(tmp_path, services={"chat": "a key of the program's own"}, green_weight=7)
    before = keys_of(path)
    undo = ConfigFile(path).edit({"green_weight": 25, "green.release": release(model_revision="beef123")})
    chat = {**CHAT, "green_weight": 25, "green": {"replicas": 2, "release": release(model_revision="beef123")}}
    assert keys_of(path) == {**before, "models:chat": chat}
    undo()
    assert keys_of(path) == before


@pytest.mark.parametrize("spelled", ["chat", "models:chat"])
def test_an_object_in_json_and_a_key_without_the_project_are_edited_too(tmp_path: Path, spelled: str) -> None:
    path = write(tmp_path)
    text = yaml.safe_dump({"config": {"models:candidate_route_secret": SECRET, spelled: json.dumps(CHAT)}})
    path.write_text(text)
    ConfigFile(path).edit({"rollout_serial": 8})
    assert keys_of(path)[spelled] == {**CHAT, "rollout_serial": 8}


def test_an_object_that_the_project_file_gives_is_copied_before_it_is_edited(tmp_path: Path) -> None:
    path = write(tmp_path, project=f"config: {{chat: {{value: {json.dumps(CHAT)}}}}}\n", chat=None)
    ConfigFile(path).edit({"rollout_serial": 8})
    assert keys_of(path)["models:chat"] == {**CHAT, "rollout_serial": 8}


@pytest.mark.parametrize(
    ("keys", "service", "message"),
    [
        ({"code": CHAT}, None, "service: must be named, since this stack has several (chat, code)"),
        (
            {"code": CHAT},
            "chatt",
            'service: "chatt" is not one of this stack\'s services (chat, code). Did you mean chat?',
        ),
        (
            {"chat": None},
            "chat",
            "has no service. The project is not vllm-blue-green, so a service's settings are one obj",
        ),
        (
            {"chat": {**CHAT, "green_weight": 101}},
            None,
            "models:chat.green_weight: must be a whole number from 0 to 100",
        ),
        (
            {"chat": {**CHAT, "green_weigth": 1}},
            None,
            "models:chat.green_weigth: is not a known key. Did you mean green_w",
        ),
        ({"chat": {**CHAT, "blue": {}, "green": 1}}, None, "models:chat.green: must be an object with the keys"),
        ({"candidate_route_secret": None}, None, "models:candidate_route_secret: is required but not set"),
        (
            {"candidate_route_secret": "x" * 16},
            None,
            "models:candidate_route_secret: is a secret, but is in the config in",
        ),
    ],
)
def test_a_bad_config_is_refused_by_the_programs_own_keys(
    tmp_path: Path, keys: dict[str, Any], service: str | None, message: str
) -> None:
    assert message in refusal(write(tmp_path, **keys), service)


def test_a_program_that_gives_what_a_rollout_writes_is_refused(tmp_path: Path, declared: dict[str, Any]) -> None:
    declared |= {"green_weight": 0, "blue": {}}
    message = refusal(write(tmp_path))
    assert "blue, green_weight: must be in models:chat, where a rollout writes" in message


def test_a_bad_edit_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(RefusedError, match=r"models:chat\.green_weight"):
        ConfigFile(path).edit({"green_weight": 101})
    assert path.read_bytes() == before


def test_what_an_environment_gives_must_be_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"models:chat": json.dumps(CHAT), "models:candidate_route_secret": None}

    def open_environment(*_: object) -> dict[str, Any]:
        return given

    monkeypatch.setattr(config_file, "open_environment", open_environment)
    path = write(tmp_path)
    path.write_text("environment: [prod]\n")
    assert ConfigFile(path).read().rollout.soak_seconds == 90
    with pytest.raises(RefusedError, match=r"chat\.green_weight, chat\.blue\.release: must be in this file"):
        ConfigFile(path).edit({"green_weight": 1})


def resource(**changes: Any) -> Mapping[str, Any]:
    urn = "urn:pulumi:prod::models::vllm-blue-green:index:BlueGreenService::chat"
    kind = "vllm-blue-green:index:BlueGreenService"
    return {"urn": urn, "type": kind, "outputs": {"declaredSettings": DECLARED}, **changes}


def test_the_state_says_what_the_program_gives() -> None:
    assert declared_in([{"type": "a:b:C", "urn": "x::chat"}, resource()], "chat") == DECLARED
    assert declared_in([resource()], "cha") is None
    assert declared_in([resource(delete=True)], "chat") is None
    assert declared_in([resource(outputs={})], "chat") is None


def test_the_same_settings_are_read_from_either_program(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    ours = tmp_path / "ours" / "Pulumi.prod.yaml"
    values = config(service_name="chat", candidate_route_secret=None, rollout=CHAT["rollout"])
    secret = {"vllm-blue-green:candidate_route_secret": SECRET}
    ours.write_text(yaml.safe_dump({"config": {**values, **secret}}))
    assert ConfigFile(ours).settings() == ConfigFile(write(tmp_path / "theirs")).settings()


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([], "its state has no service chat of the component package"),
        (
            [resource(outputs={"declaredSettings": {"vpc_id": {SIGNATURE: "1"}}})],
            "vpc_id of chat: must not be a secret",
        ),
        (None, "its state cannot be read: Pulumi's answer is no deployment"),
    ],
)
def test_a_state_that_does_not_help_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resources: Any, message: str
) -> None:
    class Pulumi:
        def __init__(self, stack: str) -> None:
            assert stack == "prod"

        def run(self, arguments: list[str], *_: object) -> CommandResult:
            assert arguments == ["stack", "export", "--stack", "prod"]
            state = 1 if resources is None else {"deployment": {"resources": resources}}
            return CommandResult(json.dumps(state), "", 0)

    monkeypatch.setattr("rollout.adapters.pulumi.process.InterruptiblePulumi", Pulumi)
    with pytest.raises(RefusedError, match=message):
        read_declared(tmp_path, "prod", "chat")
