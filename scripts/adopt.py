"""Write the state of the live rule into a config file that is behind it."""

from pathlib import Path

from rollout.commands import adopt
from rollout.session import Place, Session
from scripts import console
from scripts.console import CtrlC, JsonOption, Script, ServiceOption, StackOption, WorkDirOption

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
        remains="Nothing is left unfinished.",
        command="run scripts.adopt again.",
    ),
)


def main(
    stack: StackOption,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    json_output: JsonOption = False,
) -> None:
    """Bring a stale Pulumi.<stack>.yaml in line with the live rule. Comments stay, and nothing else changes.

    The rule does not contain releases. If a release differs, nothing is written, and you must pull the newest file.
    """
    with console.refusals(SCRIPT, json_output=json_output) as output:
        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        session = Session(place, "adopt", on_signal=SCRIPT.interrupted)
        written = adopt(session)
        if not written:
            output.nothing_done("the config file matches the live rule")
            return
        lines = [f"{key}: {value if value != '' else chr(34) * 2}" for key, value in written.items()]
        output.end("adopted", *lines, written=written)


if __name__ == "__main__":
    console.run(main, SCRIPT)
