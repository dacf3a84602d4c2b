"""The folders keep to their roles: who may import what, and that the product knows nothing of the rehearsal."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.syntax import tree_of

ROOT = Path(__file__).parent.parent

PRODUCT = ("__main__.py", "components", "package", "policies", "rollout", "scripts")

LAYERS = {
    "components": ("domain", "config", "resources"),
    "components/config": (
        "reading",
        "release",
        "sections",
        "service_settings",
        "settings|release_warnings",
        "headroom|reference",
    ),
    "components/domain": ("moments|naming", "vllm|pods", "nodes", "capacity", "balancer", "evidence|guards"),
    "rollout": (
        "model",
        "statistics",
        "system",
        "ports",
        "gates|checks|journal|adapters|monitoring",
        "steps|report",
        "controller|direct_update",
        "session",
        "commands|status|doctor|watch",
    ),
    "rehearsal": (
        "system",
        "kube|vllm|evals|warm",
        "binder|keda|providers|adapter|load",
        "kubelet|aws|controlplane",
        "language_host|world",
        "binaries|report",
        "live",
        "scenarios",
        "standing",
        "commands",
        "__main__",
    ),
    "rehearsal/aws": (
        "api|events|faults|settings|topology",
        "moto",
        "balancer",
        "admin|client|launches|node_groups|seed",
        "server",
        "__main__",
    ),
}
"""The rooms of each folder, from the ground up: a room imports from those below it, and never from beside or above."""

PURE = (
    "components/config",
    "components/domain",
    "rollout/model",
    "rollout/monitoring",
    "rollout/statistics",
    "rollout/checks/evals/judgement.py",
    "rollout/checks/evals/questions.py",
    "rollout/checks/evals/score.py",
    "rollout/checks/load/judgement.py",
    "rollout/checks/load/prompts.py",
    "rollout/checks/load/search.py",
    "rollout/checks/prompt_presence.py",
    "rollout/gates/comparisons.py",
    "rollout/gates/verdicts.py",
    "rollout/report/charts.py",
    "rollout/report/explanation.py",
    "rollout/report/facts.py",
    "rollout/report/lines.py",
    "rollout/report/notifications.py",
    "rollout/report/read.py",
    "rollout/steps/account.py",
    "rollout/steps/conditions.py",
    "rollout/steps/keep_warm.py",
    "rollout/steps/passed.py",
    "rollout/steps/scheduling.py",
)
IMPURE_PACKAGES = {
    "pulumi",
    "pulumi_aws",
    "pulumi_kubernetes",
    "boto3",
    "botocore",
    "httpx",
    "kubernetes",
    "time",
    "os",
}

FORBIDDEN = {
    "components": {"rollout", "scripts", "policies", "rehearsal", "boto3", "httpx", "kubernetes", "typer", "rich"},
    "policies": {
        *("rollout", "scripts", "rehearsal", "package", "pulumi_aws", "pulumi_kubernetes"),
        *("boto3", "httpx", "kubernetes", "typer", "rich"),
    },
    "rollout": {"scripts", "policies", "rehearsal", "typer", "rich"},
    "package": {"rollout", "scripts", "policies", "rehearsal", "boto3", "httpx", "kubernetes", "typer", "rich"},
    "scripts": {"policies", "rehearsal", "boto3", "httpx", "kubernetes", "pulumi"},
}


def statements(path: Path) -> Iterator[ast.AST]:
    """A file's statements, at any depth. `ast.walk` would visit all expressions too: five times as many nodes."""
    waiting: list[ast.AST] = [tree_of(path)]
    while waiting:
        node = waiting.pop()
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, part, ())


def imports(path: Path) -> Iterator[str]:
    """The top-level packages that a file imports, at any depth of its code."""
    for node in statements(path):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def files(*places: str) -> list[Path]:
    found = [path for place in places for path in [ROOT / place, *(ROOT / place).rglob("*.py")] if path.suffix == ".py"]
    assert found, f"no Python files in {places}"
    return [path for path in found if "out" not in path.relative_to(ROOT).parts]  # where worlds stand


def room_of(path: Path, folder: str) -> str:
    """The folder's subfolder or module that a file belongs to."""
    return path.relative_to(ROOT / folder).parts[0].removesuffix(".py")


def rooms_imported(path: Path, folder: str) -> set[str]:
    """The rooms of a folder that a file imports from, at any depth of its code."""
    package = tuple(folder.split("/"))
    found: set[str] = set()
    for node in statements(path):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        words = (tuple(name.split(".")) for name in names)
        found |= {one[len(package)] for one in words if one[: len(package)] == package and len(one) > len(package)}
    return found


@cache
def imported(path: Path) -> frozenset[str]:
    return frozenset(imports(path))


@pytest.mark.parametrize("path", files(*PRODUCT), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_product_never_mentions_the_rehearsal(path: Path) -> None:
    assert "rehears" not in path.read_text().lower()


@pytest.mark.parametrize("place", PURE)
def test_pure_modules_do_no_io(place: str) -> None:
    for path in files(place):
        assert not IMPURE_PACKAGES & imported(path), path


@pytest.mark.parametrize("folder", LAYERS)
def test_rooms_import_only_from_below(folder: str) -> None:
    level_of = {room: level for level, rooms in enumerate(LAYERS[folder]) for room in rooms.split("|")}
    wrong = [
        f"{path.relative_to(ROOT)} imports {folder}/{imported}"
        for path in files(folder)
        if (own := room_of(path, folder)) != "__init__"
        for imported in rooms_imported(path, folder)
        if imported != own and level_of[imported] >= level_of[own]
    ]
    assert not wrong, "\n".join(wrong)


EVERYWHERE = """
import a
class C:
    def f(self):
        if 1:
            import b
        else:
            import c
        for _ in ():
            import d
        else:
            import e
        while 0:
            import f
        async def f():
            async with f: import g
            async for _ in f: import h
        try:
            import i
        except* E:
            import j
        else:
            import k
        finally:
            import l
match 1:
    case 1:
        with x:
            import m
"""


def test_an_import_is_seen_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(EVERYWHERE)
    assert set(imports(path)) == set("abcdefghijklm")


def test_every_way_to_import_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(
        "import rollout.commands\nfrom rollout import status\ndef f():\n    from rollout.steps.drift import found\n"
    )
    assert rooms_imported(path, "rollout") == {"commands", "status", "steps"}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_folders_import_only_what_their_role_allows(folder: str) -> None:
    for path in files(folder):
        assert not FORBIDDEN[folder] & imported(path), path
