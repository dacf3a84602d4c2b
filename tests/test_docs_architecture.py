"""The picture in docs/architecture.md is drawn from the code's own folders and imports.

``python -m tests.test_docs_architecture`` writes it anew.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from rollout.model.machine import Phase
from tests.syntax import tree_of
from tests.test_boundaries import LAYERS, files, room_of, rooms_imported

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- picture: python -m tests.test_docs_architecture -->\n", "<!-- end of picture -->\n"

FOLDERS: Final = ("__main__.py", "scripts", "rollout", "components", "policies", "package", "rehearsal")
DRAWN: Final = ("rollout", "components")
"""The folders whose rooms are drawn; of the others the picture shows the folder alone."""

Arrows = Mapping[str, set[str]]


def arrows_between_folders() -> dict[str, set[str]]:
    """Which folder imports from which."""
    names = {folder.removesuffix(".py"): folder for folder in FOLDERS}
    found: dict[str, set[str]] = {}
    for folder in FOLDERS:
        own = found.setdefault(folder, set())
        for path in files(folder):
            for node in ast.walk(tree_of(path)):
                words = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                words += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                own |= {names[word.split(".")[0]] for word in words if word.split(".")[0] in names}
        own.discard(folder)
    return found


def arrows_between_rooms(folder: str) -> dict[str, set[str]]:
    """Which room of a folder imports from which."""
    rooms = [room for level in LAYERS[folder] for room in level.split("|")]
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for path in files(folder):
        if (own := room_of(path, folder)) in found:
            found[own] |= rooms_imported(path, folder) - {own}
    return found


def without_detours(arrows: Arrows) -> dict[str, set[str]]:
    """Leave out an arrow where a longer way says the same. There is no circle: test_boundaries.py forbids it."""

    def reached(start: str) -> Iterator[str]:
        for one in arrows[start]:
            yield one
            yield from reached(one)

    return {
        start: {end for end in ends if not any(end in set(reached(other)) for other in ends - {end})}
        for start, ends in arrows.items()
    }


def picture() -> str:
    """Return the picture as a Mermaid block."""
    return "\n".join(("```mermaid", "flowchart TD", *_lines(), "```", ""))


def _lines() -> Iterator[str]:
    for folder in FOLDERS:
        name = folder.removesuffix(".py").strip("_")
        if folder not in DRAWN:
            yield f'  {name}["{folder}{"" if folder.endswith(".py") else "/"}"]'
            continue
        yield f'  subgraph {name}["{folder}/"]'
        arrows = without_detours(arrows_between_rooms(folder))
        for room in arrows:
            suffix = "/" if (ROOT / folder / room).is_dir() else ".py"
            yield f'    {name}_{room}["{room}{suffix}"]'
        for start, ends in arrows.items():
            yield from (f"    {name}_{start} --> {name}_{end}" for end in sorted(ends))
        yield "  end"
    for start, ends in without_detours(arrows_between_folders()).items():
        begin = start.removesuffix(".py").strip("_")
        yield from (f"  {begin} --> {end}" for end in sorted(ends))


def test_the_picture_is_as_the_folders_are() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert BEGIN + picture() + END in text, "run `python -m tests.test_docs_architecture`"


def test_the_page_names_every_folder_room_and_phase() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rooms = [room for layers in LAYERS.values() for level in layers for room in level.split("|")]
    for name in (*(folder.removesuffix(".py") for folder in FOLDERS), *rooms):
        assert re.search(rf"`{name}(/|\.py)?`", text), name
    table = text.partition("## The life of a release")[2]
    missing = [phase for phase in Phase if f"| `{phase}` |" not in table]
    assert not missing, f"the life of a release says nothing of {missing}"


def _write() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    assert rest, f"{PAGE} has no line {BEGIN!r}"
    PAGE.write_text(before + BEGIN + picture() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    _write()
