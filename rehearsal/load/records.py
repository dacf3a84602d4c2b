"""The outcome of each request: the record, the records file, and the counts that a rehearsal reports."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

GOOD_FINISHES = frozenset({"stop", "length"})


@dataclass(frozen=True, slots=True)
class Record:
    """One finished request. `started_at` is in seconds since the epoch. Colour and release come from the answer's
    `system_fingerprint`; they are None for an answer without one, such as an error.
    """

    id: str
    started_at: float
    stream: bool
    status: int | None
    color: str | None
    release: str | None
    ttft_seconds: float | None
    duration_seconds: float
    chunks: int
    complete: bool
    finish_reason: str | None
    error: str | None
    tenant: str | None = None
    """Whose request it was. None when clients do not say."""

    @property
    def failed(self) -> bool:
        """Whether the client did not get a complete answer, for any reason."""
        return self.status != 200 or not self.complete or self.error is not None

    @property
    def broken(self) -> bool:
        """Whether a stream began but did not end properly."""
        return self.stream and self.status == 200 and self.failed

    @property
    def ended_at(self) -> float:
        """Seconds since the epoch."""
        return self.started_at + self.duration_seconds

    def line(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts over some records. The percentiles are None when there is no answer."""

    total: int
    failed: int
    streams: int
    streams_broken: int
    ttft_p50_seconds: float | None
    ttft_p95_seconds: float | None


def read_records(path: Path) -> list[Record]:
    """Read the generator's file, except for an unfinished last line."""
    complete = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [Record(**json.loads(line)) for line in complete.splitlines()]


def summarize(records: Iterable[Record]) -> Summary:
    """Count requests and streams, and how many of them failed or broke."""
    chosen = list(records)
    times = [record.ttft_seconds for record in chosen if record.ttft_seconds is not None]
    return Summary(
        total=len(chosen),
        failed=sum(record.failed for record in chosen),
        streams=sum(record.stream for record in chosen),
        streams_broken=sum(record.broken for record in chosen),
        ttft_p50_seconds=percentile(times, 50),
        ttft_p95_seconds=percentile(times, 95),
    )


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the smallest value that at least `percent` % of the values do not exceed, None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def started_between(records: Iterable[Record], begin: float, end: float) -> list[Record]:
    """Return the requests started in [begin, end), in seconds since the epoch."""
    return [record for record in records if begin <= record.started_at < end]


def by_color(records: Iterable[Record]) -> dict[str | None, Summary]:
    """Summarize by colour. None is the key of answers without one."""
    return _grouped(records, lambda record: record.color)


def by_release(records: Iterable[Record]) -> dict[str | None, Summary]:
    """Summarize by release id. None is the key of answers without one."""
    return _grouped(records, lambda record: record.release)


def open_streams(records: Iterable[Record], moment: float, color: str | None = None) -> int:
    """Count the streams of one colour, or of all, that were open at a moment (seconds since the epoch)."""
    return sum(
        record.stream and record.started_at <= moment < record.ended_at and (color is None or record.color == color)
        for record in records
    )


def last_started_at(records: Iterable[Record], color: str) -> float | None:
    """Return the start of the last request that a colour answered, in seconds since the epoch; None without one."""
    return max((record.started_at for record in records if record.color == color), default=None)


def with_colors(records: Iterable[Record], colors: Mapping[str, str]) -> list[Record]:
    """Return the records with missing colours filled in from the load balancer's log (request id to colour). An error
    answer has no colour of its own.
    """
    return [replace(record, color=record.color or colors.get(record.id)) for record in records]


def _grouped(records: Iterable[Record], key: Callable[[Record], str | None]) -> dict[str | None, Summary]:
    groups: dict[str | None, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return {name: summarize(group) for name, group in groups.items()}
