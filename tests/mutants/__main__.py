"""Mutation testing of the policies: `make mutants`.

This changes every condition in policies/, and in the functions of components/ that policies use, one at a time. For
each change it runs the pack's tests and those of the changed component. It prints the changes that no test notices, and
fails when tests notice less than 95 %.

It swaps the code objects of live functions in a fork of one warm process, and runs only tests that run the changed
lines. docs/decisions/0017-retries-and-mutation-testing-are-our-own.md says why no existing tool does.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.mutants.excluded import EXCLUDED
from tests.mutants.mutations import Mutation, mutations_of
from tests.mutants.reach import used_functions
from tests.mutants.trials import CASES, PYTEST_FLAGS, ROOT, Outcome, Trials

LEAST_PERCENT: Final = 95.0
NOT_RUN: Final = {
    "test_on_the_engine.py": "runs policies in separate processes",
    "test_standalone_on_the_engine.py": "runs policies in separate processes",
    "test_unknowns.py": "removes every field of every stack: too slow to run for each mutation",
    "test_rollout_states.py": "runs the program hundreds of times: too slow, and it tests only safe states",
}


def main() -> int:
    """Try all mutations and print the survivors."""
    parser = argparse.ArgumentParser(prog="mutants", description="Mutation testing of the policies.")
    parser.add_argument("files", nargs="*", type=Path, help="only these files")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="concurrent processes")
    parser.add_argument("--list", action="store_true", help="only print the mutations")
    arguments = parser.parse_args()

    only = {file.resolve() for file in arguments.files}
    found = [one for one in all_mutations() if not only or one.file in only]
    stale = [one for one in EXCLUDED if not any(one.covers(mutation) for mutation in found)]
    if stale and not only:
        print("excluded mutations that do not exist, or no longer exist:", *stale, sep="\n  ")
        return 2
    mutations = [one for one in found if not any(excluded.covers(one) for excluded in EXCLUDED)]
    if arguments.list:
        print(*map(_line, mutations), sep="\n")
        return 0
    trials = Trials(mutations, arguments.jobs, _progress(len(mutations)))
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"  # gRPC is idle at a fork, but warns anyway
    hypothesis_settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    hypothesis_settings.load_profile("mutants")
    pytest.main([*PYTEST_FLAGS, *map(str, tests_for({one.file for one in mutations}))], plugins=[trials])
    if trials.broken or len(trials.outcomes) != len(mutations):
        print(trials.broken or "the trials ended early", file=sys.stderr)
        return 2
    return report(trials.outcomes, excluded=len(found) - len(mutations))


def all_mutations() -> list[Mutation]:
    """Return the mutations of all policies and of the functions that they use."""
    policies = sorted((ROOT / "policies").glob("*.py"))
    used = used_functions(ROOT, policies)
    return [
        *(one for file in policies for one in mutations_of(file)),
        *(one for file in sorted(used) for one in mutations_of(file, used[file])),
    ]


def tests_for(files: set[Path]) -> list[Path]:
    """Return the pack's tests and those of mutated components."""
    cases = [file for file in sorted(CASES.glob("test_*.py")) if file.name not in NOT_RUN]
    components = ROOT / "tests" / "components"
    mutated = {file.stem for file in files if ROOT / "components" in file.parents}
    own = {test for stem in mutated for test in components.rglob(f"test_{stem}*.py")}
    return [*cases, *sorted(own)]


def report(outcomes: Sequence[Outcome], *, excluded: int) -> int:
    """Print the survivors and the score. Return 0 when the score is high enough, else 1."""
    survivors = sorted(
        (one for one in outcomes if not one.killed), key=lambda one: (one.mutation.file, one.mutation.line)
    )
    for one in survivors:
        print(f"survived  {_line(one.mutation)}")
    totals = Counter(one.mutation.file for one in outcomes)
    alive = Counter(one.mutation.file for one in survivors)
    for file in sorted(totals):
        print(f"{file.relative_to(ROOT)!s:40} {totals[file] - alive[file]:5} / {totals[file]}")
    killed = len(outcomes) - len(survivors)
    percent = 100 * killed / len(outcomes) if outcomes else 100.0
    print(
        f"killed {killed} / {len(outcomes)} mutants ({percent:.1f} %), {len(survivors)} survived, {excluded} excluded"
    )
    return 0 if percent >= LEAST_PERCENT else 1


def _line(mutation: Mutation) -> str:
    return f"{mutation.file.relative_to(ROOT)}:{mutation.line}: {mutation}"


def _progress(total: int) -> Callable[[int], None]:
    def show(done: int) -> None:
        if done % 50 == 0:
            print(f"{done} / {total}", file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    sys.exit(main())
