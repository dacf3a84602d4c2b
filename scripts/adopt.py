"""Write the state of the live rule into a config file that is behind it."""

from pathlib import Path

from rollout.commands import adopt
from rollout.session import Place, Session
from scripts import console
from scripts.console import ServiceOption, StackOption, WorkDirOption


def main(stack: StackOption, service: ServiceOption = None, work_dir: WorkDirOption = Path()) -> None:
    """Bring a stale Pulumi.<stack>.yaml in line with the live rule. Comments stay, and nothing else changes.

    The rule does not contain releases. If a release differs, nothing is written, and you must pull the newest file.
    """
    with console.refusals():
        session = Session(Place(stack=stack, service=service, work_dir=work_dir.resolve()), "adopt")
        written = adopt(session)
        for key, value in written.items():
            console.console.print(f"{key}: {value if value != '' else chr(34) * 2}")
        if not written:
            console.console.print("the config file matches the live rule")


if __name__ == "__main__":
    console.run(main)
