"""Approval from the command line: by whom, of which step, why, and what is refused."""

from pathlib import Path

import pytest

from components.config.rollout_settings import RolloutSettings
from rollout.journal.replay import Run
from rollout.model.errors import RefusedError
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import CHECKS, Skip, make_plan
from rollout.system.origin import current_user
from scripts.approve import step_to_decide
from scripts.ramp import read_skip

SETTINGS = RolloutSettings.model_validate({"gates": {"manual": {"at_percents": [25, 100]}}})


def run(step: int, phase: Phase = Phase.HOLDING) -> Run:
    return Run(rollout_id="r1", rollout=Rollout(plan=make_plan("green", SETTINGS), phase=phase, step=step))


def test_the_step_that_the_rollout_is_at_is_meant() -> None:
    assert step_to_decide(run(step=1), None).percent == 25
    assert step_to_decide(run(step=1), None).rollout_id == "r1"


def test_another_step_can_be_decided_beforehand() -> None:
    assert step_to_decide(run(step=0), 100).percent == 100


@pytest.mark.parametrize(
    ("under_way", "percent", "message"),
    [
        (None, None, "no rollout is under way"),
        (run(step=1, phase=Phase.DONE), None, "no rollout is under way"),
        (run(step=0), None, "the step of 1 % needs no approval; .*25 %, 100 %"),
        (run(step=1), 75, "the step of 75 % needs no approval"),
    ],
)
def test_a_step_that_needs_no_approval_is_not_decided(under_way: Run | None, percent: int | None, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        step_to_decide(under_way, percent)


def test_the_name_is_githubs_actors_or_gits_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    assert current_user(Path()) == "ada"
    monkeypatch.delenv("GITHUB_ACTOR")
    (tmp_path / "gitconfig").write_text("[user]\nname = Ben Beam\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.chdir(tmp_path)
    assert current_user(Path()) == "Ben Beam"
    (tmp_path / "gitconfig").write_text("")
    monkeypatch.setenv("LOGNAME", "carl")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert current_user(Path()) == "carl"


def test_checks_are_left_out_by_name_and_for_a_reason() -> None:
    assert read_skip([], "") is None
    assert read_skip(["shadow", "eval"], " down ") == Skip(checks=("eval", "shadow"), because="down")
    assert read_skip(CHECKS, "an emergency") == Skip(checks=CHECKS, because="an emergency")


@pytest.mark.parametrize(
    ("checks", "because", "message"),
    [
        (["evals"], "so", "--skip: there is no check 'evals'; the checks are smoke, eval, warm_up, shadow"),
        (["eval"], " ", "--because: is required with --skip eval"),
        ([], "so", "--because: gives the reason for --skip, but there is no --skip"),
    ],
)
def test_leaving_out_without_a_reason_or_by_a_wrong_name_is_refused(
    checks: list[str], because: str, message: str
) -> None:
    with pytest.raises(RefusedError, match=message):
        read_skip(checks, because)
