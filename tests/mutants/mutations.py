"""Mutations: changes of one condition each, which a test must notice.

They change comparisons (also their limits), boolean operators and their operands, `not`, the tests of `if`, `while` and
conditional expressions, comprehension filters, the results of functions that return a bool, `any` and `all`, and the
parts of limits: arithmetic, rounding, `min` and `max`, bounds of options.
"""

import ast
import copy
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.syntax import tree_of

MODULE: Final = "<module>"
"""Stands for code outside functions: class bodies, decorators, constants."""

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    # The last one is the opposite.
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_FUNCTIONS: Final = {"any": "all", "all": "any", "min": "max", "max": "min", "ceil": "floor", "floor": "ceil"}
_BOUNDS: Final = {"ge": "gt", "gt": "ge", "le": "lt", "lt": "le"}
_NO_NUMBERS = (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp, ast.Dict, ast.DictComp)
_ANNOTATIONS: Final = {"annotation", "returns"}
_TESTS: Final = {"test", "ifs", "guard"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One change of one condition."""

    file: Path
    line: int
    function: str
    """The function's qualified name, as in code objects."""
    old: str
    new: str
    lines: range
    """The lines of the statement. A test that runs none of them cannot notice the mutation."""
    span: range
    """The function."""
    place: Callable[[], None] = field(repr=False, compare=False)
    """Puts the change into ``tree`` permanently."""
    tree: ast.Module = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.function}: `{self.old}` → `{self.new}`"


def mutations_of(file: Path, functions: Set[str] | None = None) -> list[Mutation]:
    """Return every mutation of a file, or only of ``functions`` and the code inside them."""
    tree = tree_of(file)
    found = list(_Finder(file, tree).find())
    if functions is None:
        return found
    return [one for one in found if one.function.partition(".<locals>")[0] in functions]


@dataclass(frozen=True)
class _Scope:
    """The finder's position."""

    function: str = MODULE
    prefix: str = ""
    node: ast.AST | None = None
    statement: range = range(0)

    @property
    def returns_bool(self) -> bool:
        returns = self.node.returns if isinstance(self.node, _Function) else None
        return isinstance(returns, ast.Name) and returns.id == "bool"


class _Finder:
    def __init__(self, file: Path, tree: ast.Module) -> None:
        self._file = file
        self._tree = tree

    def find(self) -> Iterator[Mutation]:
        yield from self._inside(self._tree, _Scope(node=self._tree))

    def _inside(self, node: ast.AST, scope: _Scope) -> Iterator[Mutation]:
        for name, value in ast.iter_fields(node):
            if name in _ANNOTATIONS:
                continue
            inner = scope
            if isinstance(node, _Function | ast.ClassDef) and name == "body":
                inner = _within(node, scope)
            for position, child in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(child, ast.AST) and not _names_types(node, name, position):
                    yield from self._at(child, _Slot(node, name, position if isinstance(value, list) else None), inner)

    def _at(self, node: ast.AST, slot: "_Slot", scope: _Scope) -> Iterator[Mutation]:
        if isinstance(node, ast.stmt):
            if isinstance(node, ast.If) and ast.unparse(node.test).startswith("__name__ "):
                return  # runs only as a program
            scope = _Scope(scope.function, scope.prefix, scope.node, _header(node))
        for old, new, change in _changes(node, slot, scope):
            yield Mutation(
                file=self._file,
                line=next(one.lineno for one in ast.walk(node) if isinstance(one, ast.expr)),
                function=scope.function,
                old=old,
                new=new,
                lines=scope.statement,
                span=range(scope.node.lineno, (scope.node.end_lineno or 0) + 1)
                if isinstance(scope.node, _Function)
                else scope.statement,
                place=_placing(change, node, scope),
                tree=self._tree,
            )
        yield from self._inside(node, scope)


@dataclass(frozen=True)
class _Slot:
    """A node's position in its parent."""

    parent: ast.AST
    name: str
    position: int | None

    @property
    def is_forced(self) -> bool:
        """Whether the value is forced to true and to false anyway, so that negating it adds nothing."""
        return self.name in _TESTS

    def put(self, node: ast.AST) -> None:
        if self.position is None:
            setattr(self.parent, self.name, node)
        else:
            getattr(self.parent, self.name)[self.position] = node


_Change = tuple[str, str, Callable[[], None]]


