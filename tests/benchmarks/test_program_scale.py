"""The benchmark compares the program with as many bare resources, and prints the figures in its last line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.program_scale import SERVICES, BenchmarkError, bare_resources, config, monitor, program_environment, run
from components.config.settings import Settings
from components.domain.naming import COLORS
from tests.components.example import ROOT
from tests.components.registrations import Registrations, register

pytestmark = pytest.mark.slow

LARGEST_VARIABLE_BYTES = 128 * 1024  # Linux's limit; the config is one variable


@pytest.mark.parametrize("services", SERVICES)
def test_its_config_is_valid_for_the_program(services: int) -> None:
    settings = Settings.from_config(config(services))
    assert len(settings.services) == services
    releases = [one.color(color).release for one in settings.services.values() for color in COLORS]
    assert len({release.release_id for release in releases if release}) == 2 * services
    assert len(program_environment(services)["PULUMI_CONFIG"]) < LARGEST_VARIABLE_BYTES


def test_the_bare_resources_are_the_programs_without_components_and_secret_marks() -> None:
    marked = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "secret"}
    bare = bare_resources(
        [
            {"type": "vllm-blue-green:index:VllmStack", "name": "a", "custom": False, "inputs": {}},
            {"type": "aws:iam/role:Role", "name": "b", "custom": True, "inputs": {"assumeRolePolicy": marked}},
            {
                "type": "kubernetes:core/v1:Service",
                "name": "c",
                "custom": True,
                "inputs": {"kind": "Service", "spec": {}},
            },
        ]
    )
    assert [(one["name"], one["inputs"]) for one in bare] == [
        ("b", {"assumeRolePolicy": "secret"}),
        ("c", {"kind": "Service", "spec": {}}),
    ]


def test_a_program_that_fails_fails_the_benchmark(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("raise SystemExit(3)", encoding="utf-8")
    with monitor() as address, pytest.raises(BenchmarkError, match="ended with"):
        run(tmp_path, address, {})


@pytest.mark.long_world
def test_it_times_both_and_ends_with_the_figures() -> None:
    command = [sys.executable, "-m", "benchmarks.program_scale", "--services", "1", "--repetitions", "1"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=280).stdout
    header, row, last = output.splitlines()
    assert header.split()[:3] == ["services", "resources", "components"]
    figures = json.loads(last)
    assert set(figures) == {"bare_seconds", "program_seconds", "ratio_at_1"}
    assert figures["ratio_at_1"] == pytest.approx(
        figures["program_seconds"]["1"] / figures["bare_seconds"]["1"], abs=0.01
    )
    assert [int(number) for number in row.split()[:3]] == [1, *counts(register_one())]


def register_one() -> Registrations:
    import runpy

    return register(
        lambda: runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__"),
        config(1),
        ["vllm-blue-green:candidate_route_secret"],
    )


def counts(declared: Registrations) -> tuple[int, int]:
    """Count custom resources and components."""
    components = sum(one.token.startswith("vllm-blue-green:") for one in declared.resources.values())
    return declared.count - components, components
