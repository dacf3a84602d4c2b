"""The live view of `scripts.status --watch`: one screen on a terminal, else the journal's new lines."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from components.domain.moments import format_rfc3339
from rollout.model.errors import RolloutError
from rollout.model.records import Record
from rollout.model.verdict import Verdict
from rollout.report.explanation import duration, evidence_share
from rollout.report.facts import Process, Readings
from rollout.report.progress import Progress, progress_of
from rollout.status import Status
from scripts import console
from scripts.wait_line import wait_line

_VERDICTS = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "yellow"}
_METER = 10


def watch(
    read_status: Callable[[], Status], read_records: Callable[[], Sequence[Record]], *, every_seconds: float
) -> None:
    """Show a service until Ctrl-C. Reading it again and again changes nothing, and takes no lock.

    Args:
        read_status: reads rule, config and cluster.
        read_records: reads the journal.
        every_seconds: the pause between two looks.
    """
    try:
        if console.console.is_terminal:
            _screen(read_status, read_records, every_seconds)
        else:
            _lines(read_status, read_records, every_seconds)
    except KeyboardInterrupt:
        console.console.print("no longer watching; what runs goes on")


def _screen(
    read_status: Callable[[], Status], read_records: Callable[[], Sequence[Record]], every_seconds: float
) -> None:
    # Reading takes a while. Until then the last view stays, so nothing flickers.
    first = Text("reading rule, config and cluster …")
    with wait_line.paused(), Live(first, console=console.console, screen=True, auto_refresh=False) as live:
        live.refresh()
        while True:
            now = datetime.now(UTC)
            try:
                progress = progress_of(read_records(), now)
                shown = view(read_status(), progress, now)
            except RolloutError as error:  # a source is down, and may be back at the next look
                shown = Text(f"{now:%H:%M:%S} UTC: {error}")
            live.update(shown, refresh=True)
            time.sleep(every_seconds)


def _lines(
    read_status: Callable[[], Status], read_records: Callable[[], Sequence[Record]], every_seconds: float
) -> None:
    now = datetime.now(UTC)
    records = read_records()
    console.print_table(view(read_status(), progress_of(records, now), now))
    shown, lines = max((one.seq for one in records), default=0), console.RecordLines()
    while True:
        time.sleep(every_seconds)
        try:
            records = read_records()
        except RolloutError as error:
            console.console.print(f"{datetime.now(UTC):%H:%M:%S} {escape(str(error))}")
            continue
        for record in records:
            if record.seq > shown:
                shown = record.seq
                lines.show(record)


def view(status: Status, progress: Progress | None, now: datetime) -> RenderableType:
    """Return a service as one screen of 100 by 30."""
    parts: list[RenderableType] = [_headline(status, now), colors(status), *map(_problem, status.problems)]
    if progress is None:
        parts += [Text.from_markup(line) for line in _idle(status, now)]
    else:
        parts += [Text.from_markup(line, overflow="ellipsis") for line in _running(progress)]
        if progress.gates:
            parts.append(_gates(progress.gates))
        parts += [_event(progress, place) for place in range(len(progress.events))]
    for part in parts:
        if isinstance(part, Text):
            part.no_wrap, part.overflow = True, "ellipsis"
    return Group(*parts)


def colors(status: Status) -> Table:
    """Return both colours as a table."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for heading in ("colour", "weight", "release", "replicas ready", "targets healthy", "nodes"):
        # On a narrow terminal a long cell, such as a release that is parked, goes on in the next line.
        table.add_column(heading, overflow="fold")
    for name, color in status.colors.items():
        table.add_row(
            Text(name, style=name),
            ", ".join((console.known(color.weight, " %"), *color.cohorts)),
            (color.release_id or "–") + (" (parked)" if color.parked else ""),
            f"{console.known(color.replicas_ready)} of {color.replicas_wanted}"
            + ("" if color.replicas_most is None else f" to {color.replicas_most}"),
            f"{console.known(color.targets_healthy)} of {console.known(color.targets_total)}",
            {True: "up", False: "given back", None: "others'"}[color.nodes_wanted],
        )
    return table


