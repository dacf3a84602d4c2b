"""Finds in the code which functions of components/ the policies use, directly or through others."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.syntax import tree_of

Definition = tuple[str, str]
"""A module and a name in it."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class _Module:
    """A module's definitions, and its names for imported ones."""

    tree: ast.Module
    definitions: dict[str, list[ast.stmt]] = field(default_factory=lambda: defaultdict(list))
    imported: dict[str, Definition] = field(default_factory=dict[str, Definition])

    def __post_init__(self) -> None:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                self.imported.update({one.asname or one.name: (node.module, one.name) for one in node.names})
        for node in self.tree.body:
            for name in _defined(node):
                self.definitions[name].append(node)


class _Reach:
    """Follows names, beginning with the policies, until it finds nothing new."""

    def __init__(self, modules: Mapping[str, _Module]) -> None:
        self._modules = modules
        self._seen: set[tuple[int, bool]] = set()
        self._attributes: set[str] = set()
        self._classes: dict[int, tuple[str, ast.ClassDef]] = {}
        self.functions: set[Definition] = set()

    def follow(self, module: str, node: ast.AST, *, type_only: bool = False) -> None:
        """Follow the names in a piece of code. A class that is only used as a type is not instantiated."""
        if (id(node), type_only) in self._seen:
            return
        self._seen.add((id(node), type_only))
        if isinstance(node, ast.Attribute):
            self._attributes.add(node.attr)
            if isinstance(node.value, ast.Name):
                place, name = self._modules[module].imported.get(node.value.id, ("", ""))
                self._define(f"{place}.{name}", node.attr, type_only=type_only)
        if isinstance(node, ast.Name):
            self._resolve(module, node.id, type_only=type_only)
        for name, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self.follow(module, child, type_only=type_only or name in ("annotation", "returns"))

    def settle(self) -> None:
        """Follow the called methods of the named classes."""
        before = -1
        while before != len(self._seen):
            before = len(self._seen)
            for module, owner in list(self._classes.values()):
                for node in owner.body:
                    if isinstance(node, _FUNCTIONS) and node.name in self._attributes:
                        self._reach(module, f"{owner.name}.{node.name}", node)

    def _resolve(self, module: str, name: str, *, type_only: bool) -> None:
        if name in self._modules[module].definitions:
            self._define(module, name, type_only=type_only)
        elif name in self._modules[module].imported:
            self._define(*self._modules[module].imported[name], type_only=type_only)

    def _define(self, module: str, name: str, *, type_only: bool) -> None:
        if module not in self._modules:
            return
        for node in self._modules[module].definitions.get(name, []):
            if isinstance(node, ast.ClassDef):
                self._name(module, node, type_only=type_only)
            elif isinstance(node, _FUNCTIONS):
                self._reach(module, name, node)
            else:
                self.follow(module, node, type_only=type_only)

    def _name(self, module: str, owner: ast.ClassDef, *, type_only: bool) -> None:
        self._classes[id(owner)] = (module, owner)
        for base in owner.bases:
            self.follow(module, base, type_only=type_only)
        if type_only:
            return
        for node in owner.body:
            if not isinstance(node, _FUNCTIONS):
                self.follow(module, node)
            elif node.name.startswith("__") or any("validator" in ast.unparse(one) for one in node.decorator_list):
                self._reach(module, f"{owner.name}.{node.name}", node)

    def _reach(self, module: str, name: str, node: ast.AST) -> None:
        self.functions.add((module, name))
        self.follow(module, node)


def used_functions(root: Path, users: Iterable[Path], folder: str = "components") -> dict[Path, set[str]]:
    """Return the qualified names of a folder's functions that the users reach, by file."""
    used = {_name(root, file): file for file in sorted((root / folder).rglob("*.py"))}
    using = {_name(root, file): file for file in users}
    modules = {name: _Module(tree_of(file)) for name, file in {**used, **using}.items()}
    reach = _Reach(modules)
    for name in using:
        reach.follow(name, modules[name].tree)
    reach.settle()
    found: defaultdict[Path, set[str]] = defaultdict(set)
    for module, function in reach.functions:
        if module in used:
            found[used[module]].add(function)
    return dict(found)


def _name(root: Path, file: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts)


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))
