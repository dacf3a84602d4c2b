"""Bad config and arguments to the embedded engine: one clear error, no traceback, nothing changed."""

import json

import pytest

from tests.engine.conftest import World
from tests.engine.killing import cloud, deployment, state_file
from tests.engine.refusals import UP, begin, refused

pytestmark = pytest.mark.parametrize("engine", ["embedded"], indirect=True)

SECRET = 'Thing("a", password=pulumi.Config().require_secret("password"))'


def test_a_wrong_or_missing_passphrase_stops_an_update(world: World) -> None:
    begin(world, SECRET)
    world.pulumi("config", "set", "--secret", "password", "hunter2-and-more")
    before = state_file(world).read_bytes()
    assert refused(world, *UP, PULUMI_CONFIG_PASSPHRASE="wrong") == "incorrect passphrase"
    del world.environment["PULUMI_CONFIG_PASSPHRASE"]
    for command in UP, ("preview",), ("destroy", "--yes", "--skip-preview"):
        assert "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or" in refused(world, *command)
    text = refused(world, *UP, PULUMI_CONFIG_PASSPHRASE_FILE="/nowhere/passphrase")
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in text
    assert "/nowhere/passphrase" in text
    assert state_file(world).read_bytes() == before


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("encryptionsalt: v1:half\n", "encryptionsalt 'v1:half' is damaged"),
        ("encryptionsalt: v1:!!!:x\n", "encryptionsalt 'v1:!!!:x' is damaged"),
        ("secretsprovider: awskms://alias/key\n", "the secrets provider 'awskms://alias/key' is not supported"),
        ("secretsprovider: nonsense\n", "the secrets provider 'nonsense' is not supported"),
        ("environment: [prod]\n", "ESC environments in a stack's config is not supported"),
        ("config: [1, 2]\n", "`config` must hold `key: value` lines, not [1, 2]"),
        ("config: {probe:password: {secure: v1:half}}\n", "the encrypted value 'v1:half' is damaged"),
        ("config: {a:b:c:d: 1}\n", "could not parse a:b:c:d as a configuration key"),
        ("config:\n  probe:size: [1, 2\n  other: 3\n", "Pulumi.dev.yaml: line 3, column"),
        ("config:\n\tprobe:size: 1\n", "Pulumi.dev.yaml: line 2, column 1: "),
        ("- just a list\n", "Pulumi.dev.yaml: it must hold `key: value` lines, not ['just a list']"),
    ],
)
def test_a_damaged_stack_config_is_refused_with_the_place(world: World, config: str, message: str) -> None:
    begin(world)
    path = world.project / "Pulumi.dev.yaml"
    path.write_text(config, encoding="utf-8")
    assert message in refused(world, *UP)
    assert path.read_text(encoding="utf-8") == config
    assert cloud(world) == set()


@pytest.mark.parametrize(
    ("project", "message"),
    [
        ("name: probe\nruntime: [python\n", "Pulumi.yaml: line 3, column 1: "),
        ("name: probe\nruntime: python\n  main: x\n", "Pulumi.yaml: line 3, column "),
        ("runtime: python\n", "project is missing a 'name' attribute"),
        ("name: probe\n", "project is missing a 'runtime' attribute"),
        ("name: probe\nruntime: nodejs\n", "the runtime 'nodejs' (only python is) is not supported"),
        ("name: probe\nruntime: python\nconfig: 3\n", "`config` must hold `key: value` lines, not 3"),
        ("name: probe\nruntime: python\nbackend: x\n", "`backend` must hold `key: value` lines, not 'x'"),
        ("name: probe\nruntime: {name: python, options: {virtualenv: gone}}\n", "does not exist or has no Python"),
        ("name: probe\nruntime: python\noptions: {refresh: always}\n", "`options` in Pulumi.yaml is not supported"),
        ("name: probe\nruntime: python\nplugins: {providers: [{name: x}]}\n", "`plugins` in Pulumi.yaml is not"),
        ("", "project is missing a 'name' attribute"),
        ("nonsense", "it must hold `key: value` lines, not 'nonsense'"),
    ],
)
def test_a_damaged_project_file_is_refused_with_the_place(world: World, project: str, message: str) -> None:
    begin(world)
    world.project_file(project)
    assert message in refused(world, *UP)
    assert cloud(world) == set()


