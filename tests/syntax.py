"""The syntax trees of the project's files."""

import ast
from pathlib import Path


def tree_of(path: Path) -> ast.Module:
    """Parse a file.

    CPython before 3.11.8 fails when anything else parses meanwhile: another thread, or a garbage collection that
    reports an exception which nobody has read. https://github.com/python/cpython/issues/106905
    """
    text = path.read_text(encoding="utf-8")
    for _ in range(5):
        try:
            return ast.parse(text)
        except SystemError:
            continue
    return ast.parse(text)
