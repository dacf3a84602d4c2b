"""Send all traffic back: during a ramp, during the soak, and until the keep-warm window of the former colour ends."""

from pathlib import Path
from typing import Annotated

import typer

from rollout.model.errors import RefusedError
from scripts import console
from scripts.console import CtrlC, Script, ServiceOption, StackOption, WorkDirOption

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
        early="It is unknown whether the rule was set.",
    ),
)


def main(
    stack: StackOption,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    because: Annotated[
        str, typer.Option("--because", "--reason", help="The reason, for the journal.")
    ] = "asked for by an operator",
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Roll back even if no target of that colour is healthy. It must have targets, and you must know why.",
        ),
    ] = False,
) -> None:
    """Send all traffic back at once, end a running ramp, then update config and state and park the candidate.

    Exit code 0 means that all traffic is back, and that config and state agree with the rule. The rule is updated
    first, without the journal, Pulumi's backend or a config file. If a later step fails, exit code 5 means that all
    traffic is back, and the message says what remains to be done.
    """
    with console.refusals(SCRIPT):
        # This comes before all other imports, because users may be on a failing candidate.
        from rollout.direct_update import send_back

        try:
            moved = send_back(stack, service, work_dir, force=force)
        except RefusedError:
            raise
        except Exception:  # the slower path below meets the same error, and its message says what to do
            moved = None
        if moved is not None:
            console.console.print(f"all traffic is on {moved.to} since {moved.at:%H:%M:%S.%f} UTC")

        from rollout.commands import roll_back, unreconciled
        from rollout.model.machine import Phase
        from rollout.session import Place, Session

        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        try:
            session = Session(place, "rollback", console.Progress().tell, SCRIPT.interrupted)
        except Exception as error:
            if moved is None:
                raise
            raise unreconciled(moved.to, error) from error
        rollout = roll_back(session, because, moved, force=force)
        if rollout.phase is not Phase.ROLLED_BACK:
            console.end(rollout)


if __name__ == "__main__":
    console.run(main, SCRIPT)
