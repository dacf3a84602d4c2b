"""Stacks, config, secrets, outputs, events and history, as scripts and people use them."""

import json

import pulumi.automation as auto
import pytest

from tests.engine.conftest import World

SECRET_PROGRAM = """
config = pulumi.Config()
thing = Thing("a", password=config.require_secret("password"), plain="visible")
pulumi.export("token", thing.token)
pulumi.export("plain", {"nested": [1, 2.5, True, None, "text"]})
"""


def test_secrets_are_encrypted_wherever_they_are_written(world: World) -> None:
    world.program(SECRET_PROGRAM)
    stack = world.open()
    stack.set_config("password", auto.ConfigValue("hunter2-and-more", secret=True))
    stack.up()
    for path in (world.project / "Pulumi.dev.yaml", world.root / "state" / ".pulumi" / "stacks" / "probe" / "dev.json"):
        text = path.read_text(encoding="utf-8")
        assert "hunter2" not in text
        assert "v1:" in text
    for path in (world.root / "state" / ".pulumi" / "history").rglob("*.json"):
        assert "hunter2" not in path.read_text(encoding="utf-8")
    outputs = stack.outputs()
    assert (outputs["token"].value, outputs["token"].secret) == ("hunter2-and-more", True)
    assert (outputs["plain"].value, outputs["plain"].secret) == ({"nested": [1, 2.5, True, None, "text"]}, False)
    assert "hunter2" not in world.pulumi("stack", "output").stdout
    assert world.pulumi("stack", "output", "token", "--show-secrets").stdout.strip() == "hunter2-and-more"


def test_secret_values_stay_out_of_output_and_events(world: World) -> None:
    world.program(SECRET_PROGRAM)
    stack = world.open()
    stack.set_config("password", auto.ConfigValue("hunter2-and-more", secret=True))
    log = world.root / "events.jsonl"
    result = world.pulumi(
        "up", "--yes", "--skip-preview", "--diff", "--event-log", str(log), PULUMI_DEBUG_COMMANDS="true"
    )
    assert "hunter2" not in result.stdout
    assert "hunter2" not in log.read_text(encoding="utf-8")


def test_additional_secret_outputs_are_secret(world: World) -> None:
    world.program(
        'thing = Thing("a", plain="x", opts=ResourceOptions(additional_secret_outputs=["serial"]))\n'
        'pulumi.export("serial", thing.serial)'
    )
    stack = world.open()
    stack.up()
    assert stack.outputs()["serial"].secret
    assert world.up() == {}


def test_a_wrong_passphrase_is_refused(world: World) -> None:
    world.program(SECRET_PROGRAM)
    stack = world.open()
    stack.set_config("password", auto.ConfigValue("hunter2-and-more", secret=True))
    answer = world.pulumi("config", "get", "password", status=None, PULUMI_CONFIG_PASSPHRASE="wrong")
    assert answer.returncode != 0
    assert "incorrect passphrase" in answer.stderr


def test_config_keeps_comments_and_takes_paths(world: World) -> None:
    world.program("")
    stack = world.open()
    path = world.project / "Pulumi.dev.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        f"# who may edit this\n{text}config:\n  # the weight of green\n  probe:weight: 25 # percent\n", encoding="utf-8"
    )
    assert stack.get_config("weight").value == "25"
    stack.set_config("weight", auto.ConfigValue("75"))
    stack.set_config("pool.sizes[0]", auto.ConfigValue("3"), path=True)
    stack.set_config("pool.name", auto.ConfigValue("gpu"), path=True)
    stack.set_all_config({"test:region": auto.ConfigValue("here"), "other": auto.ConfigValue("x=y")})
    after = path.read_text(encoding="utf-8")
    assert "# who may edit this" in after
    assert "# the weight of green" in after
    assert "# percent" in after
    config = stack.get_all_config()
    assert config["probe:weight"].value == "75"
    assert json.loads(config["probe:pool"].value) == {"name": "gpu", "sizes": [3]}
    assert config["test:region"].value == "here"
    assert config["probe:other"].value == "x=y"
    stack.remove_config("pool.sizes", path=True)
    assert json.loads(stack.get_config("pool").value) == {"name": "gpu"}
    stack.remove_config("other")
    assert "probe:other" not in stack.get_all_config()


SCHEMA = """
name: probe
runtime: python
config:
  size: {type: integer, default: 3}
  zones: {type: array, items: {type: string}, default: [a, b]}
  owner: {type: string}
"""


def test_declared_config_has_defaults_types_and_required_keys(world: World) -> None:
    world.project_file(SCHEMA)
    world.program(
        'config = pulumi.Config()\nThing("a", size=config.require_int("size"), zones=config.require_object("zones"))'
    )
    stack = world.open()
    with pytest.raises(auto.CommandError, match="Stack 'dev' is missing configuration value 'owner'"):
        stack.preview()
    stack.set_config("owner", auto.ConfigValue("me"))
    stack.up()
    assert world.resources()["a"]["inputs"] == {"grade": "standard", "size": 3, "zones": ["a", "b"]}
    stack.set_config("size", auto.ConfigValue("many"))
    with pytest.raises(auto.CommandError, match="'size' must be of type 'integer'"):
        stack.preview()


def test_config_of_a_package_configures_its_default_provider(world: World) -> None:
    world.program('Thing("a", size=1)')
    stack = world.open()
    stack.set_config("test:region", auto.ConfigValue("here"))
    stack.up()
    assert '"test:config:region": "here"' in (world.cloud / "log.jsonl").read_text(encoding="utf-8")


