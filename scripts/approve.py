"""Approve or deny a step of a ramp that waits for a person (`rollout.gates.manual`)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from rollout.journal.approvals import Approvals
from rollout.journal.replay import Run
from rollout.model.approval import Approval
from rollout.model.errors import RefusedError
from rollout.model.machine import Phase
from rollout.session import Place, Session
from rollout.system.origin import current_user
from scripts import console
from scripts.console import CtrlC, JsonOption, Script, ServiceOption, StackOption, WorkDirOption

SCRIPT = Script(
    examples=(
        ('python -m scripts.approve --stack prod --because "looked at the answers"', "approve the step that waits"),
        (
            'python -m scripts.approve --stack prod --percent 25 --deny --because "too slow"',
            "deny the step of 25 %: it rolls back",
        ),
    ),
    ctrl_c=CtrlC(
        safe="The ramp goes on waiting; a decision is stored whole or not at all.",
        remains="Nothing is left unfinished.",
        command="run scripts.approve again.",
    ),
)


def main(
    stack: StackOption,
    because: Annotated[str, typer.Option(help="The reason, for the journal.")],
    deny: Annotated[bool, typer.Option("--deny", help="Deny the step: the rollout rolls back.")] = False,
    percent: Annotated[
        int | None, typer.Option(help="The step, by its candidate_percent. Default: the current step.")
    ] = None,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    json_output: JsonOption = False,
) -> None:
    """Approve or deny a step of the running ramp. The ramp reads the decision at its next poll."""
    with console.refusals(SCRIPT, json_output=json_output) as output:
        if not because.strip():
            raise RefusedError("--because: give a reason, for the journal")
        session = Session(Place(stack=stack, service=service, work_dir=work_dir.resolve()), "approve")
        run = session.last_run
        step = step_to_decide(run, percent)
        approval = Approval(
            approved=not deny,
            by=current_user(work_dir),
            because=because.strip(),
            at=datetime.now(UTC),
        )
        Approvals(session.store).leave(step.rollout_id, step.percent, approval)
        outcome = "denied" if deny else "approved"
        output.end(
            outcome,
            f"{outcome}: {step.percent} %, by {approval.by}",
            reason=approval.because,
            rollout=step.rollout_id,
            percent=step.percent,
            by=approval.by,
        )


_AT_A_STEP: Final = frozenset({Phase.RESIZING, Phase.SHIFTING, Phase.ATTESTING, Phase.HOLDING, Phase.PAUSED})
"""The phases in which a person can look at the current step, or is about to."""


@dataclass(frozen=True, kw_only=True)
class PendingStep:
    """A step of a running rollout."""

    rollout_id: str
    percent: int


def step_to_decide(run: Run | None, percent: int | None) -> PendingStep:
    """Return the step to decide on: the named one, or the rollout's current step.

    Raises:
        RefusedError: no rollout is running, it has no current step, or the step needs no approval.
    """
    if run is None or not run.is_unfinished_rollout:
        raise RefusedError("no rollout is under way, so nothing waits for approval")
    if percent is None and run.rollout.phase not in _AT_A_STEP:
        raise RefusedError(
            f"no step waits for approval: the rollout is {run.rollout.phase}. Wait for a step, or name one with "
            "--percent to decide it beforehand"
        )
    steps = run.rollout.plan.steps
    chosen = steps[run.rollout.step].candidate_percent if percent is None else percent
    waiting = [step.candidate_percent for step in steps if step.approval_timeout_seconds is not None]
    if chosen not in waiting:
        step = (
            f"the current step, {steps[run.rollout.step].name},"
            if percent is None
            else f"--percent: the step of {chosen} %"
        )
        known = ", ".join(f"{one} %" for one in waiting)
        others = f"these steps do: {known}; name one with --percent" if known else "no step does"
        raise RefusedError(f"{step} needs no approval; by rollout.gates.manual.at_percents of this rollout, {others}")
    return PendingStep(rollout_id=run.rollout_id, percent=chosen)


if __name__ == "__main__":
    console.run(main, SCRIPT)
