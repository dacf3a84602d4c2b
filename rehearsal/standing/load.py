"""Live traffic for manual work: shown while it runs, counted when it ends."""

import time
from collections.abc import Mapping

import httpx
from rich.console import Console
from rich.table import Table

from rehearsal.load.records import Summary, by_color, summarize
from rehearsal.report.journal import JournalTail
from rehearsal.report.result import read_requests
from rehearsal.report.rule import weights_asked
from rehearsal.report.view import LiveView
from rehearsal.standing.worlds import Record, StandingError
from rehearsal.system.processes import Process, ProcessError
from rehearsal.world.checkout import SERVICE, STACK
from rehearsal.world.leftovers import own_processes
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.traffic import LOAD, start_load
from rehearsal.world.world import World

_GENERATOR = b"rehearsal.load"
_TICK_SECONDS = 0.1
_LONGEST_ANSWER_SECONDS = 30.0


def load_by_hand(record: Record, settings: RehearsalSettings, console: Console, seconds: float | None) -> int:
    """Send traffic until Ctrl-C or for some seconds. Return how many requests failed.

    Raises:
        StandingError: there is no service to send requests to, or other traffic runs.
        ProcessError: the generator ended early or failed.
    """
    with record.world() as world:
        _check(record, world)
        world.requests_log.unlink(missing_ok=True)
        (world.logs / f"{LOAD}.log").unlink(missing_ok=True)
        load = start_load(world, settings)
        try:
            _watch(world, load, console, seconds)
            load.terminate()
            if not load.wait(_LONGEST_ANSWER_SECONDS) or load.exit_code != 0:
                raise ProcessError(f"the load generator failed ({load.exit_code}); see {load.log}")
        except httpx.HTTPError as error:
            raise StandingError(f"world {record.name} no longer answers ({error})") from error
        finally:
            load.stop()
        records = read_requests(world.requests_log, world.access_log)
    whole = summarize(records)
    console.print(_table(whole, by_color(records)))
    return whole.failed


def _check(record: Record, world: World) -> None:
    """Raise StandingError when traffic cannot start now."""
    try:
        weights = weights_asked(world.aws)
    except httpx.HTTPError as error:
        raise StandingError(f"the load balancer does not answer ({error}); see `status`") from error
    if not weights:
        raise StandingError(f"world {record.name} has no load balancer rule yet; run `pulumi up` first")
    for process in own_processes(world.folder):
        if _GENERATOR in process.words:
            raise StandingError(f"process {process.pid} already sends traffic to world {record.name}")


def _watch(world: World, load: Process, console: Console, seconds: float | None) -> None:
    """Show the traffic until Ctrl-C, the time limit or the end of the generator."""
    deadline = None if seconds is None else time.monotonic() + seconds
    try:
        with LiveView(console) as view:
            view.say(f"live traffic on {world.endpoint_url}" + ("; Ctrl-C ends it" if seconds is None else ""))
            view.follow(world, JournalTail(world.checkout / ".rollout" / STACK / f"{SERVICE}.jsonl"))
            while load.running and (deadline is None or time.monotonic() < deadline):
                view.tick()
                time.sleep(_TICK_SECONDS)
    except KeyboardInterrupt:
        console.print("waiting for open answers")


def _table(whole: Summary, colors: Mapping[str | None, Summary]) -> Table:
    table = Table(title="outcome of every request", title_justify="left")
    for heading in ("colour", "requests", "lost", "streams", "streams broken", "p95 first token"):
        table.add_column(heading, justify="left" if heading == "colour" else "right")
    for color in ("blue", "green", None):
        if color in colors:
            _add(table, color or "none named", colors[color])
    _add(table, "all", whole)
    return table


def _add(table: Table, name: str, summary: Summary) -> None:
    p95 = summary.ttft_p95_seconds
    table.add_row(
        name,
        str(summary.total),
        str(summary.failed),
        str(summary.streams),
        str(summary.streams_broken),
        "–" if p95 is None else f"{p95 * 1000:.0f} ms",
    )
