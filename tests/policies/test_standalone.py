"""The pack as a folder that stands alone: it has all that it imports, and nothing of the rest."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from components.domain.naming import PROJECT
from package.version import VERSION
from policies.standalone import ROOT, modules_of, write

pytestmark = pytest.mark.slow

_LOAD = """
import sys
sys.path.insert(0, sys.argv[1])
import policies.catalogue
for name, module in sys.modules.items():
    if getattr(module, "__file__", None):
        print(name.partition(".")[0], module.__file__)
"""


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack") / "dist" / "policy-pack"
    write(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The top-level name and the file of each module that the pack loads, in a process that knows only the folder."""
    command = [sys.executable, "-I", "-c", _LOAD, str(pack)]
    output = subprocess.run(command, cwd=tmp_path_factory.mktemp("empty"), capture_output=True, text=True, check=True)
    return [line.split(maxsplit=1) for line in output.stdout.splitlines()]


def test_the_pack_loads_from_its_own_folder_alone(pack: Path, loaded: list[list[str]]) -> None:
    own = {Path(file) for name, file in loaded if name in ("policies", "components")}
    written = set(pack.rglob("*.py")) - {pack / "__main__.py", pack / "policies" / "__main__.py"}
    assert own == written
    assert not any(file.startswith(str(ROOT / folder)) for _, file in loaded for folder in ("policies", "components"))


def test_only_what_the_policies_import_is_in_it(pack: Path) -> None:
    imported = {path.relative_to(ROOT) for path in modules_of(ROOT / "policies" / "__main__.py")}
    written = {path.relative_to(pack) for path in pack.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    others = {"PulumiPolicy.yaml", "README.md", "__main__.py", "docs/policies.md", "requirements.txt"}
    assert written == imported | {Path(name) for name in others}
    assert Path("components/domain/naming.py") in imported
    # These declare resources, and need the providers' SDKs.
    assert Path("components/resources/blue_green_service.py") not in imported


def test_its_requirements_are_pinned_as_ours_and_bring_all_that_it_imports(pack: Path, loaded: list[list[str]]) -> None:
    text = (pack / "requirements.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==([^ ;]+)", text, re.MULTILINE))
    ours = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert all(f"\n{name}=={version} " in ours for name, version in pins.items())
    assert text.count("--hash=sha256:") >= len(pins)
    assert {"pulumi", "pulumi-policy", "pydantic", "grpcio", "protobuf"} <= pins.keys()
    assert not {"pulumi-aws", "pulumi-kubernetes", "boto3", "pytest"} & pins.keys()
    distributions = metadata.packages_distributions()
    imported = {re.sub(r"[-_.]+", "-", one).lower() for name, _ in loaded for one in distributions.get(name, ())}
    assert imported <= pins.keys() | {"pip"}


def test_its_description_has_the_release_and_the_readme_names_both(pack: Path) -> None:
    description = yaml.safe_load((pack / "PulumiPolicy.yaml").read_text(encoding="utf-8"))
    assert description["version"] == VERSION
    # A pack from a folder of its own has no `main`: Pulumi would publish that folder alone.
    assert set(description) == {"description", "version", "runtime"}
    readme = (pack / "README.md").read_text(encoding="utf-8")
    assert f"policy enable <org>/{PROJECT} {VERSION} " in readme
    assert len(readme.splitlines()) <= 12


def test_an_older_pack_is_replaced_and_other_files_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "pack")
    (tmp_path / "pack" / "old.py").touch()
    write(tmp_path / "pack")
    assert not (tmp_path / "pack" / "old.py").exists()
    for name in ("notes.txt", "PulumiPolicy.yaml"):
        other = tmp_path / name.partition(".")[0]
        other.mkdir()
        (other / name).touch()
        with pytest.raises(FileExistsError, match=f"{other} has other files than a written pack: name another folder"):
            write(other)
        assert [path.name for path in other.iterdir()] == [name]


def test_a_place_that_cannot_be_a_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "policies.standalone", str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("cannot be written (Not a directory): name another folder\n")
    assert "Traceback" not in done.stderr
