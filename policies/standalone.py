"""Write the pack as a folder that stands alone: ``python -m policies.standalone dist/policy-pack``.

`pulumi policy publish` uploads the pack's folder alone, but the pack imports from ``components``. So the folder gets
the modules that the pack imports, directly or through others, and the pinned packages that they need.
"""

import argparse
import ast
import re
import shutil
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from components.domain.naming import PROJECT
from policies import guide

ROOT: Final = Path(__file__).resolve().parent.parent

_START: Final = '''"""The policy pack's entry point for Pulumi, which runs this folder as a program."""

import policies.__main__  # noqa: F401 - importing it serves the pack
'''
_TITLE: Final = f"# Policy pack {PROJECT} "
_README: Final = """{version}

Needs Python 3.11 or newer and Pulumi Cloud. The policies and their options: [{guide}]({guide}).

1. `python -m venv venv && . venv/bin/activate && pip install -r requirements.txt`: the CLI starts the pack to read it.
2. `pulumi login`, as a member who may publish policy packs, then `pulumi policy publish <org>` in this folder. Each
   version can be published once.
3. `pulumi policy enable <org>/{pack} {version} --policy-group <group> --config policies.json` for the group's stacks.
   Enabling replaces the group's config of the pack. `pulumi up` then downloads the pack and installs its packages.
4. `policies.json`: `{{"<policy>": {{"enforcementLevel": "advisory", "<option>": <value>}}}}`, with one entry a policy.
   `pulumi preview --policy-pack <this folder> --policy-pack-config policies.json` tries both without publishing.
"""


def write(folder: Path) -> None:
    """Write the pack into a folder; a pack that this function has written there is replaced.

    Raises:
        FileExistsError: the folder has other content.
    """
    readme = folder / "README.md"
    if folder.is_dir() and any(folder.iterdir()):
        if not (readme.exists() and readme.read_text(encoding="utf-8").startswith(_TITLE)):
            raise FileExistsError(f"{folder} has other files than a written pack: name another folder, or empty it")
        shutil.rmtree(folder)
    modules = modules_of(ROOT / "policies" / "__main__.py")
    description = ROOT / "policies" / "PulumiPolicy.yaml"
    for path in (*modules, ROOT / guide.PLACE):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    shutil.copyfile(description, folder / description.name)
    (folder / "__main__.py").write_text(_START, encoding="utf-8")
    (folder / "requirements.txt").write_text("".join(requirements(modules)), encoding="utf-8")
    version = re.findall(r"^version: (.+)$", description.read_text(encoding="utf-8"), re.MULTILINE)[0]
    text = _TITLE + _README.format(pack=PROJECT, version=version, guide=guide.PLACE)
    readme.write_text(text, encoding="utf-8")


def modules_of(start: Path) -> set[Path]:
    """Return a module and the repository's modules that it imports, directly or through others."""
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += (file for name in _imports(path) for file in _files(name))
    return found


def requirements(modules: Iterable[Path]) -> list[str]:
    """Return the entries of requirements.txt for the packages that modules import, and for what those need."""
    distributions = metadata.packages_distributions()
    imported = {name.partition(".")[0] for path in modules for name in _imports(path)}
    needed = with_dependencies({one for name in imported for one in distributions.get(name, ())})
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^([\w.-]+)(==.*(?:\n[ \t]+.*)*\n)", pinned, re.MULTILINE)
    return [name + rest for name, rest in entries if normalized(name) in needed]


def with_dependencies(names: Iterable[str]) -> set[str]:
    """Return the normalised names of distributions and of everything that they install."""
    found: set[str] = set()
    waiting = {normalized(name) for name in names}
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            wanted = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # It is for another system or Python.
        waiting |= {normalized(re.split(r"[^\w.-]", one)[0]) for one in wanted if "extra ==" not in one} - found
    return found


def normalized(name: str) -> str:
    """Return the one spelling of a distribution's name. https://peps.python.org/pep-0503/#normalized-names"""
    return re.sub(r"[-_.]+", "-", name).lower()


def _imports(path: Path) -> list[str]:
    """Return the names that a file imports at run time; a name in a module may be a module too."""
    return list(_imported(ast.parse(path.read_text(encoding="utf-8"))))


def _imported(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _imported(child)


def _files(name: str) -> Iterator[Path]:
    """Yield the repository's files behind a dotted name, with the packages that contain it."""
    words = name.split(".")
    for count in range(1, len(words) + 1):
        place = ROOT.joinpath(*words[:count])
        yield from (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.exists())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m policies.standalone", description="Write the policy pack.")
    parser.add_argument("folder", type=Path, help="where to write it")
    named: Path = parser.parse_args().folder
    try:
        write(named)
    except FileExistsError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{named} cannot be written ({error.strerror}): name another folder")
    print(f"The policy pack is in {named}; its README.md has the next steps")
