"""Editing Pulumi.<stack>.yaml: comments, secrets and everything else stay; invalid settings are not written."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.adapters.config_file import ConfigFile, difference, stack_file
from rollout.model.errors import RefusedError, RolloutError
from tests.rollout.fakes import NEW
from tests.rollout.full_disk import no_room

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
      model_revision: aaaaaaa  # pinned in March
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


def test_the_settings_are_parsed_again_only_when_a_file_has_changed(tmp_path: Path) -> None:
    path = write(shared_project(tmp_path, PROJECT_CONFIG), FLAT)
    config = ConfigFile(path)
    first = config.settings()
    assert config.settings() is first
    path.write_text(FLAT.replace("replicas: 2", "replicas: 3"))
    assert config.read().green.replicas == 3
    config.edit({"rollout_serial": 4})
    assert config.read().rollout_serial == 4
    path.write_text(FLAT)
    assert not config.settings().protect
    shared_project(tmp_path, PROJECT_CONFIG.replace("protect: {default: false}", "protect: {default: true}"))
    assert config.settings().protect


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config: [", ":1: is not YAML"),
        ("config:\n<<<<<<< ours\n  a: 1\n=======\n  a: 2\n>>>>>>> theirs\n", ":2: has a merge conflict; resolve it"),
        ("config:\n  a: {{ .Values.a }}\n", ": has {{ … }}, which a template engine such as Helm fills in; write"),
        ("a: 1\nb: *c\n", ":2: is not YAML: found undefined alias"),
        ("config:\n  a: 1\n  a: hunter2\n", ':3: is not YAML: it has this key twice: "a"'),
        (f"config:\n  a: {'9' * 5000}", "is not YAML"),
        (f"config:\n  a: {'[' * 1000}", "is not YAML"),  # more than Python recurses; the parser takes the square of it
        ("config:\n  a: \x00", "is not YAML"),
        ("a: 1", "has no 'config' section"),
        ("", "has no 'config' section"),
        ("- config", "has no 'config' section"),
        ("config: [a, b]", "'config' must have one key and value per line"),
        ("config:\n  x:y: 1\n", "cluster_name: is required but not set"),
    ],
)
def test_a_file_that_is_no_stack_config_is_refused_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RefusedError, match=r"Pulumi\.prod\.yaml") as raised:
        ConfigFile(write(tmp_path, text))
    assert message in str(raised.value)
    assert "hunter2" not in str(raised.value)


def project(folder: Path) -> Path:
    (folder / "Pulumi.yaml").write_text("name: vllm-blue-green\n")
    return write(folder, FLAT)


@pytest.mark.parametrize("stack", ["prod", "acme/prod", "acme/vllm-blue-green/prod"])
def test_a_stack_is_found_by_its_bare_name_however_it_is_given(tmp_path: Path, stack: str) -> None:
    path = project(tmp_path)
    assert stack_file(tmp_path, stack) == path


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        ("prd", "Did you mean prod?"),
        ("something", "Known stacks: prod."),
        ("acme/vllm-blue-green/prd", "Did you mean prod?"),
        ("acme/shop/prod", "is a stack of project shop, but this is project vllm-blue-green"),
        ("", "must be a stack's name"),
        ("..", "must be a stack's name"),
        ("acme/", "must be a stack's name"),
        ("/prod", "must be a stack's name"),
        ("a/vllm-blue-green/b/prod", "must be a stack's name"),
        ("acme/pröd", "must be a stack's name"),
    ],
)
def test_an_unknown_stack_is_refused_with_what_there_is(tmp_path: Path, stack: str, message: str) -> None:
    project(tmp_path)
    with pytest.raises(RefusedError, match="--stack") as raised:
        stack_file(tmp_path, stack)
    assert message in str(raised.value)


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"has no Pulumi\.yaml"):
        stack_file(tmp_path, "prod")
    with pytest.raises(RefusedError, match="is not a folder"):
        stack_file(tmp_path / "nowhere", "prod")


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ("    secure: v1:abc=\n", None),
        ("", "candidate_route_secret: is required but not set"),
        (" hunter2hunter2hunter2\n", "candidate_route_secret: is a secret, but is in the config in plain text"),
    ],
)
def test_the_secret_must_be_there_and_encrypted(tmp_path: Path, kept: str, message: str | None) -> None:
    key = "  vllm-blue-green:candidate_route_secret:"
    before = f"{key}\n    secure: v1:abc=\n"
    after = (f"{key}\n{kept}" if kept.startswith("    ") else f"{key}{kept}") if kept else ""
    path = write(tmp_path, FLAT.replace(before, after))
    if message is None:
        assert ConfigFile(path).service == "chat"
        return
    with pytest.raises(RefusedError, match=message) as raised:
        ConfigFile(path)
    assert "pulumi config set --secret candidate_route_secret" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_key_without_the_projects_name_is_edited_where_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, FLAT.replace("vllm-blue-green:green_weight: 0", "rollout_serial: 1"))
    ConfigFile(path).edit({"rollout_serial": 4})
    assert ConfigFile(path).read().rollout_serial == 4
    assert "vllm-blue-green:rollout_serial" not in path.read_text()


def test_values_are_taken_as_pulumi_takes_them(tmp_path: Path) -> None:
    text = FLAT.replace("replicas: 2", "replicas: 3.0", 1) + "  vllm-blue-green:endpoint_url:\n"
    settings = ConfigFile(write(tmp_path, text)).read()
    assert (settings.blue.replicas, settings.endpoint_url) == (3, None)


def test_a_time_without_quotes_is_refused_with_what_to_do(tmp_path: Path) -> None:
    text = FLAT + "  vllm-blue-green:keep_until: 2026-11-22T08:00:00Z\n"
    with pytest.raises(RefusedError, match=r"keep_until: must be an RFC 3339 time.*Put it in quotes"):
        ConfigFile(write(tmp_path, text))


def test_what_somebody_else_wrote_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path, FLAT)
    take_back = ConfigFile(path).edit({"rollout_serial": 4})
    theirs = path.read_text() + "# mine\n"
    path.write_text(theirs)
    with pytest.raises(RolloutError, match=r"Pulumi\.prod\.yaml: was changed by somebody else"):
        take_back()
    assert path.read_text() == theirs


def test_an_edit_that_does_not_fit_on_the_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path, FLAT)
    with no_room(), pytest.raises(RolloutError, match=r"Pulumi\.prod\.yaml: cannot be written \(File too large\)"):
        ConfigFile(path).edit({"rollout_serial": 4})
    assert path.read_text() == FLAT
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    path = write(tmp_path, FLAT)
    link = tmp_path / "Pulumi.link.yaml"
    link.symlink_to(path)
    ConfigFile(link).edit({"rollout_serial": 4})
    assert link.is_symlink()
    assert ConfigFile(path).read().rollout_serial == 4


# Characters that YAML folds, breaks lines at, or does not allow, and words that are other values for some readers.
ODD_TEXTS = [
    *("\x85", "a\x85b", "a\x85\x85 b", "\u2028", "a\u2029b", "\ufeff", "\ufeffa", "\r", "a\rb", "a\r\nb\r\n", "\t"),
    *("\ta\tb\t", "", " ", "a ", " a", "a \n b", "a  \n\n\n b\n", " \na", "a\n\n", "\0", "a\0b", "\x07", "\x1b[1m"),
    *("\x7f", "\xa0", "\xad", "\u200b", "\u202e", "\ue000", "\ufffe", "\uffff", "\U0001f600", "\U000e0001"),
    *("\U0010ffff", "é", "漢字", "\\", '"', "'", "\\N", "a" * 5000, "a b " * 2000),
    *("true", "Yes", "off", "y", "null", "~", "1", "1.0", "1e5", "12e4567", ".5", "-.inf", ".NaN", "0x1f", "0o17"),
    *("017", "0b11", "1_000", "1:30", "2026-11-22", "2026-11-22T08:00:00Z", "=", "<<", "-", "- a", "? a", ": a"),
    *("a: b", "a #b", "# a", "*a", "&a", "!a", "!!int 1", "%a", "@a", "`a", "|", ">", "{", "[a]", "{a: b}", ","),
    *("---", "...", "--- a"),
]
# Pulumi writes these as blocks, and reads another text.
LOST_TEXTS = ["\n", "\na", "\n\n a", "\u2028a\n", "\u2029\n", "\ta\nb", "\t\n"]
TEXTS = st.sampled_from(ODD_TEXTS + LOST_TEXTS) | st.text(st.characters(exclude_categories=()), max_size=20)


def with_prompts(prompts: dict[str, str]) -> dict[str, Any]:
    return {**NEW.model_dump(mode="json"), "prompts": prompts}


@pytest.mark.parametrize("text", LOST_TEXTS)
def test_a_text_that_pulumi_would_change_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, FLAT)
    with pytest.raises(
        RefusedError, match=r"green\.release\.prompts\[\"a\.txt\"\]: must not begin.*Begin it with another"
    ):
        ConfigFile(path).edit({"green.release": with_prompts({"a.txt": text})})
    assert path.read_text() == FLAT


def test_every_odd_text_survives_an_edit(tmp_path: Path) -> None:
    prompts = {f"{number}.txt": text for number, text in enumerate(ODD_TEXTS)}
    config = ConfigFile(write(tmp_path, FLAT))
    config.edit({"green.release": with_prompts(prompts)})
    config.edit({"rollout_serial": 4})  # the next edit writes them again
    release = config.read().green.release
    assert release is not None
    assert release.prompts == prompts


@settings(max_examples=60)
@given(st.dictionaries(st.from_regex(r"(?!\.)[A-Za-z0-9._-]{1,9}", fullmatch=True), TEXTS, min_size=1, max_size=4))
@pytest.mark.slow
def test_any_text_is_read_back_as_it_was_written_or_refused(prompts: dict[str, str]) -> None:
    surrogate = any("\ud800" <= one <= "\udfff" for text in prompts.values() for one in text)
    lost = any("\n" in text and text[0] in "\n\t\u2028\u2029" for text in prompts.values())
    with TemporaryDirectory() as folder:
        path = write(Path(folder), FLAT)
        config = ConfigFile(path)
        if surrogate or lost:
            with pytest.raises(RefusedError) as raised:
                config.edit({"green.release": with_prompts(prompts)})
            assert surrogate == ("contains a lone surrogate" in str(raised.value))
            assert lost == ("Pulumi reads another text" in str(raised.value))
            assert path.read_text() == FLAT
            return
        config.edit({"green.release": with_prompts(prompts)})
        release = config.read().green.release
        assert release is not None
        assert release.prompts == prompts


SHARED = FLAT.replace("  vllm-blue-green:blue:\n", "  vllm-blue-green:blue: &both\n").replace(
    "  vllm-blue-green:green:\n    replicas: 2\n", "  vllm-blue-green:green: *both\n"
)


def test_an_edit_that_would_change_something_else_is_not_written(tmp_path: Path) -> None:
    path = write(tmp_path, SHARED)
    with pytest.raises(
        RefusedError, match=r"with the change, blue\.replicas would not read back as meant.*write their values out"
    ):
        ConfigFile(path).edit({"green.replicas": 3})
    assert path.read_text() == SHARED
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_writer_that_loses_something_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, FLAT)
    monkeypatch.setattr("rollout.adapters.config_file.DoubleQuotedScalarString", str)
    with pytest.raises(
        RefusedError, match=r"with the change, green\.release\.prompts\[\"a\.txt\"\] would not read back as meant"
    ):
        ConfigFile(path).edit({"green.release": with_prompts({"a.txt": "a\x85b"})})
    assert path.read_text() == FLAT


@pytest.mark.parametrize(
    ("meant", "found", "path"),
    [
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "x"}]}, None),
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "y"}]}, ("a", 1, "b")),
        ({"a": 1}, {"a": True}, ("a",)),
        ({"a": 1}, {"a": "1"}, ("a",)),
        ({"a": 1}, {}, ("a",)),
        ({}, {"a": None}, ("a",)),
        ({"a": [1]}, {"a": [1, 2]}, ("a",)),
        ({"a": {}}, {"a": []}, ("a",)),
        ({"a": float("nan")}, {"a": float("nan")}, None),
    ],
)
def test_trees_are_compared_value_by_value(meant: Any, found: Any, path: tuple[str | int, ...] | None) -> None:
    assert difference(meant, found) == path


def shared_project(folder: Path, declared: str) -> Path:
    (folder / "Pulumi.yaml").write_text(f"name: vllm-blue-green\nruntime: python\n{declared}")
    return folder


PROJECT_CONFIG = """\
config:
  cluster_name: {description: Existing EKS cluster., default: shared}
  instance_type: g6e.2xlarge
  client_cidrs: ["10.1.0.0/16"]
  green: {default: {replicas: 3}}
  protect: {default: false}
  aws:region: us-west-2
  kubernetes:context: {value: prod}
