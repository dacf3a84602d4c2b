"""Put all traffic back: during a ramp, during the soak, and until the former colour's time to stay warm is over."""

from pathlib import Path
from typing import Annotated

import typer

from rollout.model.errors import RefusedError
from scripts import console
from scripts.console import ServiceOption, StackOption, WorkDirOption


def main(
    stack: StackOption,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    reason: Annotated[str, typer.Option(help="Why, for the journal.")] = "asked for by an operator",
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Go back even when no target there is healthy; there must be targets, and you must know why.",
        ),
    ] = False,
) -> None:
    """Put all traffic back at once, end a running ramp, then bring config and state in line and park the candidate.

    Here exit code 0 means that traffic is back and everything agrees. The rule is updated before anything else: that
    needs neither journal nor Pulumi's backend, nor a config file. When what follows cannot be done, exit code 5 says
    that traffic is back, and the message what remains.
    """
    with console.refusals():
        # Before all imports that are not needed for it: users are on a candidate that fails.
        from rollout.direct_update import send_back

        config_file = work_dir / f"Pulumi.{stack}.yaml"
        try:
            moved = send_back(stack, service, config_file, force=force)
        except RefusedError:
            raise
        except Exception:  # whatever it met, the longer way below meets it too, and knows to say what to do about it
            moved = None
        if moved is not None:
            console.console.print(f"all traffic is on {moved.to} since {moved.at:%H:%M:%S.%f} UTC")

        from rollout.commands import roll_back, unreconciled
        from rollout.model.machine import Phase
        from rollout.session import Place, Session

        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        try:
            session = Session(place, "rollback", console.Progress().tell)
        except Exception as error:
            if moved is None:
                raise
            raise unreconciled(moved.to, error) from error
        rollout = roll_back(session, reason, moved, force=force)
        if rollout.phase is not Phase.ROLLED_BACK:
            console.end(rollout)


if __name__ == "__main__":
    console.run(main)
