"""Approve, or deny, a step of a ramp that waits for a person (`rollout.gates.manual`)."""

import getpass
import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from rollout.approvals import Approval, Approvals
from rollout.errors import RefusedError
from rollout.journal import Record
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
        rollout_id = rollout_under_way(session.records)
        steps = session.settings().rollout.gates.manual.at_percents
        step = step_that_waits(session.records) if percent is None else percent
        if step not in steps:
            known = ", ".join(f"{one} %" for one in steps) or "none"
            raise RefusedError(
                f"--percent: {step} % waits for nobody; steps that do (rollout.gates.manual.at_percents): {known}"
            )
        approval = Approval(
            approved=not deny,
            by=whoever_runs_this(),
            because=because.strip(),
            at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        )
        Approvals(session.store).leave(rollout_id, step, approval)
        console.console.print(f"{'denied' if deny else 'approved'}: {step} %, by {approval.by}")


def rollout_under_way(records: Sequence[Record]) -> str:
    """Return the id of the rollout that has begun and not ended.

    Raises:
        RefusedError: there is none.
    """
    last = next((record for record in reversed(records) if record["kind"] in ("started", "finished")), None)
    if last is None or last["kind"] == "finished":
        raise RefusedError("no rollout is under way, so nothing waits for approval")
    return str(last["rollout"])


def step_that_waits(records: Sequence[Record]) -> int:
    """Return the step whose weight was asked for last.

    Raises:
        RefusedError: the ramp has not come to its first step; name one with --percent to approve it beforehand.
    """
    for record in reversed(records):
        if record["kind"] == "started":
            break
        if record["kind"] == "weight":
            return cast(int, cast(Any, record)["candidate_percent"])
    raise RefusedError("--percent: the ramp has not come to its first step; name the step to approve it beforehand")


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