def test_a_backend_that_does_not_exist_is_named(world: World) -> None:
    text = refused(world, "stack", "ls", PULUMI_BACKEND_URL="file:///nowhere")
    assert text == 'unable to open state directory "file:///nowhere": stat /nowhere: no such file or directory'


@pytest.mark.parametrize("command", ["up", "refresh", "destroy"])
def test_without_a_person_to_confirm_nothing_begins(world: World, command: str) -> None:
    begin(world)
    answer = world.pulumi(command, status=2)
    assert answer.stderr.startswith("error: --yes or --skip-preview or --preview-only must be passed in to proceed")
    assert answer.stdout == ""


def test_a_folder_without_a_project_isrefused(world: World) -> None:
    assert "no Pulumi.yaml project file found" in refused(world, "-C", "/", "preview")
    assert refused(world, "-C", "/nowhere", "up") == "/nowhere: No such file or directory"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["config", "get", "size"], "configuration key 'size' not found for stack 'dev'"),
        (["config", "get", "--path", "pool.zones[7]"], "configuration key 'pool.zones[7]' not found for stack 'dev'"),
        (["config", "get", "--path", "pool.["], "invalid configuration key path: pool.["),
        (["config", "set", "--path", "pool.zones[7]", "x"], "cannot set array element 7 in an array of length 1"),
        (["config", "set-all", "--plaintext", "no-value"], "config value for 'no-value' must be given as key=value"),
        (["config", "set-all", "--json", "{"], "--json is no JSON object: "),
        (["config", "set-all", "--json", "[]"], "--json is no JSON object: "),
        (["config", "set-all", "--json", '{"a": 1}'], "--json: 'a' must hold a `value` text"),
    ],
)
def test_wrong_config_keys_and_values_change_nothing(world: World, arguments: list[str], message: str) -> None:
    begin(world)
    world.pulumi("config", "set", "--path", "pool.zones[0]", "a")
    before = (world.project / "Pulumi.dev.yaml").read_bytes()
    assert refused(world, *arguments).startswith(message)
    assert (world.project / "Pulumi.dev.yaml").read_bytes() == before


def test_a_config_with_two_equal_keys_is_not_edited(world: World) -> None:
    begin(world)
    path = world.project / "Pulumi.dev.yaml"
    path.write_text("config:\n  probe:size: 1\n  probe:size: 2\n", encoding="utf-8")
    text = refused(world, "config", "set", "size", "3")
    assert text.startswith(f'could not edit {path}: line 3: found duplicate key "probe:size"')
    assert path.read_text(encoding="utf-8") == "config:\n  probe:size: 1\n  probe:size: 2\n"


@pytest.mark.parametrize("command", ["up", "refresh", "destroy"])
def test_a_target_that_does_not_exist_fails_the_run(world: World, command: str) -> None:
    begin(world)
    world.pulumi(*UP)
    urn = "urn:pulumi:dev::probe::test:index:Thing::b"
    answer = world.pulumi(command, "--yes", "--skip-preview", "--target", urn, status=1)
    expected = f"Target '{urn}' could not be found in the stack. Did you forget to escape $ in your shell?"
    assert expected in answer.stdout
    assert cloud(world) == {"a-1"}


def test_a_destroy_that_would_need_the_programs_hooks_isrefused(world: World) -> None:
    begin(
        world,
        'hook = pulumi.ResourceHook("h", lambda args: None)\n'
        'Thing("a", opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(before_delete=[hook])))',
    )
    world.pulumi(*UP)
    before = json.dumps(deployment(world)["resources"])
    text = refused(world, "destroy", "--yes", "--skip-preview")
    assert text.startswith("You must run with the `--run-program` flag to use delete hooks during destroy")
    assert text.endswith("::a")
    assert json.dumps(deployment(world)["resources"]) == before
