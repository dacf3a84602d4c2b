"""The documents hang together: links lead somewhere, the index has every page, named files and targets exist."""

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest
import typer
from typer.main import get_command

from rollout.model.records import Kind

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
PAGES: Final = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("examples/*/*.md"))]
_FENCE: Final = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_FILE: Final = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|md|yaml|yml|sh|json|jsonl))`")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=_name)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "decisions"], ids=_name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    for name in _FILE.findall(page.read_text(encoding="utf-8")):
        if (ROOT / name.split("/")[0]).is_dir() and not name.startswith("rehearsal/out/"):
            assert (ROOT / name).exists(), name


@each_page
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^|`|\$ )make ([a-z-]+)", text, re.MULTILINE)) <= targets


@each_page
def test_every_script_that_is_named_exists(page: Path) -> None:
    for name in re.findall(r"\bscripts\.(\w+)", page.read_text(encoding="utf-8")):
        assert (ROOT / "scripts" / f"{name}.py").exists(), name


@cache
def options_of(script: str) -> set[str]:
    """The options that a script takes."""
    app = typer.Typer(add_completion=False)
    app.command()(import_module(f"scripts.{script}").main)
    return {"--help", *(option for one in get_command(app).params for option in one.opts)}


@each_page
def test_every_option_of_a_script_exists(page: Path) -> None:
    for script, words in re.findall(r"\bscripts\.(\w+)([^`#|\n]*)", page.read_text(encoding="utf-8")):
        assert set(re.findall(r"(?<!\S)--[a-z-]+", words)) <= options_of(script), (script, words)


def test_the_index_lists_every_page_once() -> None:
    listed = re.findall(r"\| \[([\w-]+\.md)\]", (DOCS / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md") if page.name != "README.md")


def test_the_journal_page_explains_every_kind_of_record_once() -> None:
    table = (DOCS / "journal.md").read_text(encoding="utf-8").partition("| kind | what it records |")[2]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    kinds = [kind for cell in cells for kind in re.findall(r"`(\w+)`", cell)]
    assert sorted(kinds) == sorted(Kind)


def test_the_architecture_lists_every_decision_that_stands() -> None:
    listed = set(re.findall(r"decisions/([\w-]+\.md)", (DOCS / "architecture.md").read_text(encoding="utf-8")))
    standing = {page.name for page in (DOCS / "decisions").glob("*.md") if "**Superseded**" not in page.read_text()}
    assert listed == standing
