"""The real CLI reads a stack's config as our reader does, after every edit."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.config.reading.values import parse
from rollout.adapters.config_file import ConfigFile, stack_file
from rollout.adapters.pulumi.stack import PulumiStack
from rollout.model.errors import RefusedError
from tests.components.example import ROOT, SECRET
from tests.engine.conftest import World
from tests.rollout.adapters.test_config_file import BARE, FLAT, LOST_TEXTS, ODD_TEXTS, PROJECT_CONFIG, with_prompts

pytestmark = [pytest.mark.binaries, pytest.mark.timeout(300)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world with this project's file, and the stack dev."""
    world = World(tmp_path / "world", secrets_provider="passphrase")
    world.environment["PULUMI_STACK"] = "dev"
    (world.project / "Pulumi.yaml").write_bytes((ROOT / "Pulumi.yaml").read_bytes())
    world.open()
    return world


def test_every_odd_text_reaches_pulumi_as_it_was_meant(world: World) -> None:
    path = world.project / "Pulumi.dev.yaml"
    path.write_text(FLAT)
    prompts = {f"{number}.txt": text for number, text in enumerate(ODD_TEXTS)}
    ConfigFile(path).edit({"green.release": with_prompts(prompts)})
    green = json.loads(world.pulumi("config", "get", "green", "--json").stdout)
    assert green["objectValue"]["release"]["prompts"] == prompts
    assert world.pulumi("config", "get", "--path", 'green.release.prompts["1.txt"]').stdout == f"{ODD_TEXTS[1]}\n"


@pytest.mark.parametrize("text", LOST_TEXTS)
def test_pulumi_still_changes_the_texts_that_are_refused(world: World, text: str) -> None:
    (world.project / "Pulumi.dev.yaml").write_text(
        f"config:\n  vllm-blue-green:green: {{text: {json.dumps(text)}}}\n", encoding="utf-8"
    )
    answer = world.pulumi("config", "get", "--path", "green.text", status=None)
    assert answer.returncode or answer.stdout != f"{text}\n"


NUMBERS = """1 1.0 1.5 1e5 12e4567 -1e400 1234567 0123456 0o17 017 08 09.5 0x1f 0b11 1_000 1_0.5 +1 -0 -0.0 .5 5. +.5
1e20 true True yes no on off y null ~ 1:30 1:30:00 2026-11-22 2026-11-22T08:00:00Z = 0x 1e 1.2.3 0.1 inf
9007199254740993"""


def test_numbers_and_words_are_read_as_pulumi_reads_them(world: World) -> None:
    """All of these are the same value, or the same text, for the scripts and for the program."""
    lines = "".join(f"    n{number}: {one}\n" for number, one in enumerate(NUMBERS.split()))
    path = world.project / "Pulumi.dev.yaml"
    path.write_text(f"{FLAT}  other:values:\n{lines}", encoding="utf-8")
    read = json.loads(ConfigFile(path).raw("other:values") or "")
    expected = json.loads(world.pulumi("config", "get", "other:values").stdout)
    assert {key: (type(value), value) for key, value in read.items()} == {
        key: (type(value), value) for key, value in expected.items()
    }


def merged(world: World) -> dict[str, Any]:
    """Return the values as Pulumi merges them, without secrets."""
    answer: dict[str, dict[str, str]] = json.loads(world.pulumi("config", "--json").stdout)
    return {key: parse(one["value"]) for key, one in answer.items() if not one["secret"]}


@pytest.mark.parametrize("folder", ["", "stacks"])
def test_the_projects_config_and_folder_are_read_as_pulumi_reads_them(world: World, folder: str) -> None:
    (world.project / "Pulumi.yaml").write_text(
        f"name: vllm-blue-green\nruntime: python\nstackConfigDir: '{folder}'\n{PROJECT_CONFIG}", encoding="utf-8"
    )
    path = world.project / folder / "Pulumi.dev.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(line for line in BARE.splitlines(keepends=True) if "v1:" not in line), encoding="utf-8")
    world.pulumi("config", "set", "--secret", "candidate_route_secret", SECRET)
    with world.around():
        stack = PulumiStack("dev", world.project, update_timeout_seconds=60, check=lambda: None)
        assert stack.secret("candidate_route_secret") == SECRET
    assert stack_file(world.project, "dev").resolve() == path.resolve()
    config = ConfigFile(path, None, world.project)
    for _ in range(2):
        expected = merged(world)
        assert {key: parse(config.raw(key) or "") for key in expected} == expected
        config.edit({"rollout_serial": 4, "green.parked": True})
    assert world.pulumi("config", "get", "--path", "green.replicas").stdout == "3\n"


def test_an_environment_without_pulumi_cloud_is_refused_with_pulumis_words(world: World) -> None:
    path = world.project / "Pulumi.dev.yaml"
    path.write_text(f"environment: [prod]\n{FLAT}", encoding="utf-8")
    with world.around(), pytest.raises(RefusedError, match=r"its environment cannot be opened: .*environments"):
        ConfigFile(path)
