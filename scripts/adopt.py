"""Write the state of the live rule into a config file that is behind it."""

from pathlib import Path

from rollout.commands import adopt
from rollout.session import Place, Session
from scripts import console
from scripts.console import CtrlC, Script, ServiceOption, StackOption, WorkDirOption

SCRIPT = Script(
    examples=(
        ("python -m scripts.adopt --stack prod", "write the live weight, colours and serial into Pulumi.prod.yaml"),
        (
            "python -m scripts.adopt --stack prod --service chat --work-dir infra",
            "of one service, for the project in infra",
        ),
    ),
    ctrl_c=CtrlC(
        safe="The config file is as it was, or complete; nothing else is touched.",
        remains="Nothing remains by halves.",
        command="run scripts.adopt again.",
    ),
)


def main(stack: StackOption, service: ServiceOption = None, work_dir: WorkDirOption = Path()) -> None:
    """Bring a stale Pulumi.<stack>.yaml in line with the live rule. Comments stay, and nothing else changes.

    The rule does not contain releases. If a release differs, nothing is written, and you must pull the newest file.
    """
    with console.refusals(SCRIPT):
        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        session = Session(place, "adopt", on_signal=SCRIPT.interrupted)
        written = adopt(session)
        for key, value in written.items():
            console.console.print(f"{key}: {value if value != '' else chr(34) * 2}")
        if not written:
            console.console.print("the config file matches the live rule")


if __name__ == "__main__":
    console.run(main, SCRIPT)
