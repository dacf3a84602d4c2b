"""Practise a rollback while the idle colour is kept warm: send it one percent of traffic, and measure the way back."""

from pathlib import Path

from scripts import console
from scripts.console import CtrlC, IfWarmOption, JsonOption, Script, ServiceOption, StackOption, WorkDirOption

SCRIPT = Script(
    examples=(
        ("python -m scripts.drill --stack prod", "send 1 % to the colour that is kept warm, and time the way back"),
        ("python -m scripts.drill --stack acme/prod --service chat", "the same for one of several services"),
    ),
    ctrl_c=CtrlC(
        safe="The drill ends. Users are safe: the 1 % goes back before that.",
        remains="Config and state follow; wait for the end.",
        command="scripts.rollback if the process was killed before its end, else scripts.drill again.",
        ended="Traffic, config and state are as before the drill. To go on: scripts.drill again.",
    ),
)


def main(
    stack: StackOption,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    if_warm: IfWarmOption = False,
    json_output: JsonOption = False,
) -> None:
    """Send one percent of traffic to the idle colour, move it back as a rollback would, and record the times."""
    with console.refusals(SCRIPT, json_output=json_output) as output:
        from rollout.commands import drill
        from rollout.model.errors import NotWarmError
        from rollout.session import Place, Session

        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        session = Session(place, "drill", output.show, SCRIPT.interrupted)
        with output.unless_due(session, "no drill", NotWarmError, on_a_schedule=if_warm):
            drill(session)
        output.end("done")


if __name__ == "__main__":
    console.run(main, SCRIPT)