"""
BARE = "".join(
    line
    for line in FLAT.splitlines(keepends=True)
    if not any(key in line for key in ("cluster_name", "instance_type", "aws:region"))
).replace("  vllm-blue-green:green:\n    replicas: 2\n", "")


def test_what_the_project_gives_to_every_stack_is_read(tmp_path: Path) -> None:
    config = ConfigFile(write(shared_project(tmp_path, PROJECT_CONFIG), BARE))
    read = config.settings()
    assert (read.cluster_name, read.client_cidrs, read.protect) == ("shared", ("10.1.0.0/16",), False)
    assert (config.read().instance_type, config.read().green.replicas) == ("g6e.2xlarge", 3)
    assert (config.raw("aws:region"), config.raw("kubernetes:context")) == ("us-west-2", "prod")


def test_the_stacks_own_value_comes_before_the_projects(tmp_path: Path) -> None:
    config = ConfigFile(write(shared_project(tmp_path, PROJECT_CONFIG), FLAT))
    assert config.settings().cluster_name == "prod"
    assert (config.raw("aws:region"), config.read().green.replicas) == ("eu-central-1", 2)


def test_an_edit_keeps_the_parts_that_the_project_gives(tmp_path: Path) -> None:
    config = ConfigFile(write(shared_project(tmp_path, PROJECT_CONFIG), BARE))
    config.edit({"green_weight": 0, "green.release": NEW.model_dump(mode="json")})
    assert (config.read().green.replicas, config.read().green.release) == (3, NEW)
    assert "cluster_name" not in config.path.read_text()


def test_a_path_in_the_projects_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"Pulumi\.yaml: config key green\.replicas: is a path"):
        ConfigFile(write(shared_project(tmp_path, "config: {green.replicas: 3}\n"), FLAT))


@pytest.mark.parametrize("declared", ["stackConfigDir: stacks\n", "config: ./stacks\n"])
def test_the_folder_of_the_stacks_files_is_the_projects(tmp_path: Path, declared: str) -> None:
    shared_project(tmp_path, declared)
    (tmp_path / "stacks").mkdir()
    write(tmp_path / "stacks", FLAT)
    path = stack_file(tmp_path, "prod")
    assert path.resolve() == tmp_path / "stacks" / "Pulumi.prod.yaml"
    with pytest.raises(RefusedError, match=r"Did you mean prod\?"):
        stack_file(tmp_path, "prd")
    ConfigFile(path, None, tmp_path).edit({"rollout_serial": 4})
    assert ConfigFile(path, None, tmp_path).read().rollout_serial == 4


ESC = f"environment: [prod]\n{FLAT}".replace("  vllm-blue-green:cluster_name: prod\n", "").replace(
    "  vllm-blue-green:candidate_route_secret:\n    secure: v1:abc=\n", ""
)
# Prints what `pulumi config --json --open` prints: each value as text, and whether it is a secret.
# https://github.com/pulumi/pulumi/blob/v3.260.0/pkg/cmd/pulumi/config/config.go (configValueJSON)
FAKE_PULUMI = """\
#!{python}
import json, sys
from ruamel.yaml import YAML
if sys.argv[-1] == "version":
    print("v3.260.0")
    sys.exit()
