"""Show the status of a service: rule, config, colours, releases, replicas, targets, and the last rollout."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from components.domain.moments import format_or_empty
from rollout.session import Place, Session
from rollout.status import Status, read_status
from scripts import console
from scripts.console import ServiceOption, StackOption, WorkDirOption


def main(
    stack: StackOption,
    service: ServiceOption = None,
    work_dir: WorkDirOption = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the state of the load balancer, the config and Kubernetes. Exit code 3 means that they do not agree."""
    with console.refusals():
        status = read_status(Session(Place(stack=stack, service=service, work_dir=work_dir.resolve()), "status"))
    if as_json:
        typer.echo(json.dumps(status.as_json(), indent=2))
    else:
        show(status)
    if status.problems:
        raise typer.Exit(console.EXIT_NEEDS_HUMAN)


def show(status: Status) -> None:
    """Print a status for a person."""
    table = Table(title=f"{status.service}: {status.active_color} is active")
    for heading in ("colour", "weight", "release", "replicas ready", "targets healthy", "nodes"):
        table.add_column(heading)
    for name, color in status.colors.items():
        table.add_row(
            name,
            _known(color.weight, " %"),
            (color.release_id or "–") + (" (parked)" if color.parked else ""),
            f"{_known(color.replicas_ready)} of {color.replicas_wanted}",
            f"{_known(color.targets_healthy)} of {_known(color.targets_total)}",
            "up" if color.nodes_wanted else "given back",
        )
    console.console.print(table)
    rule, config = _known(status.green_weight_of_rule), status.green_weight_of_config
    console.console.print(f"green_weight: rule {rule}, config {config}")
    console.console.print(f"rollout_serial: rule {_known(status.serial_of_rule)}, config {status.serial_of_config}")
    console.console.print(f"keep_until: {format_or_empty(status.keep_until) or '–'}")
    for line in (status.kept, status.brought_up):
        if line is not None:
            console.console.print(line)
    console.console.print(f"under way: {escape(status.rollout_under_way or '–')}")
    if last := status.last_rollout:
        outcome = last["outcome"] or "not finished"
        console.console.print(
            f"last rollout: {last['release_id']} onto {last['candidate']}, {last['started_at']}: "
            f"{outcome} {escape(last['reason'] or '')}".rstrip()
        )
    for problem in status.problems:
        console.console.print(f"[bold red]problem[/]: {escape(problem)}")


def _known(value: int | None, unit: str = "") -> str:
    return "?" if value is None else f"{value}{unit}"


if __name__ == "__main__":
    console.run(main)
