"""Practise a rollback: one percent of traffic to the idle colour and back, measured, while that colour is kept warm."""

from pathlib import Path

from scripts import console
from scripts.console import ServiceOption, StackOption, WorkDirOption


def main(stack: StackOption, service: ServiceOption = None, work_dir: WorkDirOption = Path()) -> None:
    """Send one percent to the idle colour, take it back as a rollback would, and record how long that took."""
    with console.refusals():
        from rollout.commands import drill
        from rollout.session import Place, Session

        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        drill(Session(place, "drill", console.Progress().tell))


if __name__ == "__main__":
    console.run(main)