def test_events_tell_the_plan_and_its_detail(world: World) -> None:
    world.program('Thing("a", size=1)\nThing("b", size=1)')
    stack = world.open()
    stack.up()
    world.program('Thing("a", size=2)\nThing("b", size=1)')
    events: list[auto.EngineEvent] = []
    stack.preview(on_event=events.append)
    steps = [event.resource_pre_event.metadata for event in events if event.resource_pre_event]
    changed = [step for step in steps if step.op != auto.OpType.SAME]
    assert [(step.urn.rsplit("::")[-1], step.op.value) for step in changed] == [("a", "update")]
    (step,) = changed
    assert step.diffs == ["size"]
    assert step.detailed_diff is not None
    assert {path: diff.diff_kind.value for path, diff in step.detailed_diff.items()} == {"size": "update"}
    assert step.old is not None
    assert step.new is not None
    assert (step.old.inputs or {})["size"] == 1
    assert (step.new.inputs or {})["size"] == 2
    assert events[-1].cancel_event is not None


def test_a_preview_is_printed_as_json(world: World) -> None:
    world.program('Thing("a", size=1)')
    world.open()
    document = json.loads(world.pulumi("preview", "--json").stdout)
    assert document["changeSummary"] == {"create": 2}
    assert [step["op"] for step in document["steps"]] == ["create", "create"]


def test_expected_stillness_is_enforced(world: World) -> None:
    world.program('Thing("a", size=1)')
    stack = world.open()
    with pytest.raises(auto.CommandError, match="no changes were expected for preview but changes were proposed"):
        stack.preview(expect_no_changes=True)
    world.pulumi("preview", "--expect-no-changes", status=7)
    world.pulumi("preview", "--stack", "nowhere", status=6)
    stack.up()
    stack.preview(expect_no_changes=True)


def test_history_keeps_messages_and_changes(world: World) -> None:
    world.program('Thing("a", size=1)')
    stack = world.open()
    stack.up(message="first light")
    world.program('Thing("a", size=2)')
    stack.up(message="second thoughts")
    latest, first = stack.history(show_secrets=False)
    assert (latest.message, latest.kind, latest.result) == ("second thoughts", "update", "succeeded")
    assert dict(latest.resource_changes or {}) == {"same": 1, "update": 1}
    assert first.message == "first light"
    assert [each.message for each in stack.history(page_size=1)] == ["second thoughts"]


def test_an_exported_stack_can_be_imported_into_another_backend_state(world: World) -> None:
    world.program(SECRET_PROGRAM)
    stack = world.open()
    stack.set_config("password", auto.ConfigValue("hunter2-and-more", secret=True))
    stack.up()
    exported = stack.export_stack()
    stack.import_stack(auto.Deployment(version=3, deployment={}))
    assert world.resources() == {}
    stack.import_stack(exported)
    assert world.up() == {}
    assert stack.outputs()["token"].value == "hunter2-and-more"
    world.pulumi("stack", "export", "--file", "plain.json", "--show-secrets")
    text = (world.project / "plain.json").read_text(encoding="utf-8")
    assert "hunter2-and-more" in text
    world.pulumi("stack", "import", "--file", "plain.json")
    assert world.up() == {}
    state = world.root / "state" / ".pulumi" / "stacks" / "probe" / "dev.json"
    assert "hunter2" not in state.read_text(encoding="utf-8")


def test_stacks_are_listed_selected_and_removed(world: World) -> None:
    world.program('Thing("a", size=1)')
    stack = world.open()
    stack.up()
    (summary,) = stack.workspace.list_stacks()
    assert (summary.name, summary.current, summary.resource_count) == ("dev", True, 3)
    with pytest.raises(auto.CommandError, match="still has resources"):
        stack.workspace.remove_stack("dev")
    with pytest.raises(auto.StackAlreadyExistsError):
        stack.workspace.create_stack("dev")
    with pytest.raises(auto.StackNotFoundError):
        stack.workspace.select_stack("nowhere")
    stack.destroy()
    stack.workspace.remove_stack("dev")
    assert stack.workspace.list_stacks() == []
    assert not (world.project / "Pulumi.dev.yaml").exists()


def test_what_is_declared_in_the_project_is_all_there_in_a_second_process(world: World) -> None:
    world.program('Thing("a", size=1)\npulumi.export("organization", pulumi.get_organization())')
    world.open().up()
    assert world.pulumi("stack", "output", "organization").stdout.strip() == "organization"
    assert world.pulumi("whoami").stdout.strip()
    assert "pulumi" in world.pulumi("version").stdout or world.pulumi("version").stdout.startswith("v3.")


def test_another_config_file_is_read_and_written_where_it_is_named(world: World) -> None:
    world.program('Thing("a", size=pulumi.Config().require_int("size"))')
    world.open()
    other = str(world.root / "other.yaml")
    own = (world.project / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    world.pulumi("config", "set", "size", "7", "--config-file", other)
    assert world.pulumi("config", "get", "size", "--config-file", other).stdout.strip() == "7"
    assert (world.project / "Pulumi.dev.yaml").read_text(encoding="utf-8") == own
    world.pulumi("up", "--yes", "--skip-preview", "--config-file", other)
    assert world.resources()["a"]["inputs"]["size"] == 7
