"""The releases and config of a person are read, checked, and refused with the reason."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config.release.release import Release
from rehearsal.aws.seed import SeededAccount
from rehearsal.vllm.hub import DEFAULT_HUB, find_behavior, load_hub
from rehearsal.world.checkout import STACK, copy_product, release_file, write_stack
from rehearsal.world.releases import own_releases, read_releases
from rehearsal.world.settings import RehearsalSettings, RehearsalSettingsError

GOOD: dict[str, Any] = {
    "model": "acme/small",
    "model_revision": "0123abc",
    "image": "vllm/vllm-openai@sha256:" + "0" * 64,
    "engine_args": ["--max-num-seqs=64"],
}


def write(folder: Path, **releases: Mapping[str, Any] | str) -> Path:
    for letter, content in releases.items():
        text = content if isinstance(content, str) else yaml.safe_dump(dict(content))
        (folder / f"{letter}.yaml").write_text(text)
    return folder


def test_the_rehearsals_own_releases_are_valid_and_exist_on_the_hub() -> None:
    for release in own_releases().values():
        Release.model_validate(release)
        find_behavior(load_hub(DEFAULT_HUB), release["model"], release["model_revision"])


def test_without_a_bad_release_the_good_one_is_starved(tmp_path: Path) -> None:
    folder = write(tmp_path, a={**GOOD, "model_revision": "4567def"}, b=GOOD)
    releases = read_releases(folder)
    assert releases["b"] == GOOD
    assert releases["c"] == {**GOOD, "engine_args": ["--max-num-seqs=64", "--max-num-seqs=1"]}


def test_a_persons_bad_release_is_used_unchanged(tmp_path: Path) -> None:
    bad = {**GOOD, "engine_args": ["--max-num-seqs=2"]}
    folder = write(tmp_path, a={**GOOD, "model_revision": "4567def"}, b=GOOD, c=bad)
    assert read_releases(folder)["c"] == bad


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "a.yaml: No such file or directory; the folder needs a.yaml and b.yaml"),
        ({"a": GOOD, "b": "model: ["}, "b.yaml is not YAML"),
        ({"a": GOOD, "b": "- model"}, "b.yaml is not a release"),
        ({"a": GOOD, "b": {**GOOD, "image": "vllm:latest"}}, "b.yaml is not a release: image"),
        ({"a": {**GOOD, "engine_args": ["--port=1"]}}, "--port is derived by the program"),
        ({"a": GOOD, "b": GOOD}, "a.yaml and b.yaml are the same release"),
    ],
)
def test_invalid_releases_are_refused(tmp_path: Path, files: dict[str, Any], problem: str) -> None:
    folder = write(tmp_path, **files)
    with pytest.raises(RehearsalSettingsError) as error:
        RehearsalSettings.from_environment({"REHEARSAL_RELEASES": str(folder)})
    assert str(error.value).startswith(f"REHEARSAL_RELEASES={folder}: ")
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "No such file or directory"),
        ("a: [", "is not YAML"),
        ("- a", "must contain keys of the stack's config"),
        ("cluster_name: mine", "cluster_name is set by the rehearsal; remove it"),
        ("blue: {release: {}}", "blue.release is set by the rehearsal; remove it"),
        ("cold_start_second: 3", "cold_start_seconds?"),
        ("rollout: {gates: {minimum_requests: many}}", "rollout.gates.minimum_requests"),
    ],
)
def test_invalid_config_is_refused(tmp_path: Path, text: str | None, problem: str) -> None:
    file = tmp_path / "config.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(RehearsalSettingsError) as error:
        RehearsalSettings.from_environment({"REHEARSAL_CONFIG": str(file)})
    assert str(error.value).startswith(f"REHEARSAL_CONFIG={file}: ")
    assert problem in str(error.value)


def test_chosen_keys_are_in_the_checkout_and_all_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("cold_start_seconds: 300\nblue: {replicas: 1}\nrollout: {gates: {minimum_requests: 9}}\n")
    folder = write(tmp_path, a={**GOOD, "model_revision": "4567def"}, b=GOOD)
    variables = {"REHEARSAL_CONFIG": str(file), "REHEARSAL_RELEASES": str(folder)}
    account = SeededAccount("vpc-1", ["subnet-1"], ["subnet-2", "subnet-3"], "rehearsal", "sg-1")
    settings = RehearsalSettings.from_environment(variables)
    copy_product(tmp_path / "checkout")
    write_stack(tmp_path / "checkout", account, "us-east-1", "http://127.0.0.1:1", settings, prometheus_url="")
    config = yaml.safe_load((tmp_path / "checkout" / f"Pulumi.{STACK}.yaml").read_text())["config"]
    assert config["vllm-blue-green:cold_start_seconds"] == 300
    assert config["vllm-blue-green:blue"] == {"release": {**GOOD, "model_revision": "4567def"}, "replicas": 1}
    assert config["vllm-blue-green:rollout"]["gates"]["minimum_requests"] == 9
    assert config["vllm-blue-green:rollout"]["gates"]["ttft_p95"]["ratio_limit"] == 2.5
    assert yaml.safe_load(release_file(tmp_path / "checkout", "b").read_text()) == GOOD
