"""Change the keep-warm window of the idle colour, during which a rollback is possible at once."""

from pathlib import Path
from typing import Annotated

import typer

from rollout.commands import keep
from rollout.session import Place, Session
from scripts import console
from scripts.console import CtrlC, JsonOption, Script, ServiceOption, StackOption, WorkDirOption

SCRIPT = Script(
    examples=(
        ("python -m scripts.keep --stack prod --until +24h", "keep the way back warm for a day from now"),
        (
            'python -m scripts.keep --stack prod --until +1h --shorten "the GPUs are needed"',
            "give it up earlier than planned",
        ),
    ),
    ctrl_c=CtrlC(
        safe="Users are safe: only the rule's tags change.",
        remains="Once its preview has begun, the change is made to its end; that takes seconds.",
        command="scripts.status says until when the colour is kept; run scripts.keep again to change it.",
    ),
)


def main(
    stack: StackOption,
    until: Annotated[
        str,
        typer.Option(help="RFC 3339 time (2026-12-24T08:00:00Z), or a time from now: +90m, +24h, +3d."),
    ],
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    shorten: Annotated[
        str, typer.Option(help="Permit an earlier time than before; the reason is for the journal.", metavar="REASON")
    ] = "",
    json_output: JsonOption = False,
) -> None:
    """Change keep_until with one previewed update of the rule's tags, and show what the warm colour costs."""
    with console.refusals(SCRIPT, json_output=json_output) as output:
        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        session = Session(place, "keep", output.show, SCRIPT.interrupted)
        keep(session, until, shorten)
        output.end("done", reason=shorten.strip())


if __name__ == "__main__":
    console.run(main, SCRIPT)
