"""The TypeScript example compiles against the SDK that Pulumi writes for the package, and a misspelt input does not."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from package.generate import SCHEMA
from package.settings_of import settings_of
from tests.components.example import ROOT, SECRET

EXAMPLE = ROOT / "examples" / "typescript"
GENERATOR = Path(__file__).with_name("nodejs_sdk.go")
CLI_MODULE = ROOT / "rehearsal" / "binaries" / "pulumi"


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def build_generator(folder: Path) -> Path:
    """Build Pulumi's own generator of SDKs, in the version of the pinned CLI."""
    folder.mkdir()
    for name in ("go.mod", "go.sum"):
        shutil.copy2(CLI_MODULE / name, folder)
    shutil.copy2(GENERATOR, folder / "main.go")
    built = run(folder, "go", "build", "-o", "generate", ".")
    if built.returncode:
        pytest.skip(f"Pulumi's generator of SDKs cannot be built here: {built.stderr.strip()[-300:]}")
    return folder / "generate"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages and the SDK, as after `npm install` and `pulumi package add`."""
    if missing := [name for name in ("go", "node", "npm") if shutil.which(name) is None]:
        pytest.skip(f"there is no {', '.join(missing)} on this machine")
    folder = tmp_path_factory.mktemp("typescript")
    program = folder / "program"
    shutil.copytree(EXAMPLE, program)
    installed = run(program, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
    if installed.returncode:
        pytest.skip(f"the npm packages cannot be installed here: {installed.stderr.strip()[-300:]}")
    generate = build_generator(folder / "generator")
    subprocess.run([generate, SCHEMA, program / "sdks" / "vllm-blue-green"], check=True)
    options = {
        "noEmit": True,
        "baseUrl": ".",
        "paths": {"@pulumi/vllm-blue-green": ["sdks/vllm-blue-green/index.ts"]},
        "types": ["node"],
    }
    (program / "tsconfig.test.json").write_text(json.dumps({"extends": "./tsconfig.json", "compilerOptions": options}))
    return program


def compiled(program: Path) -> "subprocess.CompletedProcess[str]":
    return run(program, "node_modules/.bin/tsc", "-p", "tsconfig.test.json")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_example_compiles_against_the_packages_sdk(program: Path) -> None:
    done = compiled(program)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_misspelt_input_does_not_compile(program: Path) -> None:
    source = program / "index.ts"
    right = source.read_text(encoding="utf-8")
    source.write_text(right.replace("clusterName:", "clusterNam:"), encoding="utf-8")
    try:
        done = compiled(program)
    finally:
        source.write_text(right, encoding="utf-8")
    assert done.returncode != 0
    assert "clusterNam" in done.stdout


def test_the_component_takes_the_objects_settings() -> None:
    values: dict[str, Any] = yaml.safe_load((EXAMPLE / "Pulumi.dev.yaml").read_text(encoding="utf-8"))["config"]
    project = yaml.safe_load((EXAMPLE / "Pulumi.yaml").read_text(encoding="utf-8"))["name"]
    inputs = {
        "cluster_name": "dev",
        "cluster_security_group_id": "sg-0c",
        "vpc_id": "vpc-0a",
        "node_subnet_ids": ["subnet-1"],
        "load_balancer_subnet_ids": ["subnet-1", "subnet-2"],
        "candidate_route_secret": SECRET,
    }
    settings = settings_of("chat", {**inputs, "settings": values[f"{project}:chat"]})
    assert settings.services["chat"].blue.serves