def _changes(node: ast.AST, slot: _Slot, scope: _Scope) -> Iterator[_Change]:
    """Yield a node's mutations: the text before and after, and the function that makes the change."""
    match node:
        case ast.If() | ast.While():
            yield from _forced(node.test, _Slot(node, "test", None), type(node).__name__.lower() + " ")
        case ast.IfExp():
            yield from _forced(node.test, _Slot(node, "test", None), "… if ")
        case ast.comprehension():
            for position, test in enumerate(node.ifs):
                yield from _forced(test, _Slot(node, "ifs", position), "for … if ")
        case ast.match_case(guard=ast.expr() as guard):
            yield from _forced(guard, _Slot(node, "guard", None), "case … if ")
        case ast.Return(value=ast.expr() as value) if scope.returns_bool:
            yield from _forced(value, _Slot(node, "value", None), "return ")
        case ast.BoolOp():
            yield from _operators(node, slot)
        case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield ast.unparse(node), ast.unparse(node.operand), lambda: slot.put(node.operand)
        case ast.UnaryOp(op=ast.Not()) if not slot.is_forced:
            yield ast.unparse(node), ast.unparse(node.operand), lambda: slot.put(node.operand)
        case ast.Compare():
            yield from _comparisons(node, slot)
        case ast.BinOp() | ast.AugAssign() if type(node.op) in _ARITHMETIC and not _joins(node):
            new = copy.deepcopy(node)
            new.op = _ARITHMETIC[type(node.op)]()
            yield ast.unparse(node), ast.unparse(new), lambda: slot.put(new)
        case ast.Name(id=name, ctx=ast.Load()) if name in _FUNCTIONS:
            yield name, _FUNCTIONS[name], lambda: slot.put(ast.Name(_FUNCTIONS[name], ast.Load()))
        case ast.Attribute(attr=name, ctx=ast.Load()) if name in ("ceil", "floor"):
            new = ast.Attribute(node.value, _FUNCTIONS[name], ast.Load())
            yield ast.unparse(node), ast.unparse(new), lambda: slot.put(new)
        case ast.keyword(arg=str() as bound) if bound in _BOUNDS:
            new = ast.keyword(_BOUNDS[bound], node.value)
            yield ast.unparse(node), ast.unparse(new), lambda: slot.put(new)
        case _:
            pass


def _forced(test: ast.expr, slot: _Slot, before: str) -> Iterator[_Change]:
    """Yield a test with a constant result. It still runs, for its side effects."""
    answers = (True, False)
    if isinstance(test, ast.Constant):
        answers = (not test.value,)
    for answer in answers:
        new = ast.BoolOp(ast.And(), [ast.Tuple([test], ast.Load()), ast.Constant(answer)])
        yield f"{before}{ast.unparse(test)}", f"{before}{answer}", lambda new=new: slot.put(new)


def _operators(node: ast.BoolOp, slot: _Slot) -> Iterator[_Change]:
    other = ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    rest = [[*node.values[:position], *node.values[position + 1 :]] for position in range(len(node.values))]
    fewer = [values[0] if len(values) == 1 else ast.BoolOp(node.op, values) for values in rest]
    for new in (other, *fewer):
        yield ast.unparse(node), ast.unparse(new), lambda new=new: slot.put(new)


def _comparisons(node: ast.Compare, slot: _Slot) -> Iterator[_Change]:
    for position, operator in enumerate(node.ops):
        kinds = _COMPARISONS[type(operator)]
        for kind in kinds[:-1] if slot.is_forced and len(node.ops) == 1 else kinds:
            operators = [*node.ops[:position], kind(), *node.ops[position + 1 :]]
            new = ast.Compare(node.left, operators, node.comparators)
            yield ast.unparse(node), ast.unparse(new), lambda new=new: slot.put(new)


def _placing(change: Callable[[], None], old: ast.AST, scope: _Scope) -> Callable[[], None]:
    def place() -> None:
        kept = copy.deepcopy(old)
        change()
        if isinstance(scope.node, _Function) and isinstance(kept, ast.expr):
            # Code objects are exchangeable only if they use the same variables of the functions around them.
            scope.node.body.append(ast.If(ast.Constant(False), [ast.Expr(kept)], []))

    return place


def _within(node: _Function | ast.ClassDef, scope: _Scope) -> _Scope:
    name = scope.prefix + node.name
    if isinstance(node, ast.ClassDef):
        return _Scope(scope.function, f"{name}.", scope.node, scope.statement)
    return _Scope(name, f"{name}.<locals>.", node, scope.statement)


def _header(statement: ast.stmt) -> range:
    """Return the lines of a statement, without those of the statements in it."""
    body: list[ast.stmt] = getattr(statement, "body", [])
    end = body[0].lineno - 1 if body else statement.end_lineno or statement.lineno
    return range(statement.lineno, max(end, statement.lineno) + 1)


def _joins(node: ast.BinOp | ast.AugAssign) -> bool:
    """Return whether an operation joins texts, lists or types rather than being arithmetic."""
    sides = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.value]
    return any(
        isinstance(side, _NO_NUMBERS)
        or (isinstance(side, ast.Name) and side.id[0].isupper() and not side.id.isupper())
        or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        or (isinstance(side, ast.BinOp) and _joins(side))
        for side in sides
    )


def _names_types(node: ast.AST, name: str, position: int) -> bool:
    """Return whether this is the second argument of `isinstance` or `issubclass`, or the type in a `cast`."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and name == "args"):
        return False
    return (node.func.id, position) in {("isinstance", 1), ("issubclass", 1), ("cast", 0)}
