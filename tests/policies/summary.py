"""``python -m tests.policies.summary``: judge every case and print what each policy refused.

An unsafe case is blocked only when the policy that is meant to refuse it does. The last line is JSON. The status is 1
when any case is not as it should be, or a policy has fewer than two unsafe cases that it blocks.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from policies.catalogue import POLICIES
from tests.policies.all_cases import SAFE, UNSAFE
from tests.policies.case import Case, Safe, Unsafe
from tests.policies.judge import Violation, judge


@dataclass
class Summary:
    """What came of all cases."""

    policies: Sequence[str]
    blocked: dict[str, list[Unsafe]] = field(default_factory=lambda: defaultdict[str, list[Unsafe]](list))
    """By policy, the cases that it was meant to refuse and did."""
    unsafe_total: int = 0
    safe_passed: int = 0
    safe_total: int = 0
    problems: list[str] = field(default_factory=list[str])

    @property
    def figures(self) -> dict[str, int]:
        """The last line."""
        return {
            "unsafe_blocked": sum(map(len, self.blocked.values())),
            "unsafe_total": self.unsafe_total,
            "safe_passed": self.safe_passed,
            "safe_total": self.safe_total,
            "policies": len(self.policies),
            "policies_hit_twice": sum(len(self.blocked[name]) >= 2 for name in self.policies),
        }

    def lines(self) -> list[str]:
        """The table: by policy, how many of its cases it refused, and the first of them."""
        width = max(map(len, ["policy", *self.policies]))
        lines = [f"{'policy':<{width}}  hits  the first of them"]
        for name in self.policies:
            cases = self.blocked[name]
            lines.append(f"{name:<{width}}  {len(cases):>4}  {cases[0].why if cases else 'none'}")
        return lines


def summarize(
    unsafe: Sequence[Unsafe] = UNSAFE,
    safe: Sequence[Safe] = SAFE,
    policies: Sequence[str] = tuple(policy.name for policy in POLICIES),
) -> Summary:
    """Judge all cases."""
    summary = Summary(policies, unsafe_total=len(unsafe), safe_total=len(safe))
    for case in unsafe:
        found, failure = _judged(case)
        objecting = {one.policy for one in found}
        if any(one.policy == case.policy and one.message is not None and case.says in one.message for one in found):
            summary.blocked[case.policy].append(case)
        else:
            summary.problems.append(f"{case.why}: {failure or f'{case.policy} does not object as it should'}")
        if others := objecting - {case.policy, *case.also}:
            summary.problems.append(f"{case.why}: unexpected objections of {', '.join(sorted(others))}")
        if silent := set(case.also) - objecting:
            summary.problems.append(f"{case.why}: no objection of {', '.join(sorted(silent))}")
    for case in safe:
        found, failure = _judged(case)
        if found or failure:
            objections = ", ".join(sorted({one.policy for one in found}))
            summary.problems.append(f"{case.why}: {failure or f'safe, but {objections} objects'}")
        else:
            summary.safe_passed += 1
    for name in policies:
        if len(summary.blocked[name]) < 2:
            summary.problems.append(f"{name}: blocks {len(summary.blocked[name])} cases, two are the least")
    return summary


def _judged(case: Case) -> tuple[list[Violation], str]:
    """Judge one case; a policy that fails must not keep the others from the table."""
    try:
        return judge(case.stack(), case.config), ""
    except Exception as error:
        return [], f"judging it failed: {error!r}"


def main() -> int:
    """Print the table, what is wrong, and the figures; returns the exit status."""
    summary = summarize()
    print("\n".join(summary.lines()))
    for problem in summary.problems:
        print(f"wrong: {problem}")
    print(json.dumps(summary.figures))
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
