"""Puts a mutated file into a process that has already loaded it."""

import ast
import functools
import gc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

_Key = tuple[str, int]


def live_functions(folders: Sequence[Path]) -> dict[str, list[FunctionType]]:
    """Return every existing function that was defined in one of the folders, by file."""
    found: dict[str, list[FunctionType]] = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and _lies_in(one.__code__.co_filename, folders):
            found.setdefault(one.__code__.co_filename, []).append(one)
    return found


def live_caches(folders: Sequence[Path]) -> list[Any]:
    """Return the `functools.cache` wrappers of functions in the folders, which remember unmutated results."""
    kind = type(functools.lru_cache(len))
    caches = [one for one in gc.get_objects() if isinstance(one, kind)]
    return [one for one in caches if isinstance(of := one.__wrapped__, FunctionType) and _lies_in(_file(of), folders)]


def swap_functions(tree: ast.Module, file: Path, functions: Sequence[FunctionType]) -> None:
    """Give a file's functions their code from a changed tree. The change applies to all references to them.

    Raises:
        LookupError: a function has no code in the tree.
    """
    codes = dict(_codes(compile(ast.fix_missing_locations(tree), str(file), "exec")))
    for function in functions:
        code = function.__code__
        if code.co_name != "<lambda>" and not code.co_name.startswith("__create_fn__"):
            function.__code__ = codes[code.co_qualname, code.co_firstlineno]


def load_anew(tree: ast.Module, file: Path, root: Path, prefixes: Sequence[str], kept: Collection[str]) -> None:
    """Unload the modules under these prefixes except ``kept``. The file's module is later loaded from the tree."""
    sys.meta_path.insert(0, _Finder(".".join(file.relative_to(root).with_suffix("").parts), tree, file))
    for name in list(sys.modules):
        if name.startswith(tuple(prefixes)) and name not in kept:
            del sys.modules[name]


class _Finder(MetaPathFinder, Loader):
    def __init__(self, module: str, tree: ast.Module, file: Path) -> None:
        self._module = module
        self._tree = tree
        self._file = file

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:  # noqa: ARG002
        if fullname != self._module:
            return None
        return importlib.util.spec_from_file_location(fullname, self._file, loader=self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:  # noqa: ARG002
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(ast.fix_missing_locations(self._tree), str(self._file), "exec"), vars(module))


def _codes(code: CodeType) -> Iterator[tuple[_Key, CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield (constant.co_qualname, constant.co_firstlineno), constant
            yield from _codes(constant)


def _lies_in(filename: str, folders: Sequence[Path]) -> bool:
    return any(filename.startswith(f"{folder}/") for folder in folders)


def _file(function: FunctionType) -> str:
    return function.__code__.co_filename
