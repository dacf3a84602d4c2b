"""What became of each request: the record, the file of records, and the counts a rehearsal reports."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

GOOD_FINISHES = frozenset({"stop", "length"})


@dataclass(frozen=True, slots=True)
class Record:
    """One finished request. `started_at` is seconds since the epoch; colour and release come from the answer's
    `system_fingerprint` and are None for an answer without one (an error, for instance).
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

    @property
    def failed(self) -> bool:
        """Whether the client did not get what it asked for, whatever the reason."""
        return self.status != 200 or not self.complete or self.error is not None

    @property
    def broken(self) -> bool:
        """Whether a stream began and then did not end as it should."""
        return self.stream and self.status == 200 and self.failed

    @property
    def ended_at(self) -> float:
        """Seconds since the epoch."""
        return self.started_at + self.duration_seconds

    def line(self) -> str:
        """The record as one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts over some records; the percentiles are None without an answer."""

    total: int
    failed: int
    streams: int
    streams_broken: int
    ttft_p50_seconds: float | None
    ttft_p95_seconds: float | None


def read_records(path: Path) -> list[Record]:
    """Reads the generator's file; a last line that is still being written is left out."""
    complete = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [Record(**json.loads(line)) for line in complete.splitlines()]


def summarize(records: Iterable[Record]) -> Summary:
    """Counts requests and streams, and what was lost of them."""
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
    """The smallest value that at least `percent` of the values do not exceed; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def started_between(records: Iterable[Record], begin: float, end: float) -> list[Record]:
    """The requests started in [begin, end), seconds since the epoch."""
    return [record for record in records if begin <= record.started_at < end]


def by_color(records: Iterable[Record]) -> dict[str | None, Summary]:
    """A summary for each colour; None stands for answers that name none."""
    return _grouped(records, lambda record: record.color)


def by_release(records: Iterable[Record]) -> dict[str | None, Summary]:
    """A summary for each release id; None stands for answers that name none."""
    return _grouped(records, lambda record: record.release)


def open_streams(records: Iterable[Record], moment: float, color: str | None = None) -> int:
    """How many streams were open at a moment (seconds since the epoch), of one colour or of all."""
    return sum(
        record.stream and record.started_at <= moment < record.ended_at and (color is None or record.color == color)
        for record in records
    )


def last_started_at(records: Iterable[Record], color: str) -> float | None:
    """When the last request that a colour answered was started, seconds since the epoch; None if it answered none."""
    return max((record.started_at for record in records if record.color == color), default=None)


def with_colors(records: Iterable[Record], colors: Mapping[str, str]) -> list[Record]:
    """The records with the colour filled in from the load balancer's log (request id to colour) where the answer
    named none: an error does not say who gave it.
    """
    return [replace(record, color=record.color or colors.get(record.id)) for record in records]


def _grouped(records: Iterable[Record], key: Callable[[Record], str | None]) -> dict[str | None, Summary]:
    groups: dict[str | None, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return {name: summarize(group) for name, group in groups.items()}
