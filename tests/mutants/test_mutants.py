"""The mutation tester itself: its changes, the functions that it finds, and that a change takes effect."""

import importlib.util
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutants.mutations import Mutation, mutations_of
from tests.mutants.reach import used_functions
from tests.mutants.swap import live_caches, live_functions, swap_functions


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return file


def changes(folder: Path, text: str) -> set[str]:
    return {f"{one.old} → {one.new}" for one in mutations_of(write(folder, "some.py", text))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = b < c", {"b < c → b <= c", "b < c → b >= c"}),
        ("a = b in c", {"b in c → b not in c"}),
        ("a = 0 <= b < 9", {f"0 <= b < 9 → {new}" for new in ("0 < b < 9", "0 > b < 9", "0 <= b <= 9", "0 <= b >= 9")}),
        ("a = b or c", {"b or c → b and c", "b or c → b", "b or c → c"}),
        ("a = not b", {"not b → b"}),
        ("if a == b:\n    c()", {"if a == b → if True", "if a == b → if False"}),
        ("while a > b:\n    c()", {"while a > b → while True", "while a > b → while False", "a > b → a >= b"}),
        ("a = b if c else d", {"… if c → … if True", "… if c → … if False"}),
        ("a = [b for b in c if b]", {"for … if b → for … if True", "for … if b → for … if False"}),
        ("def a() -> bool:\n    return b()", {"return b() → return True", "return b() → return False"}),
        ("def a() -> bool:\n    return True", {"return True → return False"}),
        ("def a() -> int:\n    return b()", set[str]()),
        ("a = any(b)", {"any → all"}),
        ("a = min(b, math.ceil(c))", {"min → max", "math.ceil → math.floor"}),
        ("a = b * 60", {"b * 60 → b / 60"}),
        ("a = -(-b // c)", {"-(-b // c) → -b // c", "-b // c → -b / c", "-b → b"}),
        ("a = 'b' + c", set[str]()),
        ("a = Field(ge=0, le=9)", {"ge=0 → gt=0", "le=9 → lt=9"}),
        ("a: int | None = b", set[str]()),
        ("a = isinstance(b, int | str)", set[str]()),
    ],
)
def test_conditions_and_the_parts_of_limits_are_changed(tmp_path: Path, text: str, expected: set[str]) -> None:
    assert changes(tmp_path, text) == expected


def test_only_functions_that_policies_use_are_found(tmp_path: Path) -> None:
    write(
        tmp_path,
        "components/a.py",
        """
        from components.b import Box, far

        LIMIT = made()

        def near(box: Box):
            return far() if box.is_full() else other()

        def other(): ...

        def made(): ...

        def unused(): ...
        """,
    )
    write(
        tmp_path,
        "components/b.py",
        """
        class Box:
            def __post_init__(self): ...

            def is_full(self): return self._count()

            def _count(self): ...

            def unused(self): ...

        class Chest(Box):
            def __post_init__(self): ...

        def far(): ...

        def unused(): ...
        """,
    )
    policy = write(tmp_path, "policies/p.py", "from components.a import LIMIT, near\nprint(near, LIMIT)")
    found = used_functions(tmp_path, [policy])
    assert {file.name: names for file, names in found.items()} == {
        "a.py": {"near", "other", "made"},
        "b.py": {"far", "Box.is_full", "Box._count"},
    }
    policy.write_text("from components import b\nprint(b.Chest())", encoding="utf-8")
    assert list(used_functions(tmp_path, [policy]).values()) == [{"Chest.__post_init__", "Box.__post_init__"}]


def loaded(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mutation(file: Path, text: str) -> Mutation:
    return next(one for one in mutations_of(file) if text in str(one))


def test_a_mutation_applies_to_all_references_to_a_function(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "held.py",
        """
        from functools import cache

        def judge(limit):
            def is_over(value):
                return value > limit and limit > 0
            return is_over

        class Box:
            @property
            def is_empty(self):
                return not self.content

        @cache
        def larger(a, b):
            return max(a, b)
        """,
    )
    module = loaded(file)
    held, box, larger = module.judge(3), module.Box(), module.larger
    box.content = []
    assert [held(3), box.is_empty, larger(1, 2)] == [False, True, 2]
    functions = live_functions([tmp_path])[str(file)]
    # The second no longer uses `limit`, a variable of the function around it.
    for text, expected in {
        "`value > limit` → `value >= limit`": [True, True, 2],
        "and limit > 0` → `value > limit`": [False, True, 2],
        "`not self.content`": [False, [], 2],
        "`max` → `min`": [False, True, 1],
    }.items():
        change = mutation(file, text)
        change.place()
        swap_functions(change.tree, file, functions)
        for one in live_caches([tmp_path]):
            one.cache_clear()
        assert [held(3), box.is_empty, larger(1, 2)] == expected
