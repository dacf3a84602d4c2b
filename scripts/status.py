"""Show the status of a service: rule, config, colours, releases, replicas, targets, and the last rollout."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from components.domain.capacity.headroom import headroom_lines
from components.domain.moments import format_or_empty
from rollout.model.errors import RefusedError
from rollout.session import Place, Session
from rollout.status import Status, read_status
from scripts import console, status_screen
from scripts.console import JsonOption, Script, ServiceOption, StackOption, WorkDirOption

SCRIPT = Script(
    examples=(
        ("python -m scripts.status --stack prod", "what rule, config, pods and targets say, side by side"),
        ("python -m scripts.status --stack prod --watch --every 5", "live, while another process runs the ramp"),
    )
)


def main(
    stack: StackOption,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it live, until Ctrl-C.")] = False,
    every_seconds: Annotated[float, typer.Option("--every", min=0.5, max=3600, help="Seconds between looks.")] = 2.0,
    json_output: JsonOption = False,
) -> None:
    """Show the state of the load balancer, the config and Kubernetes. Exit code 3 means that they do not agree, or that
    something else needs a person; every problem is named.
    """
    with console.refusals(SCRIPT, json_output=json_output):
        if watch and json_output:
            raise RefusedError("--json: prints the status once; leave --watch out, and run it again as often as needed")
        session = Session(Place(stack=stack, service=service, work_dir=work_dir.resolve()), "status")
        if watch:
            status_screen.watch(lambda: read_status(session), session.read_again, every_seconds=every_seconds)
            return
        status = read_status(session)
    if json_output:
        console.print_json(status.as_json())
    else:
        show(status)
    if status.problems:
        raise typer.Exit(console.EXIT_NEEDS_HUMAN)


def show(status: Status) -> None:
    """Print a status for a person."""
    console.console.print(f"[bold]{status.service}[/]: {status.active_color} is active")
    console.print_table(status_screen.colors(status))
    rule, config = console.known(status.green_weight_of_rule), status.green_weight_of_config
    console.console.print(f"green_weight: rule {rule}, config {config}")
    console.console.print(
        f"rollout_serial: rule {console.known(status.serial_of_rule)}, config {status.serial_of_config}"
    )
    console.console.print(f"keep_until: {format_or_empty(status.keep_until) or '–'}")
    for line in (status.kept, status.brought_up, status.way_back, *headroom_lines(status.headroom)):
        if line is not None:
            console.console.print(line)
    console.console.print(f"under way: {escape(status.rollout_under_way or '–')}")
    if last := status.last_rollout:
        console.console.print(f"last: {escape(last['summary'])}")
    for problem in status.problems:
        console.console.print(f"[bold red]problem[/]: {escape(problem)}")


if __name__ == "__main__":
    console.run(main, SCRIPT)
