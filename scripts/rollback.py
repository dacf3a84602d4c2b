"""Send all traffic back: during a ramp, during the soak, and until the keep-warm window of the old colour ends."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rollout.model.errors import RefusedError
from rollout.system.clock import StopSignal
from scripts import console
from scripts.console import CtrlC, JsonOption, Output, Script, ServiceOption, StackOption, WorkDirOption

SCRIPT = Script(
    examples=(
        ('python -m scripts.rollback --stack prod --because "answers are cut off"', "send all traffic back now"),
        (
            "python -m scripts.rollback --stack prod --service chat --force",
            "even if no target there is healthy, because checks are wrong",
        ),
    ),
    ctrl_c=CtrlC(
        safe="A rollback does not end: all traffic goes back first, within seconds.",
        remains="Config, state and the candidate's pods follow; that takes minutes, so wait for the end.",
        command="scripts.rollback again if the process was killed before its end.",
    ),
)


def main(
    stack: StackOption,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    because: Annotated[
        str, typer.Option("--because", "--reason", help="The reason, for the journal.")
    ] = "asked for by an operator",
    if_own: Annotated[
        bool,
        typer.Option(
            "--if-own",
            help="Only a rollout that this CI run began or resumed, and did not finish. If there is none, exit with 0.",
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Roll back even if no target of that colour is healthy. It must have targets, and you must know why.",
        ),
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Send all traffic back at once, end a running ramp, then update config and state and park the candidate.

    Exit code 0 means that all traffic is back, and that config and state agree with the rule. The rule is updated
    first, without the journal, Pulumi's backend or a config file. If a later step fails, exit code 5 means that all
    traffic is back, and the message says what remains to be done.
    """
    with console.refusals(SCRIPT, json_output=json_output) as output:
        StopSignal(on_signal=SCRIPT.interrupted).listen()  # From here on, nothing ends a rollback half-way.
        if if_own:
            _roll_back_own(stack, service, work_dir, because, output, force=force)
            return
        # This comes before all other imports, because users may be on a failing candidate.
        from rollout.direct_update import send_back

        try:
            moved = send_back(stack, service, work_dir, force=force)
        except RefusedError:
            raise
        except Exception:  # the slower path below meets the same error, and its message says what to do
            moved = None
        if moved is not None:
            output.say(f"{moved.share} on {moved.to} since {moved.at:%H:%M:%S.%f} UTC")

        from rollout.commands import roll_back, unreconciled
        from rollout.model.machine import Phase
        from rollout.session import Place, Session

        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        try:
            session = Session(place, "rollback", output.show, SCRIPT.interrupted)
        except Exception as error:
            if moved is None:
                raise
            raise unreconciled(moved.to, moved.green_weight, error) from error
        rollout = roll_back(session, because, moved, force=force)
        output.end_of(rollout, session.report, wanted=Phase.ROLLED_BACK)


def _roll_back_own(
    stack: str, service: str | None, work_dir: Path, reason: str, output: Output, *, force: bool
) -> None:
    """Roll back what this CI run left unfinished, by the journal. Slower than a rollback by the rule's tags."""
    from rollout.commands import roll_back_own
    from rollout.model.machine import Phase
    from rollout.session import Place, Session
    from rollout.system.origin import ci_run_url

    run_url = ci_run_url(os.environ)
    if not run_url:
        raise RefusedError(
            "--if-own: this is no CI run: neither GITHUB_RUN_ID (with GITHUB_SERVER_URL and GITHUB_REPOSITORY) nor "
            "CI_JOB_URL is set. Set CI_JOB_URL to what names the run, for the ramp too, or leave --if-own out"
        )
    place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
    session = Session(place, "rollback", output.show, SCRIPT.interrupted)
    rollout = roll_back_own(session, reason, run_url, force=force)
    if rollout is None:
        output.nothing_done("nothing to roll back: this CI run has left no rollout that changed anything")
    else:
        output.end_of(rollout, session.report, wanted=Phase.ROLLED_BACK)


if __name__ == "__main__":
    console.run(main, SCRIPT)
