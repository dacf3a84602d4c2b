"""Check the promoted colour and its way back, every few minutes until the reap; roll back when a gate fails."""

from pathlib import Path

from pydantic import JsonValue

from scripts import console
from scripts.console import (
    EXIT_DONE,
    EXIT_NEEDS_HUMAN,
    CtrlC,
    IfWarmOption,
    JsonOption,
    Script,
    ServiceOption,
    StackOption,
    WorkDirOption,
)

SCRIPT = Script(
    examples=(
        ("python -m scripts.watch --stack prod", "look once, with all looks before; roll back if a gate fails"),
        ("python -m scripts.watch --stack prod --if-warm", "the same as a scheduled job, every ten minutes"),
    ),
    ctrl_c=CtrlC(
        safe="A look changes nothing. A rollback that has begun does not end: all traffic goes back first.",
        remains="The next look counts from where the last one ended.",
        command="scripts.watch again.",
    ),
)


def main(
    stack: StackOption,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    if_warm: IfWarmOption = False,
    json_output: JsonOption = False,
) -> None:
    """Check the promoted colour by all requests since its promotion, and whether the old colour could take over.

    The old colour has no requests, so only the gates' fixed limits apply. The evidence grows from look to look, but all
    looks together keep one false-alarm rate: a look every ten minutes finds what a look every second would find.

    Exit code 0: no gate failed, and the way back is ready. 1: a gate failed, and all traffic is back. 3: a gate failed
    and rollout.watch.on_failure is alarm, or the way back is at risk, or a source of figures did not answer.
    """
    with console.refusals(SCRIPT, json_output=json_output) as output:
        from rollout.commands import roll_back
        from rollout.model.errors import NotWarmError
        from rollout.session import Place, Session
        from rollout.watch import look

        place = Place(stack=stack, service=service, work_dir=work_dir.resolve())
        session = Session(place, "watch", output.show, SCRIPT.interrupted)
        with output.unless_due(session, "no look", NotWarmError, on_a_schedule=if_warm):
            seen = look(session)
        for line in seen.lines():
            output.say(line)
        if seen.failure is not None and session.settings().rollout.watch.on_failure == "rollback":
            rollout = roll_back(session, f"the watch after the promotion: {seen.failure}")
            output.end_of(rollout, session.report)
            return
        problems = [*([] if seen.failure is None else [seen.failure]), *seen.at_risk, *seen.unread]
        fields: dict[str, JsonValue] = seen.as_json()
        output.end(
            "failed" if seen.failure else "at_risk" if problems else "well",
            reason="; ".join(problems),
            exit_code=EXIT_NEEDS_HUMAN if problems else EXIT_DONE,
            **fields,
        )


if __name__ == "__main__":
    console.run(main, SCRIPT)
