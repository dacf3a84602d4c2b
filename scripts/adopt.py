"""Write what the live rule says into a config file that is behind it."""

from pathlib import Path

from rollout.commands import adopt
from rollout.session import Place, Session
from scripts import console
from scripts.console import ServiceOption, StackOption, WorkDirOption


def main(stack: StackOption, service: ServiceOption = None, work_dir: WorkDirOption = Path()) -> None:
    """Bring a stale Pulumi.<stack>.yaml in line with the live rule; comments stay, and nothing but the file changes.

    Releases are not on the rule: where one differs, nothing is written, and the newest file must be pulled.
    """
    with console.refusals():
        session = Session(Place(stack=stack, service=service, work_dir=work_dir.resolve()), "adopt")
        written = adopt(session)
        for key, value in written.items():
            console.console.print(f"{key}: {value if value != '' else chr(34) * 2}")
        if not written:
            console.console.print("the config file says what the live rule says")


if __name__ == "__main__":
    console.run(main)
