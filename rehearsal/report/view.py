"""The live view of a running rehearsal, on a terminal or in a CI log."""

import time
from typing import Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rehearsal.load.live import last_snapshot
from rehearsal.report.journal import JournalTail, Record
from rehearsal.report.rule import weights_asked
from rehearsal.world.world import World

_REFRESH_SECONDS = 1.0
_PLAIN_LINE_SECONDS = 5.0
_COLORS = ("blue", "green")


class LiveView:
    """Prints events as they come. On a terminal, a table of the traffic below them is redrawn each second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._started_at = time.monotonic()
        self._refreshed_at = 0.0
        self._lined_at = 0.0
        self._phase = ""
        self._described = 0
        self._verdicts: dict[str, str] = {}
        self._world: World | None = None
        self._journal: JournalTail | None = None

    def __enter__(self) -> "LiveView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def follow(self, world: World, journal: JournalTail) -> None:
        """From now on, show this world's traffic and this journal's records."""
        self._world, self._journal = world, journal
        world.on_tick.append(self.tick)

    def phase(self, text: str) -> None:
        """Print the heading of a new phase of the rehearsal."""
        self._phase = text
        self.say(f"[bold]{text}[/bold]")

    @property
    def scene(self) -> str:
        """What the rehearsal does now."""
        return self._phase

    def say(self, text: str) -> None:
        """Print a line with the time since the start."""
        elapsed = time.monotonic() - self._started_at
        self._console.print(f"[dim]{elapsed:6.1f} s[/dim]  {text}", soft_wrap=True, highlight=False)

    def tick(self) -> None:
        """Show news. Frequent calls are cheap."""
        now = time.monotonic()
        if self._world is None or self._journal is None or now - self._refreshed_at < _REFRESH_SECONDS:
            return
        self._refreshed_at = now
        self._journal.look()
        for record in self._journal.records[self._described :]:
            if self._is_news(record) and (text := _describe(record)):
                self.say(text)
        self._described = len(self._journal.records)
        traffic = last_snapshot(self._world.logs / "load.log")
        if not traffic:
            return
        try:
            weights = weights_asked(self._world.aws)
        except httpx.HTTPError:  # A world that is too busy to answer goes on; the next look asks again.
            return
        if self._live:
            self._live.update(Group(Text(self._phase, style="bold"), _table(traffic, weights)), refresh=True)
        elif now - self._lined_at >= _PLAIN_LINE_SECONDS:
            self._lined_at = now
            self.say(_line(traffic, weights))

    def _is_news(self, record: Record) -> bool:
        """Return whether a record is new: gates repeat their verdict at every poll."""
        if record["kind"] == "phase":
            self._verdicts.clear()
        if record["kind"] != "verdict":
            return True
        before, self._verdicts[record["gate"]] = self._verdicts.get(record["gate"]), record["verdict"]
        return before != record["verdict"]


def _table(traffic: dict[str, Any], weights: dict[str, int]) -> Table:
    table = Table(title=f"live traffic, {traffic['open_streams']} streams open", title_justify="left")
    for heading in ("colour", "weight asked", "observed", "requests/s", "p95 first token", "failed"):
        table.add_column(heading, justify="left" if heading == "colour" else "right")
    for color in _COLORS:
        part = traffic["by_color"].get(color, {})
        table.add_row(
            Text(color, style=color),
            f"{weights.get(color, 0)} %",
            f"{_share(traffic, color):.0f} %",
            f"{part.get('rate', 0):.1f}",
            _milliseconds(part.get("ttft_p95_seconds")),
            str(part.get("failed", 0)),
        )
    return table


def _line(traffic: dict[str, Any], weights: dict[str, int]) -> str:
    parts = [
        f"{color} weight {weights.get(color, 0)} % observed {_share(traffic, color):.0f} %"
        f" {traffic['by_color'].get(color, {}).get('rate', 0):.1f} req/s"
        f" p95 first token {_milliseconds(traffic['by_color'].get(color, {}).get('ttft_p95_seconds'))}"
        for color in _COLORS
    ]
    return f"[dim]{' | '.join(parts)} | open streams {traffic['open_streams']} | failed {traffic['failed']}[/dim]"


def _share(traffic: dict[str, Any], color: str) -> float:
    rates = {name: part.get("rate", 0.0) for name, part in traffic["by_color"].items()}
    total = sum(rates.values())
    return 100 * rates.get(color, 0.0) / total if total else 0.0


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.0f} ms"


def _describe(record: Record) -> str:
    """Describe one journal record in a few words; an empty text for records that need not be shown."""
    match record["kind"]:
        case "phase":
            return f"  {record['phase']}"
        case "weight" if record["status"] == "done":
            return f"  green_weight is [bold]{record['green_weight']}[/bold]"
        case "verdict" if record["verdict"] != "inconclusive":
            style = "green" if record["verdict"] == "pass" else "red"
            return f"  {record['gate']}: [{style}]{record['verdict']}[/{style}] {record['reason']}"
        case "decision":
            return f"  [bold]decision: {record['action']}[/bold] {record.get('reason', '')}"
        case "promoted":
            return f"  {record['active_color']} is promoted; the old colour stays warm until {record['keep_until']}"
        case "parked" | "nodes_released":
            return f"  {record['color']}: {record['kind'].replace('_', ' ')}"
        case "finished":
            return f"  finished: [bold]{record['outcome']}[/bold]"
        case _:
            return ""