def _headline(status: Status, now: datetime) -> Text:
    asked, config = console.known(status.green_weight_of_rule), status.green_weight_of_config
    weight = (
        f"green_weight {asked}" if status.green_weight_of_rule == config else f"green_weight {asked}, config {config}"
    )
    return Text.from_markup(
        f"[bold]{status.service}[/]: {status.active_color} is active, {weight}   [dim]{now:%H:%M:%S} UTC[/]"
    )


def _problem(problem: str) -> Text:
    return Text.from_markup(f"[bold red]problem[/]: {escape(problem)}")


def _idle(status: Status, now: datetime) -> list[str]:
    lines = [""]
    if status.keep_until is not None and status.keep_until > now:
        left = duration((status.keep_until - now).total_seconds())
        lines.append(f"the way back stays warm for {left}, until {format_rfc3339(status.keep_until)}")
    lines += [escape(line) for line in (status.kept, status.brought_up, status.way_back) if line is not None]
    lines.append(f"under way: {escape(status.rollout_under_way or '–')}")
    if last := status.last_rollout:
        lines.append(f"last: {escape(last['summary'])}")
        lines.append("[dim]scripts.explain says why[/]")
    return lines


def _running(progress: Progress) -> list[str]:
    report, hold = progress.report, progress.hold
    what = (
        f"release {report.release_id} onto {report.candidate}"
        if report.release_id
        else f"rollback from {report.candidate}"
    )
    lines = ["", f"[bold]{escape(what)}[/]: [bold cyan]{progress.phase}[/] for {duration(progress.phase_seconds)}"]
    if hold is not None:
        left = progress.planned_left_seconds
        planned = f"planned end in {duration(left)}" if left > 0 else f"{duration(-left)} over its planned end"
        lines.append(
            f"{'soak' if hold.step is None else f'step of {hold.name}'}: {planned}, without a verdict at the latest in "
            f"{duration(progress.longest_left_seconds)}"
        )
    if report.weights:
        last = report.weights[-1]
        seen = "not counted yet" if last.observed_percent is None else f"{last.observed_percent:.1f} % counted"
        asked = f"cohort: {last.cohort}" if last.cohort else f"weight: {last.candidate_percent} %"
        lines.append(f"{asked} asked, {seen}")
    if report.candidate_usd_per_hour is not None:
        lines.append(f"cost of {report.candidate}'s nodes: {report.candidate_usd_per_hour:.2f} USD an hour")
    lines.append(_people(progress.started_by, progress.now_by))
    return lines


def _people(started: Process | None, now: Process | None) -> str:
    def who(process: Process) -> str:
        by = process.user or "somebody"
        return escape(f"scripts.{process.command} by {by} {process.run_url or f'on {process.host}'}".rstrip())

    if started is None or now is None:
        return "started by: unknown"
    return f"started: {who(started)}" + ("" if now is started else f"; now: {who(now)}")


def _gates(gates: Sequence[Readings]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, width in (("gate", 20), ("verdict", 12), ("evidence against", 16)):
        table.add_column(heading, no_wrap=True, overflow="ellipsis", min_width=width)
    table.add_column("what it saw", ratio=1)  # what is left; a text that is longer ends with an ellipsis
    for gate in gates:
        verdict, share = gate.last.verdict, evidence_share(gate.last.evidence)
        table.add_row(
            f"{gate.name}{' (dry run)' if gate.dry_run else ''}",
            f"[{_VERDICTS[verdict]}]{verdict}[/]",
            "–" if share is None else _meter(share),
            Text(gate.last.reason, no_wrap=True, overflow="ellipsis"),
        )
        for one in gate.last.slices:
            share = evidence_share(one.evidence)
            table.add_row(
                Text(f"  {one.name}", no_wrap=True, overflow="ellipsis"),
                f"[{_VERDICTS[one.verdict]}]{one.verdict}[/]" if one.decides else "[dim]no verdict[/]",
                "–" if share is None else _meter(share),
                Text(one.reason, no_wrap=True, overflow="ellipsis"),
            )
    return table


def _meter(share: float) -> str:
    filled = round(min(1.0, share) * _METER)
    return f"{'█' * filled}{'░' * (_METER - filled)} {min(share, 9.99):4.0%}"


def _event(progress: Progress, place: int) -> Text:
    event = progress.events[place]
    return Text.from_markup(f"[dim]{event.at:%H:%M:%S}[/] {console.event_markup(event)}")
