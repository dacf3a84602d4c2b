"""Approval from the command line: by whom, of which step, why, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from components.config.sections.rollout_settings import RolloutSettings
from rollout.journal.approvals import Approvals
from rollout.journal.journal import RecordObjects
from rollout.journal.replay import Run
from rollout.journal.store import S3Store
from rollout.model.errors import RefusedError
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import CHECKS, Skip, make_plan
from rollout.system.origin import current_user
from scripts.approve import step_to_decide
from scripts.ramp import read_skip
from tests.moto_server import moto_server
from tests.rollout.fakes import BASE, World
from tests.rollout.report.test_read import ramp
from tests.rollout.test_session import session

SETTINGS = RolloutSettings.model_validate({"gates": {"manual": {"at_percents": [25, 100]}}})


def run(step: int, phase: Phase = Phase.HOLDING) -> Run:
    return Run(rollout_id="r1", rollout=Rollout(plan=make_plan("green", SETTINGS), phase=phase, step=step))


def test_the_step_that_the_rollout_is_at_is_meant() -> None:
    assert step_to_decide(run(step=1), None).percent == 25
    assert step_to_decide(run(step=1), None).rollout_id == "r1"


def test_another_step_can_be_decided_beforehand() -> None:
    assert step_to_decide(run(step=0), 100).percent == 100
    assert step_to_decide(run(step=0, phase=Phase.VERIFYING), 25).percent == 25


@pytest.mark.parametrize(
    ("under_way", "percent", "message"),
    [
        (None, None, "no rollout is under way"),
        (run(step=1, phase=Phase.DONE), None, "no rollout is under way"),
        (run(step=0), None, "^the current step, 1 %, needs no approval; .*25 %, 100 %; name one with --percent"),
        (
            run(step=0, phase=Phase.DEPLOYING),
            None,
            "^no step waits for approval: the rollout is deploying. .*--percent",
        ),
        (run(step=2, phase=Phase.SOAKING), None, "^no step waits for approval: the rollout is soaking"),
        (run(step=1), 75, "^--percent: the step of 75 % needs no approval"),
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


@pytest.mark.slow
def test_an_approval_needs_nothing_but_the_config_and_the_records_in_s3(tmp_path: Path) -> None:
    manual = {"at_percents": [25], "timeout_seconds": 100}
    world = World(rollout={**BASE["rollout"], "gates": {**BASE["rollout"]["gates"], "manual": manual}})
    ramp(world)
    kept = world.journal.kept
    under_way = kept[: next(number for number, one in enumerate(kept) if one.phase is Phase.HOLDING)]
    rollout = {"records_url": "s3://records/team"}
    service = session(tmp_path, rollout=rollout).service
    with moto_server() as url:
        client: Any = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(s3={"addressing_style": "path"}),
        )
        client.create_bucket(Bucket="records")
        store = S3Store(client, "records", "team/prod")
        RecordObjects(store, f"journal/{service}").append(under_way)
        # No program is found, no other service of AWS answers, and there is no cluster.
        environment = {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ENDPOINT_URL_S3": url,
            "PATH": "",
            "HOME": str(tmp_path),
            "KUBECONFIG": "/nowhere",
            "GITHUB_ACTOR": "carl",
            "PYTHONPATH": str(Path.cwd()),
        }
        options = ("--stack", "prod", "--percent", "25", "--because", "fine", "--work-dir", str(tmp_path), "--json")
        command = [sys.executable, "-m", "scripts.approve", *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        decided = {"rollout": under_way[0].rollout, "percent": 25, "by": "carl"}
        assert json.loads(done.stdout) == {"outcome": "approved", "exit_code": 0, "reason": "fine", **decided}
        found = Approvals(store).find(under_way[0].rollout, 25)
    assert found is not None
    assert (found.approved, found.by, found.because) == (True, "carl", "fine")
