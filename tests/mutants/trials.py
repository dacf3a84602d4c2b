"""Runs the tests on every mutation: each in a fork of one process that has imported and collected everything."""

import gc
import os
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import pytest

from tests.mutants.mutations import MODULE, Mutation
from tests.mutants.swap import live_caches, live_functions, load_anew, swap_functions
from tests.syntax import tree_of

ROOT: Final = Path(__file__).parents[2]
POLICIES: Final = ROOT / "policies"
COMPONENTS: Final = ROOT / "components"
CASES: Final = ROOT / "tests" / "policies"
STACKS: Final = "tests.policies.stacks"
"""The module with the program's unmutated stacks. It stays loaded with its caches."""

_SURVIVED, _KILLED, _BROKEN = 0, 1, 2
_NOTHING: Final = "<nothing>"
"""Stands for a function: every function gets its own code again."""
_FACTOR: Final = 5
"""A mutated run may take this many times the CPU time of the plain run. Beyond that, it counts as killed."""
_LEAST_SECONDS: Final = 10


@dataclass
class Test:
    """One test, and the lines of mutated files that it runs."""

    item: pytest.Item
    seconds: float = 0.0
    lines: frozenset[tuple[str, int]] = frozenset()

    def notices(self, mutation: Mutation) -> bool:
        """Return whether it runs the mutated lines and is meant for that file."""
        is_for_all = self.item.path.parent == CASES
        is_its_own = self.item.path.stem.startswith(f"test_{mutation.file.stem}")
        return (is_for_all or is_its_own) and any((str(mutation.file), line) in self.lines for line in mutation.lines)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a mutation."""

    mutation: Mutation
    killed: bool
    by: str = ""
    """The test."""


class BrokenTrialError(Exception):
    """The trials themselves are broken: tests fail without a mutation, or a change cannot be made."""


@dataclass(eq=False)
class Trials:
    """A pytest plugin that replaces the test loop."""

    mutations: Sequence[Mutation]
    jobs: int
    progress: Callable[[int], None] = print
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    broken: str = ""
    _tries: bool = False
    """Whether this process tries a mutation."""
    _failed: list[str] = field(default_factory=list[str])
    _caches: list[Any] = field(default_factory=list[Any])
    _tests: list[Test] = field(default_factory=list[Test])
    _runs: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    """How many tests run a line."""
    _running: dict[int, tuple[Mutation, int]] = field(default_factory=dict[int, tuple[Mutation, int]])
    _kills: defaultdict[tuple[Path, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every mutation on the collected tests."""
        try:
            if self._failed or not session.items:
                raise BrokenTrialError(f"the tests cannot be collected: {''.join(self._failed[:1])}")
            self._measure(session.items)
            self._functions = live_functions((POLICIES, COMPONENTS))
            gc.collect()
            gc.freeze()
            for outcome in self._tried(list(self._unmutated())):
                if outcome.killed:
                    raise BrokenTrialError(f"tests fail on unmutated code: {outcome.by}")
            for outcome in self._tried(self.mutations):
                self.outcomes.append(outcome)
                self.progress(len(self.outcomes))
        except BrokenTrialError as error:
            self.broken = str(error)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failed test."""
        if report.failed:
            self._failed.append(f"{report.nodeid}\n{report.longreprtext}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport | None:
        """In a trial, report a failure without details, which are not needed."""
        if not self._tries or call.excinfo is None or call.excinfo.errisinstance(pytest.skip.Exception):
            return None
        return pytest.TestReport(item.nodeid, item.location, {}, "failed", "", "call")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a failed import."""
        if report.failed:
            self._failed.append(f"{report.nodeid}\n{report.longreprtext}")

    def _measure(self, items: Sequence[pytest.Item]) -> None:
        """Run every test unmutated and record its lines. This also warms what tests share, such as stacks."""
        folders = (POLICIES, COMPONENTS)
        self._caches = live_caches(folders)
        for item in items:
            for cache in self._caches:
                cache.cache_clear()
            began = time.process_time()
            with _lines_run(folders) as lines:
                _run(item)
            self._tests.append(Test(item, time.process_time() - began, frozenset(lines)))
        self._runs = Counter(line for test in self._tests for line in test.lines)
        if self._failed:
            raise BrokenTrialError(f"tests fail without any mutation: {self._failed[0]}")

    def _unmutated(self) -> Iterator[Mutation]:
        """Yield a change without effect for each way of making changes."""
        files = {one.file: one for one in self.mutations}
        for function, file in ((_NOTHING, max(files)), (MODULE, min(files))):
            if function != MODULE or file.parent == POLICIES:
                every = range(100_000)
                yield replace(files[file], function=function, lines=every, place=lambda: None)

    def _tried(self, mutations: Sequence[Mutation]) -> Iterator[Outcome]:
        waiting = list(reversed(mutations))
        while waiting or self._running:
            while waiting and len(self._running) < self.jobs:
                self._start(waiting.pop())
            yield self._finished()

    def _start(self, mutation: Mutation) -> None:
        receiver, sender = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(receiver)
            self._try(mutation, sender)
        os.close(sender)
        self._running[pid] = mutation, receiver

    def _finished(self) -> Outcome:
        pid, status = os.wait()
        while pid not in self._running:
            pid, status = os.wait()
        mutation, receiver = self._running.pop(pid)
        with os.fdopen(receiver, encoding="utf-8") as pipe:
            message = pipe.read()
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _BROKEN:
            raise BrokenTrialError(f"{mutation.file}:{mutation.line}: {mutation}: {message}")
        killed = os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == _KILLED
        self._kills[mutation.file, mutation.function][message] += killed
        return Outcome(mutation=mutation, killed=killed, by=message or "the time limit")

    def _try(self, mutation: Mutation, sender: int) -> NoReturn:
        """Run tests on a mutation and end the process. Tests that killed mutations of the same function run first."""
        status, message = _BROKEN, "ended early"
        try:
            _hush()
            self._tries = True
            kills = self._kills[mutation.file, mutation.function]
            tests = [one for one in self._tests if mutation.function == _NOTHING or one.notices(mutation)]
            tests.sort(key=lambda one: (-kills[one.item.nodeid], self._company(one, mutation), one.seconds))
            _limit(sum(one.seconds for one in tests))
            mutation.place()
            # Code that no test runs may run at import, such as the code that turns functions into policies.
            if mutation.function == MODULE or (not tests and mutation.file.parent == POLICIES):
                message = self._first_failure_anew(mutation)
            else:
                message = self._first_failure(mutation, tests)
            status = _KILLED if message else _SURVIVED
        except BaseException as error:  # the process ends here, whatever happens
            message = repr(error)
        os.write(sender, message.encode()[:4000])
        os._exit(status)

    def _company(self, test: Test, mutation: Mutation) -> int:
        """Return how many tests run the function's rarest line that this test runs. A low number is a specific test."""
        lines = {(str(mutation.file), line) for line in mutation.span} & test.lines
        return min((self._runs[line] for line in lines), default=len(self._tests))

    def _first_failure(self, mutation: Mutation, tests: Sequence[Test]) -> str:
        trees = {str(mutation.file): mutation.tree}
        if mutation.function == _NOTHING:
            trees = {name: tree_of(Path(name)) for name in self._functions}
        for name, tree in trees.items():
            swap_functions(tree, Path(name), self._functions.get(name, []))
        for cache in self._caches:
            cache.cache_clear()
        for item, following in pairwise([*(one.item for one in tests), None]):
            assert item is not None
            _run(item, following)
            if self._failed:
                return item.nodeid
        return ""

    def _first_failure_anew(self, mutation: Mutation) -> str:
        """Reimport the policies and their tests, because some code runs only at import. Return the first failure."""
        kept = {STACKS, __name__, "tests.policies"}
        load_anew(mutation.tree, mutation.file, ROOT, ("policies", "tests.policies"), kept)
        files = sorted({str(one.item.path) for one in self._tests if one.item.path.parent == CASES})
        _limit(sum(one.seconds for one in self._tests if one.item.path.parent == CASES))
        status = pytest.main([*PYTEST_FLAGS, "-x", *files], plugins=[self._listener()])
        return "" if status == 0 else "".join(self._failed[:1]).partition("\n")[0] or "imports"

    def _listener(self) -> object:
        trials = self

        class Listener:
            def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
                trials.pytest_runtest_logreport(report)

        return Listener()


