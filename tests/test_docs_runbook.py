"""The runbook knows every exit code and every class of error, and quotes messages as the code has them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from rollout.model import errors
from scripts import console
from tests.syntax import tree_of

ROOT: Final = Path(__file__).parent.parent
TEXT: Final = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
SOURCES: Final = ("components", "rollout", "scripts")
PULUMIS_OWN: Final = "the stack is currently locked by … lock(s)"


def quoted() -> Iterator[str]:
    """Every message in the first column of a table: what is in backticks and has more than one word."""
    for row in re.findall(r"^\| (.*?) \|", TEXT, re.MULTILINE):
        for _, message in re.findall(r"(`+)(.+?)\1", row):
            if " " in message and message != PULUMIS_OWN:
                yield message


@cache
def messages_of_the_code() -> str:
    """Every text in the code, one a line; … stands for what is filled in."""
    found: list[str] = []
    for place in SOURCES:
        for path in (ROOT / place).rglob("*.py"):
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.JoinedStr):
                    parts = [str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values]
                    found.append("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(" ".join(text.split()) for text in found)


def test_every_exit_code_is_in_the_table() -> None:
    codes = {value for name, value in vars(console).items() if name.startswith("EXIT_") and isinstance(value, int)}
    table = TEXT.partition("## Exit codes")[2].partition("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d) \|", table, re.MULTILINE)} == codes


def test_every_class_of_error_is_in_the_table() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    table = TEXT.partition("## Error classes")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == classes


@pytest.mark.parametrize("message", sorted(set(quoted())))
def test_a_message_is_as_the_code_has_it(message: str) -> None:
    # Without the empty parts: a pattern that begins with .* is tried at every character of every line.
    parts = [re.escape(text) for part in message.split("…") if (text := part.strip())]
    if re.search(".*".join(parts), messages_of_the_code()) is None:
        pytest.fail(f"no text of the code is like {message!r}")
