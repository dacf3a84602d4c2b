"""Approve, or deny, a step of a ramp that waits for a person (`rollout.gates.manual`)."""

import getpass
import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rollout.journal.approvals import Approvals
from rollout.journal.replay import Run
from rollout.model.approval import Approval
from rollout.model.errors import RefusedError
from rollout.model.times import format_rfc3339
from rollout.session import Place, Session
from scripts import console
from scripts.console import ServiceOption, StackOption, WorkDirOption


def main(
    stack: StackOption,
    because: Annotated[str, typer.Option(help="Why, for the journal.")],
    deny: Annotated[bool, typer.Option("--deny", help="Refuse: the rollout goes back.")] = False,
    percent: Annotated[
        int | None, typer.Option(help="The step, by its candidate_percent; by default the one that waits.")
    ] = None,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
) -> None:
    """Say yes or no to a step of the ramp under way; the ramp finds it at its next look."""
    with console.refusals():
        if not because.strip():
            raise RefusedError("--because: say why; it goes into the journal")
        session = Session(Place(stack=stack, service=service, work_dir=work_dir.resolve()), "approve")
        run = session.last_run
        step = step_to_decide(run, percent)
        approval = Approval(
            approved=not deny,
            by=whoever_runs_this(),
            because=because.strip(),
            at=format_rfc3339(datetime.now(UTC)),
        )
        Approvals(session.store).leave(step.rollout_id, step.percent, approval)
        console.console.print(f"{'denied' if deny else 'approved'}: {step.percent} %, by {approval.by}")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a rollout that is under way."""

    rollout_id: str
    percent: int


def step_to_decide(run: Run | None, percent: int | None) -> Step:
    """Return the step that is meant: the one named, or the one that the rollout is at.

    Raises:
        RefusedError: no rollout is under way, or the step waits for nobody.
    """
    if run is None or not run.is_unfinished_rollout:
        raise RefusedError("no rollout is under way, so nothing waits for approval")
    steps = run.rollout.plan.steps
    chosen = steps[run.rollout.step].candidate_percent if percent is None else percent
    waiting = [step.candidate_percent for step in steps if step.approval_timeout_seconds is not None]
    if chosen not in waiting:
        known = ", ".join(f"{one} %" for one in waiting) or "none"
        raise RefusedError(
            f"--percent: the step of {chosen} % waits for nobody; of this rollout these do "
            f"(rollout.gates.manual.at_percents): {known}"
        )
    return Step(rollout_id=run.rollout_id, percent=chosen)


def whoever_runs_this() -> str:
    """Return the name that goes into the journal: GitHub's actor, git's user, or the account on this machine."""
    if actor := os.environ.get("GITHUB_ACTOR"):
        return actor
    try:
        git = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return getpass.getuser()
    return git.stdout.strip() or getpass.getuser()


if __name__ == "__main__":
    console.run(main)
