"""Release the idle colour's replicas and nodes after its keep-warm window."""

from pathlib import Path
from typing import Annotated

import typer

from rollout.commands import reap
from rollout.model.errors import KeepWarmError
from rollout.session import Place, Session
from scripts import console
from scripts.console import CtrlC, JsonOption, Script, ServiceOption, StackOption, WorkDirOption

SCRIPT = Script(
    examples=(
        ("python -m scripts.reap --stack prod", "park the idle colour, and give its nodes back"),
        (
            "python -m scripts.reap --stack prod --if-due",
            "the same on a schedule: no error while the colour is kept warm",
        ),
    ),
    ctrl_c=CtrlC(
        safe="Users are safe: the colour that is reaped has no traffic.",
        remains="It may be half parked, and its nodes cost money until they are given back.",
        command="scripts.reap again.",
    ),
)


def main(
    stack: StackOption,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    if_due: Annotated[
        bool,
        typer.Option("--if-due", help="Exit with code 0 while the colour is kept warm or a rollout runs."),
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Park the idle colour, wait until its pods are gone, then release its nodes."""
    with console.refusals(SCRIPT, json_output=json_output) as output:
        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        session = Session(place, "reap", output.show, SCRIPT.interrupted)
        with output.unless_due(session, "not due", KeepWarmError, on_a_schedule=if_due):
            try:
                rollout = reap(session)
            except KeepWarmError:
                if if_due:
                    session.notify_reap_due()
                raise
        if rollout is None:
            output.nothing_done("nothing to reap")
        else:
            output.end_of(rollout, session.report)


if __name__ == "__main__":
    console.run(main, SCRIPT)
