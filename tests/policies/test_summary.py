"""The summary counts a case only if the intended policy objects."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.policies.case import Safe, Unsafe
from tests.policies.edits import UNKNOWN
from tests.policies.summary import summarize

NAME = "traffic-weights-add-up"
OTHER = "traffic-both-target-groups"


def weighing(weight: object) -> Mapping[str, Mapping[str, Any]]:
    return {"ListenerRule chat": {"actions[0].forward.targetGroups[1].weight": weight}}


BROKEN = Unsafe(policy=NAME, why="a share too many", base="ramp", edits=weighing(26), says="is 101")
FINE = Safe(why="as declared", base="ramp")


def test_all_is_well() -> None:
    summary = summarize([BROKEN, replace(BROKEN, edits=weighing(27), says="is 102")], [FINE], [NAME])
    assert summary.problems == []
    assert summary.figures == {
        "unsafe_blocked": 2,
        "unsafe_total": 2,
        "safe_passed": 1,
        "safe_total": 1,
        "policies": 1,
        "policies_hit_twice": 1,
    }
    assert summary.lines()[1].split() == [NAME, "2", "a", "share", "too", "many"]


def test_an_objection_of_another_policy_does_not_count() -> None:
    summary = summarize([replace(BROKEN, policy=OTHER)], [], [])
    assert summary.figures["unsafe_blocked"] == 0
    assert summary.problems == [
        f"a share too many: {OTHER} does not object as it should",
        f"a share too many: unexpected objections of {NAME}",
    ]


def test_an_objection_in_other_words_does_not_count() -> None:
    summary = summarize([replace(BROKEN, says="is 99")], [], [])
    assert summary.problems == [f"a share too many: {NAME} does not object as it should"]


def test_a_policy_that_could_not_judge_blocks_nothing() -> None:
    summary = summarize([replace(BROKEN, edits=weighing(UNKNOWN), says="")], [], [])
    assert summary.figures["unsafe_blocked"] == 0


def test_a_policy_that_is_said_to_object_too_must() -> None:
    summary = summarize([replace(BROKEN, also=(OTHER,))], [], [])
    assert summary.problems == [f"a share too many: no objection of {OTHER}"]


def test_a_safe_case_that_is_refused_has_not_passed() -> None:
    summary = summarize([], [Safe(why="not so safe", base="ramp", edits=weighing(26))], [])
    assert (summary.figures["safe_passed"], summary.figures["safe_total"]) == (0, 1)
    assert summary.problems == [f"not so safe: safe, but {NAME} objects"]


def test_a_case_that_cannot_be_judged_is_told() -> None:
    summary = summarize([], [Safe(why="no such resource", base="ramp", edits={"Nothing chat": {}})], [])
    (problem,) = summary.problems
    assert problem.startswith("no such resource: judging it failed: KeyError(")


def test_one_case_of_a_policy_is_too_few() -> None:
    assert summarize([BROKEN], [], [NAME]).problems == [f"{NAME}: blocks 1 cases, two are the least"]