_WITHOUT: Final = ("terminal", "cacheprovider", "timeout", "xdist", "xdist.looponfail")
PYTEST_FLAGS: Final = (
    *("--rootdir", str(ROOT), "-o", "addopts=", "--import-mode=importlib", "--capture=no"),
    *(f"-pno:{plugin}" for plugin in _WITHOUT),
)


def _run(item: pytest.Item, following: pytest.Item | None = None) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


@contextmanager
def _lines_run(folders: Sequence[Path]) -> Generator[set[tuple[str, int]]]:
    """Collect the executed lines of files in the folders during the block."""
    found: set[tuple[str, int]] = set()
    places = tuple(f"{folder}/" for folder in folders)

    def lines(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            found.add((frame.f_code.co_filename, frame.f_lineno))
        return lines

    def calls(frame: FrameType, _: str, __: Any) -> Any:
        return lines if frame.f_code.co_filename.startswith(places) else None

    before = sys.gettrace()
    threading.settrace(calls)
    sys.settrace(calls)
    try:
        yield found
    finally:
        sys.settrace(before)
        threading.settrace(None)  # pyright: ignore[reportArgumentType]


def _hush() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def _limit(seconds: float) -> None:
    """End the process when it uses too much CPU time or waits too long."""
    most = max(_LEAST_SECONDS, _FACTOR * seconds)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, most)
    signal.setitimer(signal.ITIMER_REAL, 10 * most)
