"""The TypeScript example compiles against the SDK that Pulumi writes for the package, and a misspelt input does not."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from package.generate import SCHEMA
from package.settings_of import settings_of
from rehearsal.binaries.build import COMPONENTS, cache_folder
from tests.components.example import ROOT, SECRET

EXAMPLE = ROOT / "examples" / "typescript"
GENERATOR = Path(__file__).with_name("typescript") / "nodejs_sdk.go"
CLI = next(component for component in COMPONENTS if component.name == "pulumi")
LOCK = Path(__file__).with_name("typescript") / "package-lock.json"
"""What `npm install --package-lock-only` wrote for the example. To raise it, remove it and write it anew."""


def run(folder: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ | variables)


def made_once(name: str, pinned: list[Path], make: Callable[[Path], None]) -> Path:
    """A folder beside the built binaries, made if no run on this machine has made it from the same pinned files."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in pinned)).hexdigest()[:16]
    folder = cache_folder() / f"{name}-{digest}"
    if not folder.exists():
        cache_folder().mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{name}-", dir=cache_folder()) as unfinished:
            make(Path(unfinished))
            with suppress(OSError):  # Another run has made it meanwhile.
                Path(unfinished).rename(folder)
                Path(unfinished).mkdir()  # The context removes it.
    return folder


def build_generator(folder: Path) -> None:
    """Build Pulumi's own generator of SDKs, in the version of the pinned CLI and from what Go compiled for it."""
    for name in ("go.mod", "go.sum"):
        shutil.copy2(CLI.folder / name, folder)
    shutil.copy2(GENERATOR, folder / "main.go")
    # With other flags than the CLI's, Go would compile all of Pulumi again: minutes.
    flags = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    built = run(folder, "go", "build", *CLI.build_flags, "-o", "generate", ".", **flags)
    if built.returncode:
        pytest.skip(f"Pulumi's generator of SDKs cannot be built here: {built.stderr.strip()[-300:]}")


def install_packages(folder: Path) -> None:
    for path in (EXAMPLE / "package.json", LOCK):
        shutil.copy2(path, folder)
    installed = run(folder, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    if installed.returncode:
        pytest.skip(f"the npm packages cannot be installed here: {installed.stderr.strip()[-300:]}")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the compiler says of the example and of one with a misspelt input, by file. "" is what names no file.

    Both have their packages and the SDK, as after `npm install` and `pulumi package add`.
    """
    if missing := [name for name in ("go", "node", "npm") if shutil.which(name) is None]:
        pytest.skip(f"there is no {', '.join(missing)} on this machine")
    program = tmp_path_factory.mktemp("typescript") / "program"
    shutil.copytree(EXAMPLE, program)
    packages = made_once("typescript-packages", [EXAMPLE / "package.json", LOCK], install_packages)
    (program / "node_modules").symlink_to(packages / "node_modules")
    pinned = [CLI.folder / "go.mod", CLI.folder / "go.sum", GENERATOR]
    generator = made_once("typescript-generator", pinned, build_generator)
    subprocess.run([generator / "generate", SCHEMA, program / "sdks" / "vllm-blue-green"], check=True)
    right = (program / "index.ts").read_text(encoding="utf-8")
    (program / "misspelt.ts").write_text(right.replace("clusterName:", "clusterNam:"), encoding="utf-8")
    options = {
        "noEmit": True,
        "baseUrl": ".",
        "paths": {"@pulumi/vllm-blue-green": ["sdks/vllm-blue-green/index.ts"]},
        "types": ["node"],
    }
    (program / "tsconfig.test.json").write_text(
        json.dumps({"extends": "./tsconfig.json", "compilerOptions": options, "files": ["index.ts", "misspelt.ts"]})
    )
    done = run(program, "node_modules/.bin/tsc", "-p", "tsconfig.test.json", "--pretty", "false")
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        place = re.match(r"(\S+)\(\d+,\d+\): error ", line)
        if place or not line.startswith(" "):  # Lines that go on with an error are indented.
            said.setdefault(place[1] if place else "", []).append(line)
    assert (done.returncode == 0) is (not said), done
    return said


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_example_compiles_against_the_packages_sdk(compiled: dict[str, list[str]]) -> None:
    assert set(compiled) <= {"misspelt.ts"}, compiled


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_misspelt_input_does_not_compile(compiled: dict[str, list[str]]) -> None:
    assert any("clusterNam" in line for line in compiled["misspelt.ts"])


def test_the_locked_packages_are_those_of_the_example() -> None:
    asked = json.loads((EXAMPLE / "package.json").read_text(encoding="utf-8"))
    locked = json.loads(LOCK.read_text(encoding="utf-8"))["packages"][""]
    assert {name: asked[name] for name in ("dependencies", "devDependencies")} == {
        name: locked[name] for name in ("dependencies", "devDependencies")
    }


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
