"""Practise a rollback while the idle colour is kept warm: send it one percent of traffic, and measure the way back."""

from pathlib import Path

from scripts import console
from scripts.console import ServiceOption, StackOption, WorkDirOption


def main(stack: StackOption, service: ServiceOption = None, work_dir: WorkDirOption = Path()) -> None:
    """Send one percent of traffic to the idle colour, move it back as a rollback would, and record the times."""
    with console.refusals():
        from rollout.commands import drill
        from rollout.session import Place, Session

        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        drill(Session(place, "drill", console.Progress().tell))


if __name__ == "__main__":
    console.run(main)
