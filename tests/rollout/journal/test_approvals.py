"""A decision can be made only once, and only its own rollout finds it."""

from pathlib import Path

import pytest

from rollout.gates.verdicts import judge_approval
from rollout.journal.approvals import Approvals
from rollout.journal.store import FileStore
from rollout.model.approval import Approval
from rollout.model.errors import RefusedError
from rollout.model.verdict import Verdict

YES = Approval(approved=True, by="Ada", because="looks well — go", at="2026-11-21T08:00:00Z")
NO = Approval(approved=False, by="Ben", because="not on a Friday", at="2026-11-21T08:01:00Z")


def test_a_decision_is_found_for_its_rollout_and_step_only(tmp_path: Path) -> None:
    approvals = Approvals(FileStore(tmp_path))
    assert approvals.find("r1", 25) is None
    approvals.leave("r1", 25, YES)
    assert approvals.find("r1", 25) == YES
    assert approvals.find("r1", 100) is None
    assert approvals.find("r2", 25) is None


def test_a_decision_is_not_made_twice(tmp_path: Path) -> None:
    approvals = Approvals(FileStore(tmp_path))
    approvals.leave("r1", 25, YES)
    with pytest.raises(RefusedError, match="the step of 25 % is decided already: approved by Ada: looks well"):
        approvals.leave("r1", 25, NO)
    assert approvals.find("r1", 25) == YES


def test_only_a_yes_passes() -> None:
    assert judge_approval(25, YES).verdict is Verdict.PASS
    assert judge_approval(25, NO).verdict is Verdict.FAIL
    assert judge_approval(25, None).verdict is Verdict.INCONCLUSIVE
    assert judge_approval(25, NO).evidence == {"by": "Ben", "because": "not on a Friday", "at": NO.at}
    assert judge_approval(25, NO).reason == "denied by Ben: not on a Friday"
