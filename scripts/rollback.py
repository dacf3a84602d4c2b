"""Put all traffic back: during a ramp, during the soak, and until the former colour's time to stay warm is over."""

from pathlib import Path
from typing import Annotated

import typer

from rollout.commands import roll_back
from rollout.machine import Phase
from rollout.session import Place, Session
from scripts import console
from scripts.console import ServiceOption, StackOption, WorkDirOption


def main(
    stack: StackOption,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    reason: Annotated[str, typer.Option(help="Why, for the journal.")] = "asked for by an operator",
) -> None:
    """Put all traffic back at once, end a running ramp, then bring config and state in line and park the candidate.

    Here exit code 0 means that traffic is back and everything agrees.
    """
    with console.refusals():
        session = Session(
            Place(stack=stack, service=service, work_dir=work_dir.resolve()), "rollback", console.Progress().tell
        )
        rollout = roll_back(session, reason)
        if rollout.phase is not Phase.ROLLED_BACK:
            console.end(rollout)


if __name__ == "__main__":
    console.run(main)