with open(sys.argv[sys.argv.index("--config-file") + 1]) as file:
    own = YAML(typ="safe").load(file)["config"]
texts = {values!r} | {{key: one if isinstance(one, str) else json.dumps(one) for key, one in own.items()}}
secret = {{"vllm-blue-green:candidate_route_secret": {{"secret": True}}}}
print(json.dumps(secret | {{key: {{"value": text, "secret": False}} for key, text in texts.items()}}))
"""


def pulumi_with(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str, **environment: str) -> Path:
    """Put a ``pulumi`` on PATH that opens an environment with these values, and return the stack's file."""
    values = {f"vllm-blue-green:{key}": value for key, value in environment.items()}
    (folder / "pulumi").write_text(FAKE_PULUMI.format(python=sys.executable, values=values))
    (folder / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return write(shared_project(folder, ""), content)


def test_an_environment_is_opened_by_pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pulumi_with(tmp_path, monkeypatch, ESC, cluster_name="from-esc")
    config = ConfigFile(path)
    assert config.settings().cluster_name == "from-esc"
    config.edit({"rollout_serial": 4})
    assert (config.read().rollout_serial, config.settings().cluster_name) == (4, "from-esc")
    assert "from-esc" not in path.read_text()


@pytest.mark.parametrize(
    ("given", "named"),
    [({"rollout_serial": "3"}, "rollout_serial"), ({"green": '{"parked": true}'}, "green.parked")],
)
def test_a_key_that_a_rollout_writes_must_not_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], named: str
) -> None:
    content = ESC.replace("  vllm-blue-green:green:\n    replicas: 2\n", "")
    path = pulumi_with(tmp_path, monkeypatch, content, cluster_name="from-esc", **given)
    config = ConfigFile(path)
    with pytest.raises(RefusedError, match=rf"{named}: must be in this file.*Copy it into the file"):
        config.edit({"green_weight": 0})
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("echo 'error: the backend has no environments' >&2; exit 255", "the backend has no environments"),
        ("echo '[]'", "Pulumi's answer is not its config"),
        ("echo hello", "Pulumi's answer is not its config"),
    ],
)
def test_an_environment_that_cannot_be_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, message: str
) -> None:
    path = pulumi_with(tmp_path, monkeypatch, ESC)
    version = 'case "$*" in *version*) echo v3.260.0; exit 0;; esac'
    (tmp_path / "pulumi").write_text(f"#!/bin/sh\n{version}\n{says}\n")
    with pytest.raises(RefusedError, match="its environment cannot be opened") as raised:
        ConfigFile(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
